"""Recordings that stand twice: found by size first, then by their ends, then by the whole file."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

from ..errors import CorpusError
from ..files import file_sha256
from .clips import Clip, Dataset

ENDS_BYTES = 4096
"""So much of both ends of a file is compared before the whole is read."""

MOST_CONTRADICTIONS = 0.01
"""Share of the clips from which on something is wrong with the labels, not with a clip."""

CONTRADICTION = "clips that are the same recording under two labels"


def same_content(clips: Sequence[Clip], kinds: Sequence[Hashable]) -> list[list[int]]:
    """Return groups of places in `clips` of recordings that have the same content and are not all of one kind.

    A kind is a label or a set, say. Files that are empty or cannot be read are like no other.
    """
    groups = [list(range(len(clips)))]
    for key in (_size, _ends, file_sha256):
        finer = []
        for group in groups:
            by_key = defaultdict(list)
            for number in group:
                try:
                    by_key[key(clips[number].path)].append(number)
                except OSError:
                    continue  # what cannot be read is reported where it is decoded
            by_key.pop(0, None)  # empty files are no recordings
            finer += [members for members in by_key.values() if len({kinds[n] for n in members}) > 1]
        groups = finer
    return sorted(groups)


def _size(path: Path) -> int:
    return os.stat(path).st_size  # noqa: PTH116 - hundreds of thousands of them


def _ends(path: Path) -> bytes:
    with path.open("rb") as file:
        start = file.read(ENDS_BYTES)
        file.seek(-min(ENDS_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
        return hashlib.sha256(start + file.read(ENDS_BYTES)).digest()


def copies_of(clips: Sequence[Clip], splits: Sequence[str]) -> dict[int, str]:
    """Return the places of clips whose content also stands in a set before theirs, and of what they are copies."""
    copies = {}
    for group in same_content(clips, splits):
        first, *others = group
        reason = f"the same recording as {clips[first].name} in {splits[first]}"
        copies |= {number: reason for number in others if splits[number] != splits[first]}
    return copies


def leave_out_contradictions(datasets: Sequence[Dataset], allow: bool = False) -> None:
    """Move recordings that stand under two labels from the clips of each dataset to what it leaves out.

    Raises
    ------
    CorpusError
        When they are more than ``MOST_CONTRADICTIONS`` of all clips, unless that is allowed.
    """
    clips = [clip for dataset in datasets for clip in dataset.clips]
    labels = [clip.label for clip in clips]
    reasons: dict[int, str] = {}
    for group in same_content(clips, labels):
        for number in group:
            other = clips[next(n for n in group if labels[n] != labels[number])]
            where = "" if other.path == clips[number].path else f" in {other.name}"
            reasons.setdefault(number, f"{clips[number].label}, and {other.label}{where}")
    places = iter(range(len(clips)))
    for dataset in datasets:
        found, dataset.clips = dataset.clips, []
        for clip, number in zip(found, places, strict=False):
            if number in reasons:
                dataset.left_out.append((clip, reasons[number]))
                dataset.ignore(CONTRADICTION, f"{clip.name} is {reasons[number]}")
            else:
                dataset.clips.append(clip)
    if len(reasons) > MOST_CONTRADICTIONS * len(clips) and not allow:
        raise CorpusError(
            f"{len(reasons)} of {len(clips)} clips are the same recording under two labels, more than "
            f"{MOST_CONTRADICTIONS:.0%}, such as {clips[min(reasons)].name}, which is {reasons[min(reasons)]}; mend "
            "the labels, or leave all of them out with --allow-conflicts."
        )
