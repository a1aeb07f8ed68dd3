"""What was tried against the project, and what was lost: the figures of README.md beside it and of RESULTS.md.

    python tests/stress                               everything, one after the other
    python tests/stress recordings [--files 10000]    damaged recordings of every container
    python tests/stress bombs [--hours 100]           a megabyte that unpacks to days
    python tests/stress listening [--hours 24]        a day of microphone, as fast as it goes
    python tests/stress folder [--files 20000]        memory and handles over a large folder
    python tests/stress kills [--kills 50]            SIGKILL in every stage and file operation of training and scanning
    python tests/stress ctrl_c [--times 20]           Ctrl-C at moments spread over every work's life
    python tests/stress disks                         full, without inodes, read-only, vanished
    python tests/stress fuzz [--seconds 600]          coverage-guided fuzzing of three readers (pip install atheris)
    python tests/stress versions                      other systems, other Keras, another Python (pip install uv)

Everything is made here from a seed, in temporary folders. Each work prints a table and ends with 1 if anything was
lost, or if it took longer than its `--minutes`. Linux; `disks` as root; `versions` asks the package index.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from common import table

WORKS = ("recordings", "bombs", "listening", "folder", "kills", "ctrl_c", "disks", "fuzz", "versions")


class TimeIsOver(BaseException):
    """A work was not finished in time; nothing that is tried may take it for an error of its own."""


@contextlib.contextmanager
def at_most(minutes: float) -> Iterator[None]:
    """Raise TimeIsOver in the block once its time is over."""

    def over(*_) -> None:
        raise TimeIsOver(f"not finished within {minutes:g} minutes")

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def everything() -> bool:
    """Run each work in a process of its own, as peaks of memory are the process's; return whether nothing was lost."""
    rows = [("work", "minutes", "result")]
    for name in WORKS:
        print(f"\n{name}\n", flush=True)
        started = time.monotonic()
        code = subprocess.run([sys.executable, Path(__file__).parent, name], check=False).returncode
        rows.append((name, f"{(time.monotonic() - started) / 60:.1f}", "lost something" if code else "nothing lost"))
    print()
    table(rows)
    return all(row[2] == "nothing lost" for row in rows[1:])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/stress", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="work", metavar="WORK", help="all of them without it")
    for name in WORKS:
        work = importlib.import_module(name)
        add = commands.add_parser(name, help=work.__doc__.splitlines()[0])
        work.add_options(add)
        add.add_argument("--minutes", type=float, default=work.MINUTES, help="it must end by then (%(default)s)")
        add.set_defaults(run=work.run)
    arguments = parser.parse_args()
    if not arguments.work:
        return 0 if everything() else 1
    try:
        with at_most(arguments.minutes):
            return 0 if arguments.run(arguments) else 1
    except TimeIsOver as error:
        print(f"lost: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
