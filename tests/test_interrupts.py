"""Ctrl-C: one line and the end, also where Python does not come to raise anything, or somebody swallows it."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from commands import HERE

from deepfake_audio import early, interrupts

SCRIPT = """
import sys, time
sys.path.insert(0, {here!r})
from deepfake_audio import early
early.end_quietly()
from deepfake_audio import interrupts
with interrupts.Watch("Interrupted; all is well.") as watch:
{work}
print("came to its end", flush=True)
sys.exit(5)
"""

NATIVE = """
import hashlib
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)  # an hour in C
"""
SWALLOWED = """
print("ready", flush=True)
while True:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        pass
"""
TAKEN_FOR_SOMETHING_ELSE = """
print("ready", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    raise ImportError("numpy is not there")
"""
THREADS = """
import threading
threading.Thread(target=time.sleep, args=(3600,)).start()
print("ready", flush=True)
time.sleep(60)
"""
IGNORED = """
class Noisy:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(60)
noisy = Noisy()
del noisy
time.sleep(60)
"""


def child(work, handler=signal.SIG_DFL):
    lines = "\n".join(f"    {line}" for line in work.splitlines())
    command = [sys.executable, "-c", SCRIPT.format(here=str(HERE), work=lines)]
    return started(command, handler, text=True)


def started(command, handler=signal.SIG_DFL, **options):
    """Start a command as a terminal does, or as one in the background, also where the tests run in the background."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, handler), **pipes, **options)


def pressed(work, *lines, presses=1):
    """Return how a child ended that got Ctrl-C after each of these lines, the last time as often as wanted."""
    with child(work) as process:
        try:
            for number, line in enumerate(lines, 1):
                assert process.stdout.readline() == f"{line}\n"
                for _ in range(presses if number == len(lines) else 1):
                    process.send_signal(signal.SIGINT)
            out, told = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, out, told.strip()


needs_sigint = pytest.mark.skipif(os.name == "nt", reason="no SIGINT to another process on Windows")


@needs_sigint
@pytest.mark.parametrize(
    "work",
    [NATIVE, SWALLOWED, TAKEN_FOR_SOMETHING_ELSE, THREADS, IGNORED],
    ids=["C", "swallowed", "another error", "threads", "ignored"],
)
@pytest.mark.parametrize("presses", [1, 3])
def test_ctrl_c_ends_everything_with_one_line(work, presses):
    assert pressed(work, "ready", presses=presses) == (130, "", "Interrupted; all is well.")


@needs_sigint
def test_while_a_script_is_imported_there_is_no_traceback():
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); from deepfake_audio import early; early.end_quietly(); "
    # A signal right before a sleep begins is noticed when that ends, so that a single long one would be a race.
    code += "print(flush=True); import time; [time.sleep(0.1) for _ in range(600)]"
    with started([sys.executable, "-c", code]) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == b"Interrupted before anything began.\n"
    assert process.returncode == early.EXIT_CODE == 130


PRESS = "os.kill(os.getpid(), signal.SIGINT)"
SWALLOWED_AT_THE_END = f"""
import os, signal
try:
    {PRESS}
except KeyboardInterrupt:
    pass
"""
WHILE_IT_ENDS = f"""
import os, signal
class Lock:
    def acquire(self, blocking):
        {PRESS}
        return True
watch._said = Lock()
"""


@needs_sigint
def test_ctrl_c_that_a_library_swallows_at_the_very_end_is_told_like_any_other():
    assert pressed(SWALLOWED_AT_THE_END) == (130, "", "Interrupted; all is well.")


@needs_sigint
def test_ctrl_c_while_the_watch_ends_comes_too_late():
    assert pressed(WHILE_IT_ENDS) == (5, "came to its end\n", "")


@needs_sigint
def test_ctrl_c_while_the_watch_begins_is_one_line():
    begin = f"""
import os, signal, sys, threading
sys.path.insert(0, {str(HERE)!r})
from deepfake_audio import early
early.end_quietly()
from deepfake_audio import interrupts
start = threading.Thread.start
threading.Thread.start = lambda thread: (start(thread), {PRESS})
with interrupts.Watch("never said"):
    pass
"""
    with started([sys.executable, "-c", begin], text=True) as process:
        assert process.communicate(timeout=60) == ("", "Interrupted before anything began.\n")
    assert process.returncode == 130


@needs_sigint
def test_who_expects_ctrl_c_goes_on_and_the_next_one_ends_it():
    work = """
try:
    with interrupts.expected():
        print("ready", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    time.sleep(1.5 * interrupts.PATIENCE_SECONDS)
    print("went on", flush=True)
time.sleep(60)
"""
    assert pressed(work, "ready", "went on") == (130, "", "Interrupted; all is well.")


@needs_sigint
def test_what_runs_in_the_background_is_left_alone():
    work = """
print("ready", flush=True)
sys.stdin.readline()
with interrupts.expected():
    print("went on", flush=True)
    sys.stdin.readline()
"""
    with child(work, signal.SIG_IGN) as process:
        for line in ("ready\n", "went on\n"):
            assert process.stdout.readline() == line
            process.send_signal(signal.SIGINT)
            process.stdin.write("\n")
            process.stdin.flush()
        assert process.communicate(timeout=60) == ("came to its end\n", "")
    assert process.returncode == 5


def test_without_ctrl_c_all_is_as_before(capsys):
    handler, threads = signal.getsignal(signal.SIGINT), threading.active_count()
    with interrupts.Watch("never said"):
        assert signal.getsignal(signal.SIGINT) is not handler
        with interrupts.expected():
            pass
    with pytest.raises(ValueError, match="mine"), interrupts.Watch("never said"):
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is handler and signal.set_wakeup_fd(-1) == -1
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and thread.daemon and "_end_in_time" in thread.name:
            thread.join(10)
    assert threading.active_count() <= threads
    assert capsys.readouterr() == ("", "")


def test_what_merely_raises_keyboardinterrupt_ends_the_block_only(capsys):
    handler = signal.getsignal(signal.SIGINT)
    with interrupts.Watch("Interrupted.") as watch:
        watch.sentence = "Interrupted; something is kept."
        raise KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) is handler
    assert capsys.readouterr() == ("", "\nInterrupted; something is kept.\n")


def test_in_another_thread_there_is_nothing_to_watch():
    told = []

    def work():
        with interrupts.Watch("never said"), interrupts.expected():
            told.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert told == [signal.getsignal(signal.SIGINT)]
