"""How datasets lie on people's disks, and what their own lists say: one row per layout, so that a new one is a row.

Lists and tables that datasets bring (:data:`PROTOCOLS`), folder and file names (:data:`FOLDERS`). Words decide what is
real and what is fake, never a 0 or a 1: datasets disagree about those. :mod:`deepfake_audio.corpus.known` reads by
these tables.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable

import numpy as np

from .clips import class_of
from .tree import Tree, lines_of

# The table of layouts. Groups and columns that are named speaker, generator, source, language, split or label
# fill the clip's field of that name.


@dataclasses.dataclass(frozen=True)
class Layout:
    """What tells one dataset from others, and templates over what it says of a clip.

    Attributes
    ----------
    layout : str
        Its name.
    label, speaker, generator, source, language : str
        Templates over groups and columns; where one of those is empty, so is what they make.
    warning : str
        What everybody who uses it should know.
    """

    layout: str
    _: dataclasses.KW_ONLY
    label: str = "{label}"
    speaker: str = "{speaker}"
    generator: str = "{generator}"
    source: str = "{source}"
    language: str = "{language}"
    warning: str = ""

    @property
    def warnings(self) -> list[str]:
        """What to tell about a dataset."""
        return [self.warning] if self.warning else []

    def about(self, label: str, said: dict[str, str]) -> dict[str, str]:
        """Return what a clip of a class is told to be: its speaker, generator, source and language."""
        about = {field: fill(getattr(self, field), said) for field in ("speaker", "generator", "source", "language")}
        return about | {"generator": "" if label == "Real" else about["generator"]}


@dataclasses.dataclass(frozen=True)
class Protocol(Layout):
    """A dataset with lists or tables of one clip per line.

    Attributes
    ----------
    file : str
        Regular expression of a list's whole file name, in any case; a group ``split`` names the partition.
    columns : str
        Of a list, names of the columns, which are separated by blanks: ``-`` for those that are not needed,
        ``segments*`` for all that follow. Of a table, whose first line names its columns, ``name=header`` for each that
        is needed. Needed are ``clip``, and ``label`` or ``segments``.
    audio : str
        Regular expression that is found in the names of folders with its recordings. It keeps apart datasets whose
        clips have the same names, and tells whose list is missing. Without it, recordings lie below the list.
    clip : str
        Regular expression of the name of a clip, whose groups count as columns.
    split : str
        Partition of all clips where the name of the list does not tell.
    first_line : str
        Regular expression that a list must begin with, where the file name alone is not enough.
    segments : callable, optional
        Finds the spans of a clip: ``segments(tree, folder, row)`` returns (start s, end s, fake) or None.
    """

    file: str
    columns: str
    audio: str = ""
    clip: str = r"(?s).*"
    language: str = dataclasses.field(default="en", kw_only=True)
    split: str = ""
    first_line: str = ""
    segments: Callable[[Tree, str, dict], list[tuple[float, float, bool]] | None] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What a table calls the columns that are needed; of a list, nothing."""
        return dict(column.split("=") for column in self.columns.split() if "=" in column)


@dataclasses.dataclass(frozen=True)
class Folders(Layout):
    """A dataset that is known by the names of its folders and files.

    Attributes
    ----------
    folder : str
        Regular expression that is found in a folder's path, in any case; the path begins with the name of the folder
        that was given. Its groups may stand in the layout's name, too.
    why : str
        What it is recognised by, in words.
    file : str
        Regular expression of the whole file name without suffix, in any case.
    """

    folder: str
    why: str
    file: str = r".+"


def segments_in_npy(tree: Tree, folder: str, row: dict) -> list[tuple[float, float, bool]] | None:
    """Read PartialSpoof's segment labels: ``1`` is bona fide, ``0`` is spoof, at the finest step that is there."""
    step, labels = tree.segment_labels(folder, row["split"])
    if row["clip"] in labels:
        fake = np.asarray(labels[row["clip"]]).astype(str) == "0"
        edges = np.flatnonzero(np.diff(fake)) + 1
        bounds = [0, *edges.tolist(), len(fake)]
        return [(a * step, b * step, bool(fake[a])) for a, b in itertools.pairwise(bounds) if b > a]
    path = tree.find(folder, f"{row['clip']}.vad", rf"(?:^|/)vad/{row['split']}$")
    if path is None:
        return None
    # Lines of start, end and who speaks: 1 (and 101 in pauses) the speaker, 100 a boundary, all higher ones a system.
    spans = [line.split()[:3] for _, line in lines_of(path)]
    return [(float(s), float(e), who.isdigit() and int(who) not in (0, 1, 100, 101)) for s, e, who in spans]


