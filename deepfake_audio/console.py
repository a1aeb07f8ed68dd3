"""Talking to a terminal: results on stdout, everything else on stderr, on any code page."""

from __future__ import annotations

import sys
from collections.abc import Callable


def prepare() -> None:
    """Print what the console's code page lacks as an escape instead of failing (cp1252 on Windows)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def say(text: str = "") -> None:
    """Tell the user something that is not a result."""
    print(text, file=sys.stderr, flush=True)


def progress(label: str) -> Callable[[int, int], None]:
    """Return a function that shows ``label  n of m`` in place; silent where stderr is not a terminal."""

    def show(done: int, wanted: int) -> None:
        if sys.stderr.isatty() and (done == wanted or done % 10 == 0):
            end = "\n" if done == wanted else ""
            print(f"\r{label}  {done} of {wanted}", end=end, file=sys.stderr, flush=True)

    return show
