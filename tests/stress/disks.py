"""Disks that are full, without inodes, or read-only, and folders that vanish: one sentence, and nothing lost."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from common import BUNDLED, half_written, life, prepare, progress, table

from deepfake_audio.answers.table import Table
from deepfake_audio.evaluation import examine
from deepfake_audio.features import store

MINUTES = 60

PAGE = 4096
"""What a disk in memory counts in."""

ROOM = "rw,size=64m,nr_inodes=10000"


def add_options(_: argparse.ArgumentParser) -> None:
    """There is nothing to choose."""


@dataclasses.dataclass
class Case:
    """A disk that refuses, and who writes onto it.

    Attributes
    ----------
    disk : str
        For the table.
    options : str
        Of the mount.
    name : str
        What is written, for the table.
    work : callable
        Writes below a folder and returns the exit code.
    room : int, optional
        Bytes to which the disk is filled up first.
    earlier : callable, optional
        Did likewise when there was room: nothing of its results may be lost.
    result : callable, optional
        Returns what is to be the same in the folder afterwards as in `undisturbed`, where the work had room all along.
    """

    disk: str
    options: str
    name: str
    work: Callable[[Path], int]
    room: int | None = None
    earlier: Callable[[Path], int] | None = None
    result: Callable[[Path], object] | None = None
    undisturbed: Path | None = None


def fill(filler: Path, room: int) -> None:
    """Fill a disk up to so many bytes."""
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
    with filler.open("r+b") as file:
        file.truncate(max(0, filler.stat().st_size - room))


def contents(folder: Path) -> dict[Path, bytes]:
    """Return all files with what is in them."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "filler"}


