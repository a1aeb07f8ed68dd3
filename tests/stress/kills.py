"""SIGKILL in every stage and between any two file operations of training and scanning.

What goes on must end as if nothing had happened: with the same files, and the same in each of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import mmap
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import BUNDLED, Life, half_written, prepare, progress, table

MINUTES = 120

LIVES = 4
"""A work that was killed three times may end, so that what follows a kill is met as often as another kill."""

TRAINING = {
    "listing the corpus": "CNNRNNLSTM corpus",
    "splitting, audit": "deepfake_audio.corpus.split split_corpus",
    "splicing": "deepfake_audio.examples.features split_examples",
    "features": "deepfake_audio.examples.features extract_features",
    "training": "deepfake_audio.training.learn report_skipped",
    "calibration": "deepfake_audio.training.calibrate fit_decision",
    "export": "deepfake_audio.model.export try_export",
    "report": "deepfake_audio.evaluation.examine examine",
}
SCANNING = {
    "listing the folder": "deepfake_audio.answers.find find_recordings",
    "judging into the table": "deepfake_audio.judging.many judge_all",
    "writing the page": "deepfake_audio.answers.page Report._page",
}
"""Name of a stage, and the function with whose call it begins; before the first one, the program is loading."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=50, help="at random moments, in all stages equally")
    parser.add_argument("--operations", type=int, default=40, help="of each work, evenly over all on files")
    parser.add_argument("--seed", type=int, default=0)


@dataclasses.dataclass
class Work:
    """A program that is killed.

    Attributes
    ----------
    name : str
        For the table.
    stages : dict of str to str
        As above.
    run : callable
        Works into a folder and returns the exit code; the same call goes on where it stopped.
    """

    name: str
    stages: dict[str, str]
    run: Callable[[Path], int]

    def announce(self) -> None:
        """Have every stage say in a :class:`common.Life` that it begins."""
        for number, (module, path) in enumerate(map(str.split, self.stages.values()), 1):
            owner = importlib.import_module(module)
            *classes, name = path.split(".")
            owner = functools.reduce(getattr, classes, owner)
            setattr(owner, name, told(number, getattr(owner, name)))


def told(stage: int, function: Callable) -> Callable:
    """Return the function, with the word before it that the stage begins."""

    @functools.wraps(function)
    def tell(*arguments, **options):
        Life.enter(stage)
        return function(*arguments, **options)

    return tell


def undisturbed(work: Work, folder: Path) -> list[float]:
    """Let it come to its end; return how many seconds each stage takes, from the loading to the last one."""
    now = time.monotonic()
    life, begins = Life(lambda: work.run(folder)), {0: now}
    while (code := life.ended()) is None:
        begins.setdefault(life.stage, time.monotonic())
        time.sleep(0.0005)
    if code:
        raise RuntimeError(f"{work.name}, undisturbed, ended with {code}")
    # A stage that is over before it is seen begins with the next one.
    times = [min(at for stage, at in begins.items() if stage >= first) for first in range(max(begins) + 1)]
    return list(np.diff([*times, time.monotonic()]))


def killed_in(stage: int, seconds: float, life: Life) -> int | None:
    """Kill a life so long after a stage begins; return its exit code where it ended before that."""
    due = None
    while (code := life.ended()) is None:
        if due is None and life.stage >= stage:
            due = time.monotonic() + seconds
        if due is not None and time.monotonic() >= due:
            life.kill()
            return None
        time.sleep(0.0005)
    return code


def planned(kills: int, stages: int, rng: np.random.Generator) -> list[int]:
    """Return the stages to kill in, the first one last; for each work from early to late, as none is repeated later."""
    targets = np.concatenate([rng.permutation(stages) for _ in range(kills)])[:kills].tolist()
    works = [sorted(targets[at : at + LIVES - 1]) for at in range(0, kills, LIVES - 1)]
    return [stage for work in works for stage in work][::-1]


def until_killed_often(work: Work, kills: int, rng: np.random.Generator, folder: Path) -> tuple[list[tuple], list[str]]:
    """Kill it so often, in all stages equally; return rows of the table, and what was lost."""
    names, met = ["loading", *work.stages], Counter()
    durations = undisturbed(work, folder / "undisturbed")
    plan = planned(kills, len(durations), rng)
    lost, ends, lives, at_work = [], 0, 0, folder / "killed"
    while plan or lives:
        lives += 1
        life = Life(lambda: work.run(at_work), str(folder / "told"))
        code = killed_in(plan[-1], rng.uniform(0, durations[plan[-1]]), life) if plan and lives < LIVES else life.end()
        lost += left_by(life, at_work)
        if code is None:
            plan.pop()
            met[life.stage] += 1
            progress(work.name, f"killed while {names[life.stage]}")
            continue
        lost += lost_at_the_end(code, f"{lives - 1} kills", folder)
        if code:
            break
        lives, ends = 0, ends + 1
        progress(work.name, "ended")
    stages = enumerate(zip(names, durations, strict=True))
    rows = [(work.name, name, f"{took:.2f} s", met[number]) for number, (name, took) in stages]
    return [*rows, (work.name, f"all; {ends} works ended", f"{sum(durations):.1f} s", met.total())], lost


def left_by(life: Life, at_work: Path) -> list[str]:
    """Return what is wrong after the end of a life."""
    return [f"still running: {command}" for command in life.orphans()] + half_written(at_work)


