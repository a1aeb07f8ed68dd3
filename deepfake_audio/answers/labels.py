"""Segments as a label track that sound editors show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import OutputError
from ..files import atomic_path, remove_leftovers
from ..settings import NO_SPEECH


def write_labels(path: Path, segments: Sequence[dict]) -> None:
    """Write segments as an Audacity label track (File > Import > Labels).

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    lines = []
    for segment in segments:
        label = segment["label"]
        text = label if label == NO_SPEECH else f"{label} {segment['fake_probability']:.2f}"
        lines.append(f"{segment['start']:.6f}\t{segment['end']:.6f}\t{text}\n")
    remove_leftovers(path)
    try:
        with atomic_path(path) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(f"'{path}' cannot be written ({error.strerror}): name another file.") from error
