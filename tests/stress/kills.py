"""SIGKILL in every stage of training and scanning: what goes on must end as if nothing had happened."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import SHIPPED, Life, half_written, prepare, progress, table

from deepfake_audio.evaluation import read_scores

MINUTES = 90

LIVES = 4
"""A work that was killed three times may end, so that what follows a kill is met as often as another kill."""

TRAINING = {
    "listing the corpus": "CNNRNNLSTM corpus",
    "splitting, audit": "CNNRNNLSTM sides",
    "splicing": "deepfake_audio.dataset side_examples",
    "features": "deepfake_audio.dataset extract_features",
    "training": "deepfake_audio.skipped report_skipped",
    "calibration": "deepfake_audio.scoring fit_decision",
    "export": "deepfake_audio.export try_export",
    "report": "deepfake_audio.examine examine",
}
SCANNING = {
    "listing the folder": "deepfake_audio.scan find_recordings",
    "judging into the table": "deepfake_audio.scan judge_all",
    "writing the page": "deepfake_audio.pages Report._page",
}
"""Name of a stage, and the function with whose call it begins; before the first one, the program is loading."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=50)
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
    difference : callable
        Returns how far the results in two folders are from each other; 0 if they are the same.
    """

    name: str
    stages: dict[str, str]
    run: Callable[[Path], int]
    difference: Callable[[Path, Path], float]

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
    work.announce()
    names, met = ["loading", *work.stages], Counter()
    durations = undisturbed(work, folder / "undisturbed")
    plan = planned(kills, len(durations), rng)
    lost, differences, lives, at_work = [], [], 0, folder / "killed"
    while plan or lives:
        lives += 1
        life = Life(lambda: work.run(at_work), str(folder / "told"))
        code = killed_in(plan[-1], rng.uniform(0, durations[plan[-1]]), life) if plan and lives < LIVES else life.end()
        lost += [f"still running: {command}" for command in life.orphans()]
        lost += half_written(at_work)
        if code is None:
            plan.pop()
            met[life.stage] += 1
            progress(work.name, f"killed while {names[life.stage]}")
            continue
        if code:
            lost.append(f"ended with {code} after {lives - 1} kills: {(folder / 'told').read_text('utf-8')[-500:]}")
            break
        differences.append(work.difference(folder / "undisturbed", at_work))
        if differences[-1]:
            lost.append(f"another result, by {differences[-1]:g}")
        left = (path for path in at_work.rglob("*") if ".tmp" in path.name or path.suffix == ".lock")
        lost += [f"left over: {path.relative_to(at_work)}" for path in left]
        shutil.rmtree(at_work)
        lives = 0
        progress(work.name, "ended")
    stages = enumerate(zip(names, durations, strict=True))
    rows = [(work.name, name, f"{took:.2f} s", met[number]) for number, (name, took) in stages]
    return [*rows, (work.name, f"all; {len(differences)} works ended", f"{sum(durations):.1f} s", met.total())], lost


def works(folder: Path) -> list[Work]:
    """Return what is killed, on a small corpus."""
    training, script = prepare(folder / "data")

    def train(outputs: Path) -> int:
        return training.main(["--resume", "--data", str(folder / "data"), "--outputs", str(outputs)])

    def scores(one: Path, other: Path) -> float:
        files = [next(path.glob("run-*/scores.csv")) for path in (one, other)]
        rows = [{score.path: score.probabilities for score in read_scores(file)} for file in files]
        if rows[0].keys() != rows[1].keys():
            return 1.0
        return max(float(np.abs(np.subtract(rows[0][name], rows[1][name])).max()) for name in rows[0])

    def scan(outputs: Path) -> int:
        out = ["--csv", str(outputs / "answers.csv"), "--report", str(outputs / "report.html"), "--quiet"]
        return script.main([str(folder / "data"), *out, "--model", str(SHIPPED)])

    def tables(one: Path, other: Path) -> float:
        texts = [sorted((path / "answers.csv").read_text("utf-8").splitlines()) for path in (one, other)]
        return float(texts[0] != texts[1] or not (other / "report.html").is_file())

    return [Work("training", TRAINING, train, scores), Work("scan", SCANNING, scan, tables)]


def run(arguments: argparse.Namespace) -> bool:
    """Kill trainings and scans; return whether all of them ended as if nothing had happened."""
    rng = np.random.default_rng(arguments.seed)
    rows, lost = [("work", "stage", "undisturbed", "SIGKILLs")], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for work in works(folder):
            stages = 1 + len(work.stages)
            kills = round(arguments.kills * stages / (2 + len(TRAINING) + len(SCANNING)))
            row, gone = until_killed_often(work, kills, rng, folder / work.name)
            rows += row
            lost += gone
    table(rows)
    print(f"lost: {lost or 'nothing'}")
    return not lost
