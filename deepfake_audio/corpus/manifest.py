"""What a run tells and writes down about its clips: where each stands, and which are left out, and why."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import RunError
from ..files import atomic_path
from ..settings import CLASS_NAMES
from ..text import cell, clean, counted
from .clips import SPLITS, Clip
from .split import Splits

SKIPPED_NAME = "skipped.csv"
MOST_SKIPPED = 0.05
"""Share of the clips from which on something is wrong with the dataset, not with a clip."""


def report_skipped(
    clips: Sequence[Clip], failures: Mapping[str, str], folder: Path, left_out: Sequence[tuple[Clip, str]] = ()
) -> list[str]:
    """Write ``skipped.csv`` into a folder, if there is anything to write, and return what to tell the user.

    Parameters
    ----------
    clips : sequence of Clip
        All that should have been used.
    failures : mapping of str to str
        For the name of a clip that cannot be decoded the reason; names of other things are passed over.
    left_out : sequence of (Clip, str)
        Others that were not used, each with the reason; they are only written down.

    Raises
    ------
    RunError
        When more than ``MOST_SKIPPED`` of the clips cannot be decoded; the file is written before.
    """
    skipped = [(clip, failures[clip.name]) for clip in clips if clip.name in failures]
    if not skipped and not left_out:
        return []
    path = folder / SKIPPED_NAME
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["clip", "label", "path", "reason"])
        writer.writerows(
            map(cell, [clip.name, clip.label, clip.path, reason]) for clip, reason in [*skipped, *left_out]
        )
    if not skipped:
        return []
    what = f"{len(skipped)} of {len(clips)} clips cannot be decoded"
    if len(skipped) > MOST_SKIPPED * len(clips):
        raise RunError(
            f"{what}, more than {MOST_SKIPPED:.0%}, such as: {skipped[0][1]} All are named in {path}; "
            "copy or unpack the dataset again, or remove them."
        )
    return [f"{what} and are left out; {SKIPPED_NAME} names them."]


def describe_data(clips: Sequence[Clip]) -> list[str]:
    """Say in a sentence per dataset folder what is in it."""
    lines = []
    for root in sorted({clip.name.split("/")[0] for clip in clips}):
        members = [clip for clip in clips if clip.name.split("/")[0] == root]
        counts = Counter(clip.label for clip in members)
        languages = sorted({clip.language for clip in members} - {""})
        lines.append(
            f"{root}: "
            + ", ".join(f"{counts[label]} {label}" for label in CLASS_NAMES if counts[label])
            + (" clip, " if len(members) == 1 else " clips, ")
            + f"{counted(len({c.speaker for c in members} - {''}), 'named speaker')}, "
            + counted(len({c.generator for c in members} - {""}), "named generator")
            + (f", languages {', '.join(languages)}" if languages else "")
            + "; for licences see the dataset."
        )
    return list(map(clean, lines))


def describe(splits: Splits) -> str:
    """Lay out for a console what stands in which set."""
    keys = ("speaker", "source", "generator")
    rows = [("Set", *CLASS_NAMES, *(f"{key}s" for key in keys))]
    for split, clips in [*splits.sets.items(), ("left out", [clip for clip, _ in splits.left_out])]:
        counts = Counter(clip.label for clip in clips)
        named = (len({getattr(clip, key) for clip in clips} - {""}) for key in keys)
        rows.append((split, *(str(counts[label]) for label in CLASS_NAMES), *map(str, named)))
    lines = [f"{row[0]:<12}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows]
    return "\n".join(lines + [clean(f"warning: {warning}") for warning in splits.warnings])


MANIFEST_COLUMNS = ("clip", "label", "speaker", "generator", "source", "language", "group", "split", "reason")


def _manifest_rows(splits: Splits) -> Iterator[tuple[tuple[str, ...], Path]]:
    reasons = {clip.name: reason for clip, reason in splits.left_out}
    placed = [(clip, split) for split in SPLITS for clip in splits.sets[split]]
    placed += [(clip, "left out") for clip, _ in splits.left_out]
    for clip, split in sorted(placed, key=lambda row: row[0].name):
        labels = (clip.name, clip.label, clip.speaker, clip.generator, clip.source, clip.language)
        yield (*labels, splits.groups[clip.name], split, reasons.get(clip.name, "")), clip.path


def fingerprint(splits: Splits) -> str:
    """Return the SHA-256 over names, labels, groups and sets; paths of this machine do not enter."""
    digest = hashlib.sha256()
    for row, _ in _manifest_rows(splits):
        digest.update("\x1f".join(row).encode("utf-8", "surrogatepass") + b"\x1e")
    return digest.hexdigest()


def write_manifest(path: Path, splits: Splits) -> None:
    """Record every clip with its labels, its group, its set and, where left out, the reason, as CSV."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*MANIFEST_COLUMNS, "path"])
        writer.writerows(map(cell, [*row, clip_path]) for row, clip_path in _manifest_rows(splits))
