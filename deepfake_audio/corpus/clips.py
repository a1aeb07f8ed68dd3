"""What a dataset consists of: its clips, its partitions, and the words that name a class."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable
from pathlib import Path

from ..console import command_line
from ..text import clean

SPLITS = ("train", "validation", "test")

# fmt: off
CLASS_WORDS = {
    "Real": {"real", "bonafide", "genuine", "original", "authentic", "human"},
    "Fake": {"fake", "spoof", "spoofed", "synthetic", "synthesized", "synthesised", "generated", "deepfake", "ai",
             "clone", "cloned", "tts", "vc", "synth", "artificial", "manipulated", "forged"},
    "Hybrid": {"hybrid", "partial", "partialfake", "partiallyfake", "partlyfake", "partialspoof", "partiallyspoofed",
               "halftruth", "halffake"},
}
"""Words, in lower case, that name a class."""

NEUTRAL_WORDS = {
    "audio", "voice", "speech", "recording", "clip", "file", "data", "folder", "class", "label", "wav", "wave", "flac",
    "mp3", "ogg", "sound", "sample", "utterance", "track", "video", "split", "recorded", "and",
    "or", "vs", "versus", "all", "only",
}
"""Words that may stand beside them in a name: with any other, it is the name of something else."""
# fmt: on

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""What datasets call their partitions, in lower case."""

EXAMPLES_KEPT = 3

EXACT_FORMATS = ("WAV", "WAVEX", "W64", "RF64", "AIFF", "FLAC", "CAF", "AU", "PCM")
"""Containers, and coding, whose header says how many samples they hold."""

_ONE_OF_THEM = (
    (r"^((?:hidden )?\w+)s\b", r"\1"),
    (r"\b(?:or|and) (file|folder|special file)s\b", r"or \1"),
    (r"\bthat are\b", "that is"),
    (r"\bthat name\b", "that names"),
    (r"\btheir segments\b", "its segments"),
)
"""What makes a reason for leaving several things aside one for a single thing."""


_CLASS_OF = {word: label for label, words in CLASS_WORDS.items() for word in words}
_WORDS = sorted({f"{word}{plural}" for word in (*_CLASS_OF, *NEUTRAL_WORDS, *SPLIT_NAMES) for plural in ("", "s")})
_LONGEST_NAME = 255
_OPPOSITES = (("0", "1"), ("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"))
"""Answers to a question that is not asked: whether a clip is real, or whether it is fake."""


@functools.cache
def classes_in(name: str) -> frozenset[str]:
    """Return the classes that a name says: none unless all its words name a class or are neutral.

    Numbers and single letters count as neutral: ``AI Voices`` and ``x_generated`` say Fake, ``grad-tts`` nothing,
    ``RealVideo-FakeAudio`` two classes.
    """
    plain = "".join(word for word in re.split(r"[-_ ().,&+]+|(?<!mp)\d+", name.lower()) if len(word) > 1)
    words = _words_in(plain) if len(plain) <= _LONGEST_NAME else []
    return frozenset(_CLASS_OF[stem] for word in words or () for stem in {word, word[:-1]} & _CLASS_OF.keys())


@functools.cache
def _words_in(text: str) -> list[str] | None:
    """Return the words that a text without blanks consists of, the first ones as long as can be, or None."""
    for word in reversed(_WORDS):  # in the order of letters a longer word follows its beginning
        if text.startswith(word) and (rest := _words_in(text[len(word) :])) is not None:
            return [word, *rest]
    return None if text else []


def class_of(name: str) -> str | None:
    """Return the only class that a folder or a label in a list says, or None."""
    classes = classes_in(name)
    return next(iter(classes)) if len(classes) == 1 else None


def settled(labels: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return what the user says that names mean, by name in lower case; ``1=fake`` says as well that 0 is real."""
    said = {name.strip().casefold(): label for name, label in labels}
    for pair in _OPPOSITES:
        for one, other in (pair, pair[::-1]):
            if one in said and said[one] != "Hybrid":
                said.setdefault(other, "Fake" if said[one] == "Real" else "Real")
    return said


def label_options(name: str, *labels: str) -> str:
    """Return what to type to say what a name means: ``--label 1=real or --label 1=fake``."""
    return " or ".join(command_line(["--label", f"{name}={label.lower()}"]) for label in labels or ("Real", "Fake"))


def says_its_length(*kind: str) -> bool:
    """Say whether files of a format, such as ``WAV`` and ``PCM_16``, hold exactly as many samples as they say."""
    words = re.findall(r"[A-Z\d]+", " ".join(kind).upper())
    return words[:1] != [] and words[0] in EXACT_FORMATS and not {"ADPCM", "GSM610", "MPEG"} & {*words}


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
    family : str
        Engine or model of the generator, without voice, bit rate or checkpoint, where the dataset tells.
    twin_of : str
        Name of the real clip with which a fake one is aligned in time: the same words, spoken by the same voice.
    sample_rate, original_format, original_samples : str
        Rate in Hz, ``wav``, ``mp3``, ..., and length in samples of what the clip was cut from, where the dataset tells.
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
    split: str = ""
    family: str = ""
    twin_of: str = ""
    sample_rate: str = ""
    original_format: str = ""
    original_samples: str = ""

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
    why : str
        What the layout was recognised by.
    ignored : dict of str to Ignored
        For each reason what was left aside.
    left_out : list of (Clip, str)
        Clips whose labels contradict each other, with the reason.
    warnings : list of str
        What the user should know about this dataset.
    """

    root: Path
    layout: str
    why: str = ""
    clips: list[Clip] = dataclasses.field(default_factory=list)
    ignored: dict[str, Ignored] = dataclasses.field(default_factory=dict)
    left_out: list[tuple[Clip, str]] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def left_aside(self) -> list[str]:
        """Say what was left aside, and why, with examples, a line per reason."""
        lines = []
        for reason, entry in self.ignored.items():
            more = ", ..." if entry.count > len(entry.examples) else ""
            lines.append(f"{entry.counted(reason)} ({', '.join(entry.examples)}{more})")
        return lines

    def ignore(self, reason: str, example: str) -> None:
        """Count something that is left aside."""
        entry = self.ignored.setdefault(reason, Ignored())
        entry.count += 1
        if len(entry.examples) < EXAMPLES_KEPT:
            entry.examples.append(clean(example))  # one line, whatever the name


@dataclasses.dataclass(frozen=True)
class Corpus:
    """All datasets that a command is about."""

    datasets: list[Dataset]

    @property
    def clips(self) -> list[Clip]:
        """What can be used of all of them."""
        return [clip for dataset in self.datasets for clip in dataset.clips]

    @property
    def left_out(self) -> list[tuple[Clip, str]]:
        """Clips whose labels contradict each other, with the reason."""
        return [row for dataset in self.datasets for row in dataset.left_out]

    @property
    def remarks(self) -> list[str]:
        """What a run should not pass over in silence, a line each."""
        lines = []
        for dataset in self.datasets:
            lines += [f"{dataset.layout}: {warning}" for warning in dataset.warnings]
            lines += [f"{dataset.layout}: left aside {line}" for line in dataset.left_aside()]
        return list(map(clean, lines))
