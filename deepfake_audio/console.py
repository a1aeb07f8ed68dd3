"""Talking to a terminal: results on stdout, everything else on stderr, on any code page."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator

from .errors import OutputError
from .text import clean_lines


def prepare() -> None:
    """Print what the console's code page lacks as an escape instead of failing (cp1252 on Windows)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def say(text: str = "") -> None:
    """Tell the user something that is not a result, in one line or more."""
    print(clean_lines(text), file=sys.stderr, flush=True)


def warn(lines: Iterable[str]) -> None:
    """Say each line as a warning."""
    for line in lines:
        say(f"warning: {line}")


@contextlib.contextmanager
def results() -> Iterator[None]:
    """Leave nothing of what the block prints on its way to stdout.

    OutputError if it cannot be printed, BrokenPipeError if whoever read it has stopped.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise
        # Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"The results cannot be printed ({error.strerror}).") from error


def command_line(words: Iterable[object]) -> str:
    """Join words to what can be typed: quoted as this system's shell wants it."""
    words = [str(word) for word in words]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


class _Silent(contextlib.nullcontext):
    """What stands for a bar where nobody sees one, without the time that tqdm takes to load."""

    n = 0

    def update(self, *_) -> None:
        pass

    clear = close = set_postfix_str = update


def bar(wanted: int, label: str | None = None, leave: bool = True):
    """Return a :class:`tqdm.tqdm` on stderr, silent where that is no terminal."""
    if not sys.stderr.isatty():
        return _Silent()
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread that looks after it
    return tqdm(total=wanted, desc=label, leave=leave)


def progress(label: str) -> Callable[[int, int], None]:
    """Return a function of steps done and wanted that shows them on a :func:`bar`."""
    shown = None

    def show(done: int, wanted: int) -> None:
        nonlocal shown
        shown = shown or bar(wanted, label)
        shown.update(done - shown.n)
        if done == wanted:
            shown.close()

    return show


def live_line() -> Callable[[object], None]:
    """Return a function that writes a line on stderr over the one before; line by line where it is no terminal."""
    in_place, width = sys.stderr.isatty(), shutil.get_terminal_size().columns - 1

    def show(text: object) -> None:
        # A line that wraps could not be written over.
        line = f"\r{str(text)[:width]:{width}}" if in_place else f"{text}\n"
        print(line, end="", file=sys.stderr, flush=True)

    return show


def colour(text: str, code: str) -> str:
    """Colour text on stdout, if a person reads it in a terminal that knows colours and did not refuse them."""
    known = os.name != "nt" or "WT_SESSION" in os.environ
    if not known or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty():
        return text
    return f"\x1b[1;{code}m{text}\x1b[0m"