@contextlib.contextmanager
def mounted(disk: Path, options: str) -> Iterator[None]:
    """A small disk in memory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", disk], check=True)


def refused(work: Callable[[], int], told: Path) -> tuple[str, str]:
    """Let it work; return its one sentence, and what is wrong with its end."""
    code = life(work, str(told))
    text = told.read_text("utf-8")
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    wrong = code != 1 or len(errors) != 1 or "Traceback" in text
    return errors[0] if errors else "", f"exit code {code}: {text[-1500:]}" if wrong else ""


def try_case(case: Case, disk: Path, told: Path) -> tuple[tuple, list[str]]:
    """Return a row of the table, and what was lost."""
    lost, filler, target = [], disk / "filler", disk / "x" / "out"
    with mounted(disk, case.options):
        if case.earlier is not None:
            life(lambda: case.earlier(target))
            before = contents(disk)
        if case.room is not None:
            fill(filler, case.room)
        sentence, wrong = refused(lambda: case.work(target), told)
        if case.earlier is not None and any(contents(disk).get(path) != data for path, data in before.items()):
            lost.append("what was there before is not what it was")
        lost += [wrong] if wrong else []
        subprocess.run(["mount", "-o", f"remount,{ROOM}", disk], check=True)
        filler.unlink(missing_ok=True)
        lost += half_written(disk)
        if code := life(lambda: case.work(target), str(told)):
            lost.append(f"again, with room, exit code {code}: {told.read_text('utf-8')[-1500:]}")
        elif case.result and case.result(target) != case.result(case.undisturbed):
            lost.append("again, with room, another result")
    row = (case.disk, case.name, sentence.replace(str(disk), "DISK"), "no" if lost else "done")
    return row, [f"{case.disk}, {case.name}: {what}" for what in lost]


def vanishing(owner: object, name: str, folder: Path, times: int) -> None:
    """Have a folder vanish when a function of a class or module is called after so many times."""
    method, calls = getattr(owner, name), iter(range(10**9))

    def vanish(*arguments, **options):
        if next(calls) == times:
            shutil.rmtree(folder)
        return method(*arguments, **options)

    setattr(owner, name, vanish)


def try_vanishing(name: str, work: Callable, moment: tuple, folder: Path, told: Path) -> tuple[tuple, list[str]]:
    """Let the folder of a work vanish at a moment; return a row of the table, and what was lost."""
    owner, method, times = moment

    def vanish() -> int:
        vanishing(owner, method, folder, times)
        return work(folder)

    sentence, wrong = refused(vanish, told)
    again = life(lambda: work(folder), str(told))
    lost = [f"folder vanishes, {name}: {wrong}"] if wrong else []
    lost += [f"folder vanishes, {name}, again: {told.read_text('utf-8')[-1500:]}"] if again else []
    return ("folder vanishes", name, sentence.replace(str(folder), "FOLDER"), "no" if lost else "done"), lost


def run(_: argparse.Namespace) -> bool:
    """Write onto disks that do not take it; return whether every refusal was one sentence and nothing was lost."""
    rows, lost = [("disk", "work", "sentence", "again, with room")], []
    with tempfile.TemporaryDirectory() as temporary:
        folder, disk, told = Path(temporary), Path(temporary) / "disk", Path(temporary) / "told"
        training, script = prepare(folder / "data")
        clip = str(next((folder / "data").rglob("*.flac")))
        disk.mkdir()

        def judge(option: str, target: Path) -> int:
            return script.main([clip, "--model", str(BUNDLED), option, str(target)])

        def train(target: Path) -> int:
            return training.main(["--resume", "--data", str(folder / "data"), "--outputs", str(target)])

        def scan_folder(target: Path) -> int:
            outputs = ["--csv", str(target / "a.csv"), "--report", str(target / "a.html")]
            return script.main([str(folder / "data"), "--model", str(BUNDLED), "--quiet", *outputs])

        def listen(target: Path) -> int:
            microphone = Path(__file__).with_name("pretended_microphone.py")
            command = [sys.executable, microphone, "--outputs", target, "--model", BUNDLED, "--seconds", "4"]
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
            print(done.stderr)
            return done.returncode

        def answers(target: Path) -> list[str]:
            return sorted((target / "a.csv").read_text("utf-8").splitlines())

        def scores(target: Path) -> list[str]:
            return next(target.glob("run-*/scores.csv")).read_text("utf-8").splitlines()

        cases = [
            Case(state, options, option, functools.partial(judge, option), room)
            for state, options, room in (
                ("full", "size=64k", 0),
                ("no inodes", "size=64m,nr_inodes=1", None),
                ("read-only", "size=64m,ro", None),
            )
            for option in ("--csv", "--report", "--plot", "--labels")
        ]
        life(lambda: train(folder / "undisturbed"))
        life(lambda: scan_folder(folder / "scanned"))
        pages = sum(-(-path.stat().st_size // PAGE) for path in (folder / "undisturbed").rglob("*"))
        for share in (0.02, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.97):
            options = f"size={round(share * pages) * PAGE}"
            cases.append(Case(f"full after {share:.0%} of what is needed", options, "training", train))
        cases += [Case("read-only", "size=64m,ro", "training", train)]
        cases += [Case(f"{count} inodes", f"size=64m,nr_inodes={count}", "training", train) for count in (1, 8, 16, 24)]
        cases = [
            dataclasses.replace(case, result=scores, undisturbed=folder / "undisturbed") if case.work is train else case
            for case in cases
        ]
        for option in ("--csv", "--report", "--plot", "--labels"):
            again = functools.partial(judge, option)
            cases.append(Case("full, with an earlier result", ROOM, option, again, 0, again))
        cases.append(Case("full, with an earlier result", ROOM, "training", train, 0, train))
        cases.append(Case("full after 4 KiB", ROOM, "scan", scan_folder, 4096, None, answers, folder / "scanned"))
        cases.append(Case("full after 32 KiB", ROOM, "microphone", listen, 32768))
        for case in cases:
            row, gone = try_case(case, disk, told)
            rows.append(row)
            lost += gone
            progress(*row)
        for name, work, owner, method, times in (
            ("scan", scan_folder, Table, "add", 5),
            ("training, while features are computed", train, store.FeatureCache, "add", 5),
            ("training, in an epoch", train, store.FeatureCache, "read", 200),
            ("training, before its report", train, examine, "write_scores", 0),
        ):
            row, gone = try_vanishing(name, work, (owner, method, times), folder / "gone", told)
            rows.append(row)
            lost += gone
            progress(*row)
    table(rows)
    print(f"lost: {lost or 'nothing'}")
    return not lost
