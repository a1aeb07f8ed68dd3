"""Ctrl-C at moments spread over the whole life of both scripts: how soon they end, and what they say.

Both are started as a terminal does, and Ctrl-C is pressed as a terminal does, for all processes at once, once or twice.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
from common import BUNDLED, HERE, progress, table, write_corpus

MINUTES = 60

HEARD = " s  ["
"""How the lines begin that the microphone has once a second, behind the number."""

ON_ITS_WAY = b"The recording is kept"
"""What is said soon by who then goes on working: the microphone is off, and its recording is judged."""


@dataclasses.dataclass
class End:
    """How a process ended, after Ctrl-C unless that came too late."""

    in_time: bool
    code: int
    seconds: float
    before: str
    after: str

    @property
    def python_was_starting(self) -> bool:
        """Whether Ctrl-C came before the first line of ours: Python then has a traceback of its own, or nothing."""
        return self.code == -signal.SIGINT and str(HERE) not in self.after

    def faults(self) -> list[str]:
        """Return what a user would complain about."""
        if self.python_was_starting:
            return []
        lines = [line for line in self.after.splitlines() if line.strip()]
        found = []
        if self.code not in (0, 130):  # 0 where Ctrl-C came too late, or is the ordinary end
            found.append(f"exit code {self.code}")
        if "Traceback" in self.after or "Error" in self.after:
            found.append("noise")
        if self.code == 130 and sum(line.startswith("Interrupted") for line in lines) != 1:
            found.append("not one sentence")
        if self.seconds > 2.0:
            found.append(f"{self.seconds:.1f} s")
        kept = re.search(r"^Interrupted; what was heard, if anything, is kept: .* (\S+)$", self.after, re.MULTILINE)
        if kept and HEARD in self.before and not soundfile.info(kept[1]).frames:
            found.append("nothing was kept")
        return [f"{fault}: {self.before[-200:]!r} | {self.after[-1500:]}" for fault in found]


def interrupted(command: list[str], seconds: float | None, again_seconds: float | None = None) -> End:
    """Start a command, press Ctrl-C after some seconds, and perhaps once more, and wait for its end."""
    # A process of its own group: Ctrl-C is for all who are in it. Who was started in the background would ignore it.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg"},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    heard, moments = [], []

    def hear() -> None:
        while data := os.read(process.stdout.fileno(), 2**16):
            heard.append(data)
            moments.append(time.monotonic())

    hearing = threading.Thread(target=hear)
    hearing.start()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    count, started, pressed = len(heard), time.monotonic(), process.poll() is None
    if pressed:
        os.killpg(process.pid, signal.SIGINT)
        if again_seconds is not None:
            time.sleep(again_seconds)
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                os.killpg(process.pid, signal.SIGINT)
    code = process.wait()
    took = time.monotonic() - started
    hearing.join()
    process.stdout.close()
    before, after = (b"".join(part).decode(errors="replace") for part in (heard[:count], heard[count:]))
    for moment, data in zip(moments[count:], heard[count:], strict=True):
        if ON_ITS_WAY in data:
            took = moment - started
    return End(pressed, code, took, before, after)


LISTENING_SECONDS = 8.0
"""How long the microphone is listened to where nobody interrupts it sooner."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", default="", metavar="WORD", help="works with this in their name")
    parser.add_argument("--seed", type=int, default=0)


def run(arguments: argparse.Namespace) -> bool:
    """Press Ctrl-C; return whether every end was soon, quiet, and said what is kept."""
    rng = np.random.default_rng(arguments.seed)
    rows = [("work", "Ctrl-C", "slowest", "median", "exit codes", "Python was starting", "faults")]
    faults = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_recordings(folder)
        for name, command in works(folder):
            if arguments.only not in name:
                continue
            outs = iter(range(10**6))

            def again(seconds: float | None, command=command, outs=outs) -> End:
                number = next(outs)
                out = str(folder / f"out{number}")
                # Every other time it is pressed twice, which is what impatient people do.
                twice = rng.uniform(0, 0.1) if number % 2 else None
                return interrupted([sys.executable, *(part.replace("OUT", out) for part in command)], seconds, twice)

            ends, undisturbed = at_all_moments(name, again, arguments.times, rng)
            found = [undisturbed] if undisturbed else [fault for end in ends for fault in end.faults()]
            rows.append(summary(name, ends, len(found)))
            faults += [f"{name}: {fault}" for fault in found]
    table(rows)
    print("\n".join(["faults:", *faults]) if faults else "faults: none")
    return not faults


def at_all_moments(name: str, again: Callable, times: int, rng: np.random.Generator) -> tuple[list[End], str]:
    """Let a work end undisturbed, then interrupt it so often; return the ends, and what went wrong undisturbed."""
    started = time.monotonic()
    ended = again(LISTENING_SECONDS if name == "microphone" else None)
    longest = time.monotonic() - started
    if ended.code:
        return [], f"undisturbed, it ended with {ended.code}: {ended.before[-2000:]}"
    ends = []
    for number in range(times):
        # One moment out of each segment, so that the whole life is met.
        ends.append(again(longest * (number + rng.random()) / times))
        progress(name, ends[-1].code, f"{ends[-1].seconds:.2f} s")
    return ends, ""


def summary(name: str, ends: list[End], faults: int) -> tuple:
    """Return a row of the table; what ended before Ctrl-C does not count."""
    ends = [end for end in ends if end.in_time]
    took = [end.seconds for end in ends] or [0.0]
    codes = Counter(end.code for end in ends if not end.python_was_starting)
    told = ", ".join(f"{count} times {code}" for code, count in sorted(codes.items()))
    starting = sum(end.python_was_starting for end in ends)
    return name, len(ends), f"{max(took):.2f} s", f"{np.median(took):.2f} s", told, starting, faults


def works(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield name and command of each work."""
    judge, model, data = str(HERE / "script.py"), ["--model", str(BUNDLED)], str(folder / "data")
    training = [str(HERE / "tests" / "tiny_training.py"), "--data", data, "--outputs", "OUT", "--epochs", "3"]
    outputs = ["--csv", "OUT/answers.csv", "--report", "OUT/report.html"]
    yield "training, from import to report", training
    yield "scan of a folder into table and report", [judge, data, *outputs, *model]
    yield "one recording of two hours", [judge, str(folder / "long.flac"), *model]
    microphone = str(Path(__file__).with_name("pretended_microphone.py"))
    yield "microphone", [microphone, "--outputs", "OUT", *model]


def write_recordings(folder: Path) -> None:
    """Make a small corpus and a long recording."""
    import tiny

    from deepfake_audio.sound.reading import write_flac

    write_corpus(folder / "data")
    write_flac(folder / "long.flac", np.tile(tiny.voice("Hybrid", 60.0, np.random.default_rng(0)), 120))