def _segments_in_line(tree: Tree, folder: str, row: dict) -> list[tuple[float, float, bool]] | None:
    """Read ``0.00-2.10-T`` (Half-Truth: T true, F fake) or ``0.00-2.10-bonafide`` (LlamaPartialSpoof)."""
    parsed = []
    for text in re.split(r"[/\s]+", row["segments"]) if row["segments"] else ():
        start, end, word = text.split("-", 2)
        label = {"T": "Real", "F": "Fake"}.get(word) or class_of(word)
        if label is None:
            raise ValueError(f"{word!r} is no label")
        parsed.append((float(start), float(end), label != "Real"))
    return parsed or None


_ASVSPOOF_2021 = r"\S+ {task}_E_\d+ \S+ \S+ \S+ (?:bonafide|spoof)\b"

_WAVEFAKE = (
    "WaveFake has only Fake clips, and one speaker per language: pair it with LJSpeech, say --data WAVEFAKE LJSPEECH, "
    "and with other corpora, or the detector learns the voice."
)
_ONE_VOICE = "It is one speaker: mixed with other corpora it is fine, alone the detector learns the voice."
_MLAAD = "MLAAD has only Fake clips: pair it with M-AILABS, whose sentences it speaks, or other real speech."

PROTOCOLS = (
    Protocol(
        "ASVspoof 2017",
        r"ASVspoof2017(?:_V2)?_(?P<split>train|dev|eval)\.tr[nl](?:\.txt)?",
        "clip label speaker - environment playback recorder",
        r"ASVspoof2017",
        speaker="ASVspoof 2017 {speaker}",
        generator="replay {playback}-{recorder}",
    ),
    *(
        Protocol(
            f"ASVspoof 2019 {task}",
            rf"ASVspoof2019\.{task}\.cm\.(?P<split>train|dev|eval)\.tr[nl](?:\.txt)?",
            "speaker clip - generator label",
            rf"ASVspoof2019_{task}_(?:train|dev|eval)",
            generator=generator,
        )
        for task, generator in (("LA", "ASVspoof 2019 {generator}"), ("PA", "replay {generator}"))
    ),
    *(
        Protocol(
            f"ASVspoof 2021 {task}",
            r"trial_metadata\.txt",
            "speaker clip codec origin generator label",
            rf"ASVspoof2021_{task}_eval",
            # The systems A07 to A19 are those of 2019.
            generator=generator,
            split="test",
            first_line=_ASVSPOOF_2021.format(task=task),
        )
        for task, generator in (("LA", "ASVspoof 2019 {generator}"), ("DF", "{origin} {generator}"))
    ),
    Protocol(
        "ASVspoof 5",
        r"ASVspoof5\.(?P<split>train|dev|eval)(?:\.track_1)?\.tsv",
        "speaker clip - - - - - generator label",
        r"(?:^|/)flac_[TDE](?:_|/|$)",
        speaker="ASVspoof 5 {speaker}",
        generator="ASVspoof 5 {generator}",
    ),
    Protocol(
        "PartialSpoof",
        r"PartialSpoof\.LA\.cm\.(?P<split>train|dev|eval)\.tr[nl](?:\.txt)?",
        "speaker clip - generator label",
        r"(?:^|/)con_wav$",
        generator="PartialSpoof {generator}",
        segments=segments_in_npy,
    ),
    Protocol(
        "Half-Truth (HAD)",
        r"HAD_(?P<split>train|dev|test)_label\.txt",
        "clip segments -",
        r"(?:^|/)HAD_(?:train|dev|test)(?:/|$)",
        language="zh",
        segments=_segments_in_line,
    ),
    Protocol(
        "LlamaPartialSpoof",
        r"label_R01TTS\.0\.\w+\.txt",
        "clip - label segments*",
        r"(?:^|/)R01TTS\.0\.\w+$",
        clip=r"(?:[^_-]*-(?P<system>[^_-]*)-[^_]*|[^_]*)(?:_(?P<reader>[^_]*).*)?",
        speaker="LibriTTS {reader}",
        generator="{system}",
        segments=_segments_in_line,
    ),
    Protocol("In-the-Wild", r"meta\.csv", "clip=file speaker=speaker label=label"),
    Protocol(
        "MLAAD",
        r"meta\.csv",
        "clip=path generator=model_name language=language",
        label="Fake",
        language="{language}",
        warning=_MLAAD,
    ),
)

