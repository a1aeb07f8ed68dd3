"""Ctrl-C: the end within a few seconds, and one line that says what is kept and how to go on.

Python raises KeyboardInterrupt between two of its own instructions only: not while a library loads or calculates, and
some libraries swallow it. Whoever waits for that too long is ended from outside of it. Every file is written so that
this loses nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

from .console import say
from .early import EXIT_CODE, end

PATIENCE_SECONDS = 0.6
"""For what is begun to come to an end by itself; then the process is ended."""


class Watch:
    """All the work of a script; a context manager that swallows KeyboardInterrupt, and after Ctrl-C everything else.

    After Ctrl-C the block has ``PATIENCE_SECONDS``; then the process ends with ``EXIT_CODE`` whatever it is doing. More
    of Ctrl-C changes nothing. Outside of the main thread, and where Ctrl-C is ignored, no time is kept.

    Parameters
    ----------
    sentence : str
        What is kept and how to go on, fit for a terminal; said once, on stderr.

    Attributes
    ----------
    sentence : str
        As above; may be changed while the work goes on.
    """

    def __init__(self, sentence: str):
        self.sentence = sentence
        self._said, self._pressed, self._over = threading.Lock(), False, False
        self._tell = None

    def __enter__(self) -> Watch:
        if _heard():
            hear, self._tell = os.pipe()
            if os.name != "nt":
                os.set_blocking(self._tell, False)
            # Of stderr a copy, since libraries put something else in its place.
            threading.Thread(target=self._end_in_time, args=(hear, os.dup(2)), daemon=True).start()
            self._handler = signal.getsignal(signal.SIGINT)
            # What writes into it is no Python, so that nothing that Python waits for can delay it.
            self._fd = signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)
            # Last: until here Ctrl-C is for who heard it before.
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, kind, *_) -> bool:
        if self._tell is not None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Libraries that are interrupted while they load say that they are not there; some swallow it.
        interrupted = self._pressed or (kind is not None and issubclass(kind, KeyboardInterrupt))
        self._over = not interrupted
        if self._said.acquire(blocking=False) and interrupted:
            say(f"\n{self.sentence}")
            if self._pressed and self._handler is end:
                # A script. Python would wait for threads that are in the middle of something.
                with contextlib.suppress(OSError):  # nobody reads it any more
                    sys.stdout.flush()
                os._exit(EXIT_CODE)
        if self._tell is not None and not self._pressed:
            signal.set_wakeup_fd(self._fd)
            # A script that is done need not be interrupted.
            signal.signal(signal.SIGINT, signal.SIG_IGN if self._handler is end else self._handler)
            os.close(self._tell)
        return interrupted

    def _press(self, *_) -> None:
        self._pressed = True
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # One line is wanted, not what libraries have to say about being interrupted.
        sys.unraisablehook = threading.excepthook = lambda _: None
        raise KeyboardInterrupt

    def _end_in_time(self, hear: int, stderr: int) -> None:
        while (signals := os.read(hear, 1)) and signals[0] != signal.SIGINT:
            pass
        if signals:
            time.sleep(PATIENCE_SECONDS)
            if ours := self._said.acquire(blocking=False):
                os.write(stderr, f"\n{self.sentence}\n".encode(errors="backslashreplace"))
            if ours or not self._over:  # otherwise it came when all was done
                os._exit(EXIT_CODE)
        os.close(hear)
        os.close(stderr)


def _heard() -> bool:
    """Return whether Ctrl-C means us: not in another thread, nor in the background, which was started to ignore it."""
    here = threading.current_thread() is threading.main_thread()
    return here and signal.getsignal(signal.SIGINT) != signal.SIG_IGN


@contextlib.contextmanager
def expected() -> Iterator[None]:
    """Leave Ctrl-C to the block, for which it is the ordinary end: what comes after it may take its time."""
    if not _heard():
        yield
        return
    fd, handler = signal.set_wakeup_fd(-1), signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.set_wakeup_fd(fd)
        signal.signal(signal.SIGINT, handler)
