"""A large folder scanned into a table: memory, handles, rows."""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path

from common import MODEL, Listener, handles, now_mib, progress, table
from recordings import originals

from deepfake_audio.answers.find import find_recordings
from deepfake_audio.answers.table import Summary, Table
from deepfake_audio.judging import many

MINUTES = 40


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the folder is made: a gigabyte")


def run(arguments: argparse.Namespace) -> bool:
    """Scan a folder; return whether memory and handles stayed and every file has its row."""
    rows, after = [("files", "memory", "handles", "seconds")], []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        folder = Path(temporary) / "calls"
        folder.mkdir()
        sources = dict(originals(Path(temporary), 0.1))
        kinds = [sources[name] for name in ("WAV PCM_16", "FLAC PCM_16", "OGG VORBIS")] * 3
        kinds += [sources["m4a aac"], b"no sound"]
        for number in range(arguments.files):
            (folder / f"{number:06}.wav").write_bytes(kinds[number % len(kinds)])
        listener, summary = Listener(), Summary()
        made = Table(Path(temporary) / "answers.csv", MODEL)
        started = time.monotonic()
        found = find_recordings([str(folder)])
        answers = many.answer_all(found, lambda path: many.answer(path, listener, MODEL), MODEL, arguments.jobs)
        for number, answer in enumerate(answers, 1):
            made.add(answer.result)
            summary.add(answer.result)
            if number % (arguments.files // 20) == 0:
                after.append((now_mib(), handles()))
                took = time.monotonic() - started
                rows.append((number, f"{after[-1][0]:.0f} MiB", after[-1][1], f"{took:.0f}"))
                progress(*rows[-1])
        made.close()
        with (Path(temporary) / "answers.csv").open(encoding="utf-8", newline="") as file:
            answered = sum(not row["channel"] for row in csv.DictReader(file))  # channels have rows of their own
    table(rows)
    growth = max(mib for mib, _ in after) / after[0][0]
    # How many are open at a moment depends on how many decoders work then: what leaks is open at every moment.
    opened = [count for _, count in after]
    leaks = min(opened[len(opened) // 2 :]) - min(opened[: len(opened) // 2])
    print(f"{answered} rows; memory grew by {100 * (growth - 1):.1f} % after the first twentieth\n{summary}")
    return (
        growth <= 1.05
        and leaks <= 0
        and max(opened) <= min(opened) + 4 * arguments.jobs
        and answered == arguments.files
    )
