"""Clips that cannot be decoded: counted, named in a file, left out; too many of them stop a run."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import RunError
from ..files import atomic_path
from ..text import cell
from .clips import Clip

SKIPPED_NAME = "skipped.csv"
MOST_SKIPPED = 0.05
"""Share of the clips from which on something is wrong with the dataset, not with a clip."""


def report_skipped(clips: Sequence[Clip], failures: Mapping[str, str], folder: Path) -> list[str]:
    """Write down which clips were left out and why.

    Parameters
    ----------
    clips : sequence of Clip
        All that should have been used.
    failures : mapping of str to str
        For the name of a clip that cannot be decoded the reason; names of other things are passed over.
    folder : Path
        Where ``skipped.csv`` goes, if there is anything to write.

    Returns
    -------
    list of str
        What to tell the user.

    Raises
    ------
    RunError
        When more than ``MOST_SKIPPED`` of the clips cannot be decoded; the file is written before.
    """
    skipped = [(clip, failures[clip.name]) for clip in clips if clip.name in failures]
    if not skipped:
        return []
    path = folder / SKIPPED_NAME
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["clip", "label", "path", "reason"])
        writer.writerows(map(cell, [clip.name, clip.label, clip.path, reason]) for clip, reason in skipped)
    what = f"{len(skipped)} of {len(clips)} clips cannot be decoded"
    if len(skipped) > MOST_SKIPPED * len(clips):
        raise RunError(
            f"{what}, more than {MOST_SKIPPED:.0%}, such as: {skipped[0][1]} All are named in {path}; "
            "copy or unpack the dataset again, or remove them."
        )
    return [f"{what} and are left out; {SKIPPED_NAME} names them."]
