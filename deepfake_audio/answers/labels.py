"""Segments as a label track that sound editors show."""

from __future__ import annotations

from pathlib import Path

from ..features.draw import Glimpse
from ..files import atomic_path, remove_leftovers
from ..settings import NO_SPEECH
from .writer import Writer, writing


class Labels(Writer):
    """The segments of one recording as an Audacity label track (File > Import > Labels)."""

    def __init__(self, path: Path):
        self.path = path

    def add(self, result: dict, glimpse: Glimpse | None = None) -> None:
        """Write the file, unless the recording could not be judged."""
        if result["error"]:
            return
        lines = []
        for segment in result["segments"]:
            label = segment["label"]
            text = label if label == NO_SPEECH else f"{label} {segment['fake_probability']:.2f}"
            lines.append(f"{segment['start']:.6f}\t{segment['end']:.6f}\t{text}\n")
        remove_leftovers(self.path)
        with writing(self.path), atomic_path(self.path) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8", newline="\n")