FOLDERS = (
    Folders(
        "Fake-or-Real ({version})",
        r"(?:^|/)(?P<version>for[-_](?:norm|orig|2sec|rerec)\w*)/(?:.+/)?(?P<split>training|validation|testing)/"
        r"(?P<label>real|fake)(?:/|$)",
        "folders {version}/training|validation|testing/real|fake",
        language="en",
    ),
    *(
        Folders(
            "DEEP-VOICE",
            r"(?:^|/)(?:AUDIO/(?:REAL|FAKE)|DEMONSTRATION)$",
            "folders AUDIO/REAL, AUDIO/FAKE and DEMONSTRATION with NAME-original and NAME-to-NAME",
            file=file,
            label=label,
            generator="RVC",
            language="en",
        )
        # The voice that is heard is that of the second name.
        for file, label in (
            (r"(?P<speaker>[^-]+)-original(?:-DEMO)?", "Real"),
            (r"[^-]+-to-(?P<speaker>[^-]+)(?:-DEMO)?", "Fake"),
        )
    ),
    Folders(
        "In-the-Wild (repacked)",
        r"(?:^|/)[^/]*in[-_ ]?the[-_ ]?wild[^/]*/(?:.+/)?(?P<label>real|fake|bona-?fide|spoof)$",
        "folders release_in_the_wild/real|fake without meta.csv",
        language="en",
    ),
    *(
        Folders(
            "WaveFake",
            folder,
            "folders generated_audio/<corpus>_<vocoder> or files *_gen",
            file=file,
            label="Fake",
            language=language,
            warning=_WAVEFAKE,
        )
        for folder, file, language in (
            (r"(?:^|/)(?P<generator>jsut_[^/]+)$", r".+_gen|gen_.+", "ja"),
            (r"(?:^|/)(?P<generator>(?:ljspeech|common_voices_prompts)_[^/]+)$", r".+_gen|gen_.+", "en"),
            (r"(?:^|/)generated_audio/(?P<generator>[^/]+)$", r".+", "en"),
        )
    ),
    Folders(
        "LJSpeech",
        r"(?:^|/)wavs$",
        "files wavs/LJ001-0001",
        file=r"(?P<chapter>LJ\d{3})-\d{4}",
        label="Real",
        # Speaker left open: one that says everything cannot be kept in one set.
        source="LJSpeech {chapter}",
        language="en",
        warning=_ONE_VOICE,
    ),
    Folders(
        "JSUT",
        r"(?:^|/)jsut[^/]*/(?P<part>[^/]+)/wav$",
        "folders jsut_ver1.1/<part>/wav",
        label="Real",
        source="JSUT {part}",
        language="ja",
        warning=_ONE_VOICE,
    ),
    Folders(
        "M-AILABS",
        r"(?:^|/)(?P<language>[a-z]{2})_[A-Z]{2}/by_book/(?:female|male)/(?P<speaker>[^/]+)/(?P<book>[^/]+)(?:/|$)",
        "folders <language>/by_book/female|male/<speaker>",
        label="Real",
        source="M-AILABS {book}",
    ),
    Folders(
        "MLAAD",
        r"(?:^|/)mlaad[^/]*/(?:.+/)?fake/(?P<language>[^/]+)/(?P<generator>[^/]+)$",
        "folders fake/<language>/<model> without meta.csv",
        label="Fake",
        warning=_MLAAD,
    ),
)

GENERAL = "folders named real and fake"


def layout_names() -> list[str]:
    """Names of all layouts, each once."""
    special = [layout.layout.split(" (")[0] if "{" in layout.layout else layout.layout
               for layout in (*FOLDERS, *PROTOCOLS)]  # fmt: skip
    return sorted(dict.fromkeys(name.replace(" (repacked)", "") for name in special), key=str.lower)


@functools.cache
def pattern(expression: str) -> re.Pattern:
    """Compile a regular expression that matches in any case."""
    return re.compile(expression, re.IGNORECASE)


def fill(template: str, fields: dict[str, str]) -> str:
    """Fill a template; where the dataset has nothing to say there is nothing to read."""
    needed = re.findall(r"\{(\w+)\}", template)
    values = {key: fields.get(key) or "" for key in needed}
    if any(value in ("", "-") for value in values.values()):
        return ""
    return template.format(**values)
