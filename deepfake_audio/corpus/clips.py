"""What a dataset consists of: its clips, its partitions, and the words that name a class."""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path

from ..text import clean

SPLITS = ("train", "validation", "test")

FOLDER_NAMES = {
    "Real": {"real", "bonafide", "genuine", "original", "authentic", "human"},
    "Fake": {"fake", "spoof", "spoofed", "synthetic", "generated", "deepfake", "ai", "cloned", "tts", "vc"},
    "Hybrid": {"hybrid", "partial", "partiallyfake", "partialspoof", "halftruth"},
}
"""Folder names, without case, blanks, hyphens and underscores, that name a class."""

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""What datasets call their partitions, in lower case."""

EXAMPLES_KEPT = 3

_ONE_OF_THEM = (
    (r"^((?:hidden )?\w+)s\b", r"\1"),
    (r"\b(?:or|and) (file|folder|special file)s\b", r"or \1"),
    (r"\bthat are\b", "that is"),
    (r"\bthat name\b", "that names"),
    (r"\btheir segments\b", "its segments"),
)
"""What makes a reason for leaving several things aside one for a single thing."""


@functools.cache
def class_of(word: str) -> str | None:
    """Return the class that a folder or a label in a list names, or None."""
    plain = re.sub(r"[-_ ]", "", word.lower())
    return next((label for label, names in FOLDER_NAMES.items() if plain in names), None)


@dataclasses.dataclass(frozen=True)
class Clip:
    """One recording of a dataset.

    Attributes
    ----------
    name : str
        Dataset folder and path below it, with forward slashes: the same on every machine.
    path : Path
        Where the file is on this machine.
    label : str
        One of ``CLASS_NAMES``.
    speaker, generator, source, language : str
        As far as the dataset tells; otherwise empty.
    spans : tuple of (float, float), or None
        Fake spans in seconds of a Hybrid clip; None where the dataset does not give them.
    copy_of : str
        Name (dataset folder and path below it) of the real clip that a pseudo-fake copies, sample for sample in
        time; otherwise empty. Copies are for training only.
    family : str
        Engine or model of the generator, without voice, bit rate or checkpoint, where the dataset tells.
    twin_of : str
        Name of the real clip with which a fake one is aligned in time: the same words, spoken by the same voice.
    sample_rate, original_format : str
        In Hz, and ``wav``, ``mp3``, ...: what the recording was before it was cut, where the dataset tells.
    split : str
        One of ``SPLITS`` where the dataset's authors put the clip into a partition; otherwise empty.
    """

    name: str
    path: Path
    label: str
    speaker: str = ""
    generator: str = ""
    source: str = ""
    language: str = ""
    spans: tuple[tuple[float, float], ...] | None = None
    copy_of: str = ""
    split: str = ""
    family: str = ""
    twin_of: str = ""
    sample_rate: str = ""
    original_format: str = ""

    @property
    def generator_family(self) -> str:
        """Name of the synthesiser without its voice: ``Flite (slt)`` and ``Flite (rms)`` sound alike to a detector."""
        return self.family or _without_voice(self.generator)


@functools.cache
def _without_voice(generator: str) -> str:
    return re.sub(r"\s*\(.*\)$", "", generator)


@dataclasses.dataclass
class Ignored:
    """How many things were left aside for one reason, and which, for instance."""

    count: int = 0
    examples: list[str] = dataclasses.field(default_factory=list)

    def counted(self, reason: str) -> str:
        """Return number and reason: ``1 line with missing columns``, ``2 lines with missing columns``."""
        for several, one in _ONE_OF_THEM if self.count == 1 else ():
            reason = re.sub(several, one, reason)
        return f"{self.count} {reason}"


@dataclasses.dataclass
class Dataset:
    """The clips that one layout found below one folder.

    Attributes
    ----------
    root : Path
        Folder that holds all of it.
    layout : str
        Which layout it is.
    why : str
        What it was recognised by.
    clips : list of Clip
        What can be used.
    ignored : dict of str to Ignored
        For each reason what was left aside.
    warnings : list of str
        What the user should know about this dataset.
    """

    root: Path
    layout: str
    why: str = ""
    clips: list[Clip] = dataclasses.field(default_factory=list)
    ignored: dict[str, Ignored] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def ignore(self, reason: str, example: str) -> None:
        """Count something that is left aside."""
        entry = self.ignored.setdefault(reason, Ignored())
        entry.count += 1
        if len(entry.examples) < EXAMPLES_KEPT:
            entry.examples.append(clean(example))  # one line, whatever the name