def lost_at_the_end(code: int, kills: str, folder: Path) -> list[str]:
    """Return what a work that came to its end has lost, and make room for the next one."""
    if code:
        lost = [f"ended with {code} after {kills}: {(folder / 'told').read_text('utf-8')[-500:]}"]
    else:
        lost = [f"after {kills}: {what}" for what in differences(folder / "undisturbed", folder / "killed")]
    shutil.rmtree(folder / "killed", ignore_errors=True)
    return lost


# The results

TIMES = re.compile(r"run-\d{8}-\d{6}(-\d+)?|\d{4}-\d\d-\d\d|\d+\.\d minutes")

OF_THE_MOMENT = (".keras", ".sqlite")
"""What holds times within; the scores say whether a network is the same."""


def files(folder: Path) -> list[tuple[str, bytes]]:
    """Return names and contents of what a work wrote, without times."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = b"" if path.suffix in OF_THE_MOMENT else path.read_bytes()
        if path.suffix in (".csv", ".html", ".json", ".jsonl", ".md"):
            text = TIMES.sub("TIME", data.decode("utf-8")).replace(str(folder), "FOLDER")
            # A scan that goes on appends its rows in another order.
            data = "".join(sorted(text.splitlines(keepends=True)) if path.suffix == ".csv" else text).encode()
        found.append((TIMES.sub("TIME", str(path.relative_to(folder))), data))
    return found


def differences(one: Path, other: Path) -> list[str]:
    """Return how the results in a folder differ from the undisturbed ones."""
    wanted, found = files(one), files(other)
    names = [Counter(name for name, _ in some) for some in (wanted, found)]
    missing, added = names[0] - names[1], names[1] - names[0]
    changed = {name for name, _ in set(wanted) - set(found)} - set(missing)
    told = {"missing": missing, "left over": added, "another content": sorted(changed)}
    return [f"{what}: {name}" for what, some in told.items() for name in some]


# Between operations


class Operations:
    """Counts what a child of this process does to the files below a folder, and ends it at one of them."""

    _count = mmap.mmap(-1, 8)  # shared with the children
    WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    @classmethod
    def count(cls) -> int:
        """Return the number of the last child."""
        return int.from_bytes(cls._count[:], "little")

    @classmethod
    def watch(cls, folder: Path, last: int) -> None:
        """Count from now on, in the child; end it like a power cut before the operation with this number."""
        below, count = os.fspath(folder), 0
        cls._count[:] = bytes(8)

        def hear(event: str, arguments: tuple) -> None:
            nonlocal count
            if event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
                return
            if event == "open" and not (arguments[2] or 0) & cls.WRITING:
                return
            if isinstance(arguments[0], (str, bytes, os.PathLike)) and os.fsdecode(arguments[0]).startswith(below):
                count += 1
                cls._count[:] = count.to_bytes(8, "little")
                if count == last:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hear)


def until_killed_between_operations(work: Work, times: int, folder: Path) -> tuple[list[tuple], list[str]]:
    """Kill it before so many of its file operations, each time from the start; return rows and what was lost."""
    at_work, lost, met = folder / "killed", [], 0

    def end_at(number: int) -> Life:
        def live() -> int:
            Operations.watch(at_work, number)
            return work.run(at_work)

        return Life(live, str(folder / "told"))

    end_at(0).end()
    total = Operations.count()
    shutil.rmtree(at_work)
    for number in np.unique(np.linspace(1, total, times).round().astype(int)).tolist():
        life = end_at(number)
        code = life.end()
        met += code == -signal.SIGKILL
        lost += left_by(life, at_work)
        code = Life(lambda: work.run(at_work), str(folder / "told")).end()
        lost += lost_at_the_end(code, f"a kill before file operation {number}", folder)
        progress(work.name, f"killed before file operation {number} of {total}")
    return [(work.name, "between file operations", f"{total} operations", met)], lost


# The works


def works(folder: Path) -> list[Work]:
    """Return what is killed, on a small corpus."""
    training, script = prepare(folder / "data")

    def train(outputs: Path) -> int:
        return training.main(["--resume", "--data", str(folder / "data"), "--outputs", str(outputs)])

    def scan(outputs: Path) -> int:
        out = ["--csv", str(outputs / "answers.csv"), "--report", str(outputs / "report.html"), "--quiet"]
        return script.main([str(folder / "data"), *out, "--model", str(BUNDLED)])

    return [Work("training", TRAINING, train), Work("scan", SCANNING, scan)]


def run(arguments: argparse.Namespace) -> bool:
    """Kill trainings and scans; return whether all of them ended as if nothing had happened."""
    rng = np.random.default_rng(arguments.seed)
    rows, lost = [("work", "stage", "undisturbed", "SIGKILLs")], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for work in works(folder):
            stages = 1 + len(work.stages)
            kills = round(arguments.kills * stages / (2 + len(TRAINING) + len(SCANNING)))
            work.announce()
            row, gone = until_killed_often(work, kills, rng, folder / work.name)
            more, also = until_killed_between_operations(work, arguments.operations, folder / work.name)
            rows += [*row, *more]
            lost += [*gone, *also]
    table(rows)
    print(f"lost: {lost or 'nothing'}")
    return not lost
