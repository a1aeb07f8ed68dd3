"""Disks that are full, without inodes, or read-only, and folders that vanish: one sentence, and nothing lost."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from common import SHIPPED, half_written, life, prepare, progress, table

from deepfake_audio import cache, examine, scan

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
    """

    disk: str
    options: str
    name: str
    work: Callable[[Path], int]


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
        if case.disk == "full":
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(512))
        sentence, wrong = refused(lambda: case.work(target), told)
        lost += [wrong] if wrong else []
        filler.unlink(missing_ok=True) if case.disk == "full" else None
        subprocess.run(["mount", "-o", f"remount,{ROOM}", disk], check=True)
        lost += half_written(disk)
        if code := life(lambda: case.work(target), str(told)):
            lost.append(f"again, with room, exit code {code}: {told.read_text('utf-8')[-1500:]}")
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


def run(_: argparse.Namespace) -> bool:
    """Write onto disks that do not take it; return whether every refusal was one sentence and nothing was lost."""
    rows, lost = [("disk", "work", "sentence", "again, with room")], []
    with tempfile.TemporaryDirectory() as temporary:
        folder, disk, told = Path(temporary), Path(temporary) / "disk", Path(temporary) / "told"
        training, script = prepare(folder / "data")
        clip = str(next((folder / "data").rglob("*.flac")))
        disk.mkdir()

        def judge(option: str, target: Path) -> int:
            return script.main([clip, "--model", str(SHIPPED), option, str(target)])

        def train(target: Path) -> int:
            return training.main(["--resume", "--data", str(folder / "data"), "--outputs", str(target)])

        def scan_folder(target: Path) -> int:
            outputs = ["--csv", str(target / "a.csv"), "--report", str(target / "a.html")]
            return script.main([str(folder / "data"), "--model", str(SHIPPED), "--quiet", *outputs])

        cases = [
            Case(state, options, option, lambda target, option=option: judge(option, target))
            for state, options in (
                ("full", "size=64k"),
                ("no inodes", "size=64m,nr_inodes=1"),
                ("read-only", "size=64m,ro"),
            )
            for option in ("--csv", "--report", "--plot", "--labels")
        ]
        life(lambda: train(folder / "undisturbed"))
        pages = sum(-(-path.stat().st_size // PAGE) for path in (folder / "undisturbed").rglob("*"))
        for share in (0.02, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.97):
            options = f"size={round(share * pages) * PAGE}"
            cases.append(Case(f"full after {share:.0%} of what is needed", options, "training", train))
        cases += [Case("read-only", "size=64m,ro", "training", train)]
        cases += [Case(f"{count} inodes", f"size=64m,nr_inodes={count}", "training", train) for count in (1, 8, 16, 24)]
        for case in cases:
            row, gone = try_case(case, disk, told)
            rows.append(row)
            lost += gone
            progress(*row)
        for name, work, owner, method, times in (
            ("scan", scan_folder, scan.Table, "add", 5),
            ("training, while features are computed", train, cache.Writer, "add", 5),
            ("training, in an epoch", train, cache.FeatureCache, "read", 200),
            ("training, before its report", train, examine, "write_scores", 0),
        ):
            gone = folder / "gone"

            def vanish(work=work, owner=owner, method=method, times=times, gone=gone) -> int:
                vanishing(owner, method, gone, times)
                return work(gone)

            sentence, wrong = refused(vanish, told)
            again = life(lambda work=work, gone=gone: work(gone), str(told))
            rows.append(("folder vanishes", name, sentence.replace(str(gone), "FOLDER"), "no" if again else "done"))
            lost += [f"folder vanishes, {name}: {wrong}"] if wrong else []
            lost += [f"folder vanishes, {name}, again: {told.read_text('utf-8')[-1500:]}"] if again else []
            progress(*rows[-1])
    table(rows)
    print(f"lost: {lost or 'nothing'}")
    return not lost
