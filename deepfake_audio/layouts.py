"""How datasets lie on people's disks, and what their own lists say: one row per layout, so that a new one is a row.

A folder is walked once; then every layout takes the recordings that it knows: a ``clips.csv`` first, then the lists
and tables that datasets bring (:data:`PROTOCOLS`, :data:`TABLES`), then folder and file names (:data:`FOLDERS`), and
last the general rule of folders named after a class. Words decide what is real and what is fake, never a 0 or a 1:
datasets disagree about those. What nobody takes is counted, with examples.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import itertools
import os
import pickle
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from .audio import AUDIO_SUFFIXES
from .errors import CorpusError

SIDES = ("train", "validation", "test")

FOLDER_NAMES = {
    "Real": {"real", "bonafide", "genuine", "original", "authentic", "human"},
    "Fake": {"fake", "spoof", "spoofed", "synthetic", "generated", "deepfake", "ai", "cloned", "tts", "vc"},
    "Hybrid": {"hybrid", "partial", "partiallyfake", "partialspoof", "halftruth"},
}
"""Folder names, without case, blanks, hyphens and underscores, that name a class."""

SIDE_NAMES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""What datasets call their partitions, in lower case."""

TABLE_NAME = "clips.csv"
KNOWN_COLUMNS = ("speaker", "generator", "source", "language", "copy_of")
"""Columns of the table beside ``path`` and ``label``, each of which may be missing; ``side`` is another one."""
SPANS_NAME = "hybrid_spans.csv"

LAYOUT_HELP = "Put clips under <folder>/real/... and <folder>/fake/..., or describe them in <folder>/clips.csv."

EXAMPLES_KEPT = 3
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
LONGEST_WINDOWS_PATH = 260
"""From here on Windows opens a file only where long paths were switched on."""


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
        Fake stretches in seconds of a Hybrid clip; None where the dataset does not give them.
    copy_of : str
        Name (dataset folder and path below it) of the real clip that a pseudo-fake copies, sample for sample in
        time; otherwise empty. Copies are for training only.
    side : str
        One of ``SIDES`` where the dataset's authors put the clip into a partition; otherwise empty.
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
    side: str = ""

    @property
    def generator_family(self) -> str:
        """Name of the synthesiser without its voice: ``Flite (slt)`` and ``Flite (rms)`` sound alike to a detector."""
        return _without_voice(self.generator)


@functools.cache
def _without_voice(generator: str) -> str:
    return re.sub(r"\s*\(.*\)$", "", generator)


@dataclasses.dataclass
class Ignored:
    """How many things were left aside for one reason, and which, for instance."""

    count: int = 0
    examples: list[str] = dataclasses.field(default_factory=list)


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
            # A name that is no text in any encoding must not break the report either.
            entry.examples.append(example.encode("utf-8", "backslashreplace").decode())


# The table of layouts. Groups and columns that are named speaker, generator (attack), source, language, side or label
# fill the clip's field of that name.


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A dataset with lists of one clip per line, columns separated by blanks.

    Attributes
    ----------
    layout : str
        Its name.
    file : str
        Regular expression of a list's whole file name, in any case; a group ``side`` names the partition.
    columns : str
        Names of the columns, ``-`` for those that are not needed, ``segments*`` for all that follow. Needed are
        ``clip`` and ``label``, or ``clip`` and ``segments``.
    audio : str
        Regular expression that is found in the names of folders with its recordings. It keeps apart datasets whose
        clips have the same names, and tells whose list is missing.
    speaker, generator : str
        Templates over the columns; an empty column makes an empty field.
    language : str
        What is spoken, where it is one language.
    side : str
        Partition of all clips where the name of the list does not tell.
    first_line : str
        Regular expression that a list must begin with, where the file name alone is not enough.
    segments : callable, optional
        Finds the stretches of a clip: ``segments(tree, folder, row)`` returns (start s, end s, fake) or None.
    """

    layout: str
    file: str
    columns: str
    audio: str
    speaker: str = "{speaker}"
    generator: str = "{attack}"
    language: str = "en"
    side: str = ""
    first_line: str = ""
    segments: Callable[[Tree, str, dict], list[tuple[float, float, bool]] | None] | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """A dataset with a table that has a header.

    Attributes
    ----------
    layout : str
        Its name.
    file : str
        The table's file name.
    columns : dict of str to str
        For the clip's fields, and for ``clip`` (the file), the name of the column. All must be there.
    delimiter : str
        Between columns.
    label : str
        Class of all clips where there is no such column.
    language : str
        What is spoken, where it is one language.
    warning : str
        What everybody who uses it should know.
    """

    layout: str
    file: str
    columns: dict[str, str]
    delimiter: str = ","
    label: str = ""
    language: str = ""
    warning: str = ""


@dataclasses.dataclass(frozen=True)
class Folders:
    """A dataset that is known by the names of its folders and files.

    Attributes
    ----------
    layout : str
        Its name, which may contain groups.
    folder : str
        Regular expression that is found in a folder's path, in any case; the path begins with the name of the folder
        that was given.
    file : str
        Regular expression of the whole file name without suffix, in any case.
    why : str
        What it is recognised by, in words.
    label, speaker, generator, source, language : str
        Templates over the groups.
    warning : str
        What everybody who uses it should know.
    """

    layout: str
    folder: str
    why: str
    file: str = r".+"
    label: str = "{label}"
    speaker: str = "{speaker}"
    generator: str = "{generator}"
    source: str = "{source}"
    language: str = "{language}"
    warning: str = ""


def _segments_in_npy(tree: Tree, folder: str, row: dict) -> list[tuple[float, float, bool]] | None:
    """Read PartialSpoof's segment labels: ``1`` is bona fide, ``0`` is spoof, at the finest step that is there."""
    step, labels = tree.segment_labels(folder, row["side_word"])
    if row["clip"] in labels:
        fake = np.asarray(labels[row["clip"]]).astype(str) == "0"
        edges = np.flatnonzero(np.diff(fake)) + 1
        bounds = [0, *edges.tolist(), len(fake)]
        return [(a * step, b * step, bool(fake[a])) for a, b in itertools.pairwise(bounds) if b > a]
    path = tree.find(folder, f"{row['clip']}.vad", rf"(?:^|/)vad/{row['side_word']}$")
    if path is None:
        return None
    # Lines of start, end and who speaks: 1 (and 101 in pauses) the speaker, 100 a join, all higher ones a system.
    stretches = [line.split()[:3] for _, line in _lines(path)]
    return [(float(s), float(e), who.isdigit() and int(who) not in (0, 1, 100, 101)) for s, e, who in stretches]


def _segments_in_line(tree: Tree, folder: str, row: dict) -> list[tuple[float, float, bool]] | None:
    """Read ``0.00-2.10-T`` (Half-Truth: T true, F fake) or ``0.00-2.10-bonafide`` (LlamaPartialSpoof)."""
    parsed = []
    for text in re.split(r"[/\s]+", row["segments"]):
        start, end, word = text.split("-", 2)
        label = {"T": "Real", "F": "Fake"}.get(word) or class_of(word)
        if label is None:
            raise ValueError(f"{word!r} is no label")
        parsed.append((float(start), float(end), label != "Real"))
    return parsed


def _segments_where_given(tree: Tree, folder: str, row: dict) -> list[tuple[float, float, bool]] | None:
    return _segments_in_line(tree, folder, row) if row["segments"] else None


_ASVSPOOF_2021 = r"\S+ {task}_E_\d+ \S+ \S+ \S+ (?:bonafide|spoof)\b"

PROTOCOLS = (
    Protocol(
        "ASVspoof 2017",
        r"ASVspoof2017(?:_V2)?_(?P<side>train|dev|eval)\.tr[nl](?:\.txt)?",
        "clip label speaker - environment playback recorder",
        r"ASVspoof2017",
        speaker="ASVspoof 2017 {speaker}",
        generator="replay {playback}-{recorder}",
    ),
    *(
        Protocol(
            f"ASVspoof 2019 {task}",
            rf"ASVspoof2019\.{task}\.cm\.(?P<side>train|dev|eval)\.tr[nl](?:\.txt)?",
            "speaker clip - attack label",
            rf"ASVspoof2019_{task}_(?:train|dev|eval)",
            generator=generator,
        )
        for task, generator in (("LA", "ASVspoof 2019 {attack}"), ("PA", "replay {attack}"))
    ),
    *(
        Protocol(
            f"ASVspoof 2021 {task}",
            r"trial_metadata\.txt",
            "speaker clip codec origin attack label",
            rf"ASVspoof2021_{task}_eval",
            # The systems A07 to A19 are those of 2019.
            generator=generator,
            side="test",
            first_line=_ASVSPOOF_2021.format(task=task),
        )
        for task, generator in (("LA", "ASVspoof 2019 {attack}"), ("DF", "{origin} {attack}"))
    ),
    Protocol(
        "ASVspoof 5",
        r"ASVspoof5\.(?P<side>train|dev|eval)(?:\.track_1)?\.tsv",
        "speaker clip - - - - - attack label",
        r"(?:^|/)flac_[TDE](?:_|/|$)",
        speaker="ASVspoof 5 {speaker}",
        generator="ASVspoof 5 {attack}",
    ),
    Protocol(
        "PartialSpoof",
        r"PartialSpoof\.LA\.cm\.(?P<side>train|dev|eval)\.tr[nl](?:\.txt)?",
        "speaker clip - attack label",
        r"(?:^|/)con_wav$",
        generator="PartialSpoof {attack}",
        segments=_segments_in_npy,
    ),
    Protocol(
        "Half-Truth (HAD)",
        r"HAD_(?P<side>train|dev|test)_label\.txt",
        "clip segments number",
        r"(?:^|/)HAD_(?:train|dev|test)(?:/|$)",
        language="zh",
        segments=_segments_in_line,
    ),
    Protocol(
        "LlamaPartialSpoof",
        r"label_R01TTS\.0\.\w+\.txt",
        "clip - label segments*",
        r"(?:^|/)R01TTS\.0\.\w+$",
        speaker="LibriTTS {clip_1}",
        generator="{clip_0}",
        segments=_segments_where_given,
    ),
)

_WAVEFAKE = (
    "WaveFake has only Fake clips, and one speaker per language: pair it with LJSpeech, say --data WAVEFAKE LJSPEECH, "
    "and with other corpora, or the detector learns the voice."
)
_ONE_VOICE = "It is one speaker: mixed with other corpora it is fine, alone the detector learns the voice."

TABLES = (
    Table("In-the-Wild", "meta.csv", {"clip": "file", "speaker": "speaker", "label": "label"}, language="en"),
    Table(
        "MLAAD",
        "meta.csv",
        {"clip": "path", "generator": "model_name", "language": "language"},
        delimiter="|",
        label="Fake",
        warning="MLAAD has only Fake clips: pair it with M-AILABS, whose sentences it speaks, or other real speech.",
    ),
)

FOLDERS = (
    Folders(
        "Fake-or-Real ({version})",
        r"(?:^|/)(?P<version>for[-_](?:norm|orig|2sec|rerec)\w*)/(?:.+/)?(?P<side>training|validation|testing)/"
        r"(?P<label>real|fake)(?:/|$)",
        "folders {version}/training|validation|testing/real|fake",
        language="en",
    ),
    *(
        Folders(
            "DEEP-VOICE",
            folder,
            "folders AUDIO/REAL, AUDIO/FAKE and DEMONSTRATION with NAME-original and NAME-to-NAME",
            file=file,
            label=label,
            generator="RVC",
            language="en",
        )
        # The voice that is heard is that of the second name.
        for folder, file, label in (
            (r"(?:^|/)AUDIO/REAL$", r"(?P<speaker>[^-]+)-original", "Real"),
            (r"(?:^|/)AUDIO/FAKE$", r"[^-]+-to-(?P<speaker>[^-]+)", "Fake"),
            (r"(?:^|/)DEMONSTRATION$", r"(?P<speaker>[^-]+)-original-DEMO", "Real"),
            (r"(?:^|/)DEMONSTRATION$", r"[^-]+-to-(?P<speaker>[^-]+)-DEMO", "Fake"),
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
            (r"(?:^|/)generated_audio/(?P<generator>jsut_[^/]+)$", r".+", "ja"),
            (r"(?:^|/)generated_audio/(?P<generator>[^/]+)$", r".+", "en"),
            (r"(?:^|/)(?P<generator>jsut_[^/]+)$", r".+_gen|gen_.+", "ja"),
            (r"(?:^|/)(?P<generator>(?:ljspeech|common_voices_prompts)_[^/]+)$", r".+_gen|gen_.+", "en"),
        )
    ),
    Folders(
        "LJSpeech",
        r"(?:^|/)wavs$",
        "files wavs/LJ001-0001",
        file=r"(?P<chapter>LJ\d{3})-\d{4}",
        label="Real",
        # Speaker left open: one that says everything cannot be kept on one side.
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
        warning=TABLES[1].warning,
    ),
)

GENERAL = "folders named real and fake"


def layout_names() -> list[str]:
    """Names of all layouts, each once."""
    special = [layout.layout.split(" (")[0] if "{" in layout.layout else layout.layout
               for layout in (*FOLDERS, *TABLES, *PROTOCOLS)]  # fmt: skip
    return sorted(dict.fromkeys(name.replace(" (repacked)", "") for name in special), key=str.lower)


@functools.cache
def class_of(word: str) -> str | None:
    """Return the class that a folder or a label in a list names, or None."""
    plain = re.sub(r"[-_ ]", "", word.lower())
    return next((label for label, names in FOLDER_NAMES.items() if plain in names), None)


def find_datasets(roots: Iterable[Path], skip: Path | None = None) -> list[Dataset]:
    """Find out what lies below one or more folders.

    Parameters
    ----------
    roots : iterable of Path
        Folders that hold datasets, themselves or some levels down.
    skip : Path, optional
        A folder below them that is not looked into.

    Returns
    -------
    list of Dataset
        By folder; a file reached through two of the folders is listed once.

    Raises
    ------
    CorpusError
        If a folder does not exist, or holds no recording whose class can be told, or a ``clips.csv`` is wrong.
    """
    datasets: list[Dataset] = []
    seen: set[Path] = set()
    taken: Counter[str] = Counter()
    for root in roots:
        root = Path(root)
        if not root.is_dir():
            raise CorpusError(f"There is no folder {root}; give --data a folder that holds recordings. {LAYOUT_HELP}")
        root = root.resolve()
        if not _is_text(str(root)):
            raise CorpusError(f"The name of the folder {str(root)!r} is not valid UTF-8; rename it.")
        title = _title(root)
        taken[title] += 1
        # Two folders called "wav" must not give two clips one name.
        name = title if taken[title] == 1 else f"{title}-{taken[title]}"
        tree = Tree(root, name, skip.resolve() if skip else None)
        found = [*_read_tables(tree), *_read_protocols(tree), *_read_metadata(tree), *_read_folders(tree)]
        found.append(_read_class_folders(tree))
        if not any(dataset.clips for dataset in found):
            raise CorpusError(_nothing_found(root, found))
        _hand_over(found)
        for dataset in found:
            kept = []
            for clip in dataset.clips:
                if clip.path in seen:
                    dataset.ignore("clips that are listed already", clip.name)
                else:
                    kept.append(clip)
                    seen.add(clip.path)
            dataset.clips = kept
        datasets += [dataset for dataset in found if dataset.clips or dataset.ignored]
    return datasets


def _hand_over(found: Sequence[Dataset]) -> None:
    """Let the only dataset of a folder, or none by name, answer for what nobody took."""
    *others, rest = found
    if rest.clips or not rest.ignored:
        return
    homes = [dataset for dataset in others if dataset.clips]
    if len(homes) > 1:
        rest.layout, rest.why = "none", "files that belong to no layout"
        return
    for reason, entry in rest.ignored.items():
        kept = homes[0].ignored.setdefault(reason, Ignored())
        kept.count += entry.count
        kept.examples += entry.examples[: EXAMPLES_KEPT - len(kept.examples)]
    rest.ignored = {}


def _title(root: Path) -> str:
    """Name a folder; kagglehub keeps datasets in ``<name>/versions/<number>``."""
    versioned = root.parent.name == "versions" and root.name.isdigit()
    return root.parent.parent.name if versioned else root.name


def _nothing_found(root: Path, found: Sequence[Dataset]) -> str:
    everything = [(reason, entry) for dataset in found for reason, entry in dataset.ignored.items()]
    nameless = next((entry for reason, entry in everything if reason == NAMELESS), None)
    if nameless:
        what = f"{nameless.count} recordings but no folder named after a class"
        example = nameless.examples[0]
    else:
        what, example = "no recordings", "FILE.wav"
    others = [f"{entry.count} {reason} (such as {entry.examples[0]})" for reason, entry in everything
              if reason not in (NAMELESS, HIDDEN) and entry.examples]  # fmt: skip
    if others and not nameless:
        what = "no recordings that can be used: " + "; ".join(others)
    return (
        f"{root} holds {what}. {LAYOUT_HELP}\n"
        f"Layouts that are recognised: {', '.join(layout_names())}, {TABLE_NAME}, {GENERAL}.\n"
        f"For anything else two lines in {root / TABLE_NAME} are a beginning:\n    path,label\n    {example},real"
    )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


NAMELESS = "recordings without a folder named after a class"
HIDDEN = "hidden files and folders"


class Tree:
    """What lies below a folder: one walk, links followed once.

    Parameters
    ----------
    root : Path
        The folder, resolved.
    name : str
        What clip names begin with.
    skip : Path, optional
        A folder that is not looked into.

    Attributes
    ----------
    audio : dict of str to dict
        For each folder below the root (``""`` is the root) names of recordings that no layout has taken yet.
    others : dict of str to list of str
        All other files.
    ignored : dict of str to Ignored
        What could not even be listed.
    """

    def __init__(self, root: Path, name: str, skip: Path | None = None):
        self.root, self.name, self.title = root, name, _title(root)
        self.audio: dict[str, dict[str, None]] = {}
        self.others: dict[str, list[str]] = {}
        self._where: dict[str, str] = {}
        self._labels: dict[tuple[str, str], tuple[float, dict]] = {}
        self.notes = Dataset(root, "")
        self._walk(str(skip) if skip else "")

    @property
    def ignored(self) -> dict[str, Ignored]:
        return self.notes.ignored

    def _walk(self, skip: str) -> None:
        seen: set[tuple[int, int]] = set()
        waiting, links = [("", str(self.root))], []
        while waiting or links:
            # Links come last, so that what they lead to has its own name where it lies below the root anyway.
            folder, where = waiting.pop() if waiting else links.pop(0)
            try:
                state = os.stat(where)  # noqa: PTH116 - strings all through: a Path per file would double the time
                with os.scandir(where) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                if not folder:
                    raise CorpusError(
                        f"{self.root} cannot be read ({error.strerror}); check its permissions."
                    ) from error
                self.notes.ignore(f"folders that cannot be read ({error.strerror})", folder)
                continue
            if (state.st_dev, state.st_ino) in seen:
                self.notes.ignore("links to a folder that is listed anyway", folder)
                continue
            seen.add((state.st_dev, state.st_ino))
            audio, others, below = self._sort(folder, entries, skip, links)
            self._where[folder] = where
            if audio:
                self.audio[folder] = audio
            if others:
                self.others[folder] = others
            waiting += reversed(below)

    def _sort(self, folder: str, entries, skip: str, links: list) -> tuple[dict[str, None], list[str], list]:
        """Tell recordings, other files and folders apart."""
        audio, others, below = {}, [], []
        for entry in entries:
            name, path = entry.name, f"{folder}/{entry.name}" if folder else entry.name
            is_audio = os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES  # noqa: PTH122
            if not _is_text(name):
                self.notes.ignore("names that are not valid UTF-8", path)
            elif (kind := _kind(entry)) == "folder":
                if entry.path == skip:
                    continue
                if name.startswith((".", "__")):
                    self.notes.ignore(HIDDEN, path)
                elif entry.is_symlink():
                    links.append((path, os.path.realpath(entry.path)))
                else:
                    below.append((path, entry.path))
            elif name.startswith("."):
                if is_audio:
                    self.notes.ignore(HIDDEN, path)
            elif kind != "file":
                self.notes.ignore("links to nothing and special files", path)
            elif _too_long(entry.path):
                self.notes.ignore("paths longer than Windows opens; move the dataset to a shorter one", path)
            elif is_audio:
                audio[name] = None
            else:
                if name.lower().endswith(ARCHIVE_SUFFIXES):
                    self.notes.ignore("archives that are not unpacked", path)
                others.append(name)
        return audio, others, below

    def path(self, folder: str, name: str) -> Path:
        """Where a file is on this machine."""
        return Path(self._where[folder], name)

    def clip(self, folder: str, name: str, label: str, **fields) -> Clip:
        """Take a recording: no other layout gets it."""
        del self.audio[folder][name]
        below = f"{folder}/{name}" if folder else name
        return Clip(f"{self.name}/{below}", self.path(folder, name), label, **fields)

    def below(self, folder: str) -> Iterator[str]:
        """Folders with untaken recordings from `folder` on."""
        return (at for at, names in self.audio.items() if names and _is_below(at, folder))

    def find(self, near: str, name: str, folder: str) -> Path | None:
        """Find the other file of that name, in a folder like that, that is nearest."""
        found = [at for at, names in self._others_by_name.get(name, {}).items() if re.search(folder, at)]
        return self.path(min(found, key=lambda at: _distance(at, near)), name) if found else None

    @functools.cached_property
    def _others_by_name(self) -> dict[str, dict[str, None]]:
        index: dict[str, dict[str, None]] = defaultdict(dict)
        for folder, names in self.others.items():
            for name in names:
                index[name][folder] = None
        return index

    def segment_labels(self, near: str, side: str) -> tuple[float, dict]:
        """Read the segment labels of one partition of PartialSpoof: seconds per label, and labels per clip."""
        if (near, side) not in self._labels:
            files = [(float(match[1]), _distance(folder, near), folder, name)
                     for folder, names in self.others.items() for name in names
                     if (match := re.fullmatch(rf"{side}_seglab_(\d+\.\d+)\.npy", name))]  # fmt: skip
            step, _, folder, name = min(files, default=(0.0, 0, "", ""))
            self._labels[near, side] = step, _read_labels(self.path(folder, name)) if files else {}
        return self._labels[near, side]


def _kind(entry: os.DirEntry) -> str:
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:  # a link to itself
        return ""


def _too_long(path: str) -> bool:
    return os.name == "nt" and len(path) >= LONGEST_WINDOWS_PATH and not os.path.exists(path)  # noqa: PTH110


def _is_below(folder: str, above: str) -> bool:
    return not above or folder == above or folder.startswith(above + "/")


def common_folder(folders: Iterable[str]) -> str:
    """Return the folder that holds all of these."""
    shared = itertools.takewhile(
        lambda parts: len(set(parts)) == 1, zip(*(f.split("/") for f in folders), strict=False)
    )
    return "/".join(parts[0] for parts in shared)


def _distance(one: str, other: str) -> int:
    """Steps from one folder to the other."""
    shared = common_folder((f"/{one}", f"/{other}")).count("/")
    return one.count("/") + other.count("/") - 2 * shared


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines that are not blank."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.strip()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error


class _ArraysOnly(pickle.Unpickler):
    """Reads dictionaries of arrays and nothing that could run code: a dataset is somebody else's file."""

    # fmt: off
    ALLOWED = frozenset({
        ("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numpy", "ndarray"), ("numpy", "dtype"),
        ("numeric", "_frombuffer"), ("_codecs", "encode"),
    })
    # fmt: on

    def find_class(self, module: str, name: str):
        if (module.split(".")[-1], name) not in self.ALLOWED or module.split(".")[0] not in ("numpy", "_codecs"):
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        # Files written by numpy 1 name its old modules.
        return super().find_class(re.sub(r"^numpy\.core\b", "numpy._core", module), name)


def _read_labels(path: Path) -> dict:
    """Read a pickled dictionary of arrays out of an ``.npy`` file."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
            read(file)
            labels = _ArraysOnly(file).load()
        labels = labels.item() if isinstance(labels, np.ndarray) else labels
        if not isinstance(labels, dict):
            raise ValueError("it holds no dictionary")
    except (OSError, ValueError, EOFError, TypeError, LookupError, AttributeError, ImportError,
            pickle.UnpicklingError) as error:  # fmt: skip
        raise CorpusError(f"{path} holds no segment labels ({error}); copy or unpack it again.") from error
    return labels


# clips.csv


def _read_tables(tree: Tree) -> Iterator[Dataset]:
    above: list[str] = []
    for folder, names in tree.others.items():
        if TABLE_NAME in names and not any(_is_below(folder, table) for table in above):
            above.append(folder)  # a table speaks for everything below it
            yield _read_table(tree, folder)


def _read_table(tree: Tree, folder: str) -> Dataset:
    here = tree.path(folder, "").resolve()
    table = here / TABLE_NAME
    dataset = Dataset(here, "clips.csv", f"the table {TABLE_NAME}")
    spans = defaultdict(list)
    if (here / SPANS_NAME).is_file():
        for number, row in _rows(here / SPANS_NAME, ("path", "start_s", "end_s")):
            try:
                start, end = float(row["start_s"]), float(row["end_s"])
            except ValueError:
                start = end = 0.0
            if not 0 <= start < end:
                where = f"{here / SPANS_NAME}, line {number}"
                raise CorpusError(f"{where}: {row['start_s']!r} to {row['end_s']!r} is no stretch of seconds.")
            spans[row["path"]].append((start, end))
    listed = []
    for number, row in _rows(table, ("path", "label")):
        label = class_of(row["label"])
        if label is None:
            raise CorpusError(f"{table}, line {number}: label {row['label']!r} is not real, fake or hybrid.")
        below = posixpath.normpath(f"{folder}/{row['path']}" if folder else row["path"])
        at, file = posixpath.split(below)
        if file in tree.audio.get(at, ()):
            path = tree.path(at, file)  # listed already, so it need not be looked up again
        else:
            path = (here / row["path"]).resolve()
            if not path.is_relative_to(tree.root):
                where = f"{table}, line {number}"
                raise CorpusError(f"{where}: {row['path']!r} leads out of {tree.root}; keep clips inside it.")
            if not path.is_file():
                where = f"{table}, line {number}"
                raise CorpusError(f"{where}: there is no file {path}; correct the table or add the clip.")
            below = path.relative_to(tree.root).as_posix()
            at, file = posixpath.split(below)
        known = {key: (row.get(key) or "").strip() for key in KNOWN_COLUMNS}
        side = (row.get("side") or "").strip().lower()
        if side and side not in SIDE_NAMES:
            raise CorpusError(f"{table}, line {number}: side {side!r} is not train, validation or test.")
        known["side"] = SIDE_NAMES.get(side, "")
        clip_spans = tuple(sorted(spans[row["path"]])) if row["path"] in spans else None
        dataset.clips.append(Clip(f"{tree.name}/{below}", path, label, spans=clip_spans, **known))
        listed.append((at, file))
    for at, file in listed:
        tree.audio.get(at, {}).pop(file, None)
    if not dataset.clips:
        raise CorpusError(f"{table} has no rows; it needs one per clip, with path and label.")
    _report_rest(tree, dataset, [at for at in tree.audio if _is_below(at, folder)], f"not in {TABLE_NAME}")
    return dataset


def _rows(table: Path, needed: Sequence[str], delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and row of a CSV file with a header."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            if missing:
                raise CorpusError(f"{table} lacks the column {missing[0]!r}; its first line must name {list(needed)}.")
            for row in reader:
                yield reader.line_num, {key: value or "" for key, value in row.items() if key}
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{table} is not a readable CSV file ({error}); save it as CSV in UTF-8.") from error


def _report_rest(tree: Tree, dataset: Dataset, folders: Iterable[str], reason: str) -> None:
    """Count the recordings that lie among a dataset's own and are not in its list, so that no other layout has them."""
    for folder in folders:
        for name in tree.audio.get(folder, {}):
            dataset.ignore(reason, f"{folder}/{name}" if folder else name)
        tree.audio[folder] = {}


# Lists


@functools.cache
def _pattern(expression: str) -> re.Pattern:
    return re.compile(expression, re.IGNORECASE)


def _read_protocols(tree: Tree) -> Iterator[Dataset]:
    lists = defaultdict(list)
    for folder, names in tree.others.items():
        for name in names:
            for protocol in PROTOCOLS:
                match = _pattern(protocol.file).fullmatch(name)
                if match and _begins_with(tree.path(folder, name), protocol.first_line):
                    lists[protocol.layout].append((folder, name, match.groupdict().get("side", "")))
    by_stem: dict[str, list[tuple[str, str]]] = defaultdict(list)
    if lists:
        for folder, names in tree.audio.items():
            for name in names:
                by_stem[os.path.splitext(name)[0]].append((folder, name))  # noqa: PTH122
    owners = {folder: _owner(tree, folder) for folder in tree.audio}
    for protocol in PROTOCOLS:
        own = [folder for folder, owner in owners.items() if owner == protocol.layout and tree.audio[folder]]
        if lists[protocol.layout]:
            yield _read_lists(tree, protocol, lists[protocol.layout], by_stem, owners)
        elif own:
            # Without its list nobody can say what a recording of such a dataset is, whatever the folder is called.
            dataset = Dataset(tree.root / common_folder(own), protocol.layout, "names of folders")
            _report_rest(
                tree,
                dataset,
                own,
                f"recordings of {protocol.layout} without its list of labels; give the folder that holds both",
            )
            yield dataset


def _begins_with(path: Path, expression: str) -> bool:
    if not expression:
        return True
    with contextlib.closing(_lines(path)) as lines:
        return bool(re.match(expression, next(lines, (0, ""))[1]))


def _owner(tree: Tree, folder: str) -> str:
    """Name the layout to whose recordings a folder belongs by its name, or ``""``."""
    path = f"{tree.title}/{folder}".rstrip("/")
    if any(class_of(part) in ("Real", "Fake") for part in folder.split("/")):
        return ""  # somebody sorted them into folders
    return next((p.layout for p in PROTOCOLS if _pattern(p.audio).search(path)), "")


def _read_lists(tree: Tree, protocol: Protocol, lists: list, by_stem: dict, owners: dict[str, str]) -> Dataset:
    names = sorted(name for _, name, _ in lists)
    why = f"{names[0]}" + (f" and {len(names) - 1} more lists" if len(names) > 1 else "")
    dataset = Dataset(tree.root, protocol.layout, why)
    columns = protocol.columns.split()
    homes = {folder for folder, owner in owners.items() if owner == protocol.layout}
    numbers: Counter[bool] = Counter()
    unknown_place = 0
    for folder, list_name, side_word in lists:
        side = SIDE_NAMES.get(side_word.lower(), protocol.side)
        listed: set[str] = set()
        for number, line in _lines(tree.path(folder, list_name)):
            where = f"{list_name} line {number}"
            row = _columns(line, columns)
            if row is None:
                dataset.ignore("lines with missing columns", f"{where}: {line[:80]}")
                continue
            stem = row["clip"] = _without_suffix(row["clip"])
            if stem in listed:
                dataset.ignore("lines that name a clip again", f"{where}: {stem}")
                continue
            row["side_word"] = side_word.lower()
            try:
                label, spans = _judge(tree, protocol, folder, row, numbers)
            except _UnusableError as reason:
                dataset.ignore(str(reason), f"{where}: {line[:80]}")
                continue
            listed.add(stem)
            found = [(at, name) for at, name in by_stem.get(stem, ())
                     if name in tree.audio[at] and owners[at] in ("", protocol.layout)]  # fmt: skip
            if not found:
                dataset.ignore("clips that a list names but that are not there", f"{where}: {stem}")
                continue
            at, name = min(found, key=lambda at: _distance(at[0], folder)) if len(found) > 1 else found[0]
            homes.add(at)
            unknown_place += label == "Hybrid" and spans is None
            fields = {"clip_0": "", "clip_1": "", **_parts(stem), **row}
            clip = tree.clip(
                at,
                name,
                label,
                speaker=_fill(protocol.speaker, fields),
                generator=_fill(protocol.generator, fields) if label != "Real" else "",
                language=protocol.language,
                spans=spans,
                side=side,
            )
            dataset.clips.append(clip)
    _report_rest(tree, dataset, sorted(homes), "recordings that no list names")
    dataset.root = tree.root / common_folder([*homes, *(folder for folder, _, _ in lists)])
    if unknown_place:
        dataset.warnings.append(
            f"{unknown_place} partly fake clips have no segment labels: where they are fake is not known. "
            "Add segment_labels/ or vad/ of the dataset."
        )
    if numbers[False] > numbers[True]:
        dataset.warnings.append(
            f"In {numbers[False]} lines the number says the opposite of the segments: the segments were believed."
        )
    return dataset


class _UnusableError(Exception):
    """Why a line of a list is left aside."""


def _columns(line: str, columns: Sequence[str]) -> dict[str, str] | None:
    """Split a line into named columns, or return None when some are missing."""
    rest = columns[-1].endswith("*")
    fields = line.split(None, len(columns) - 1) if rest else line.split()
    if rest and len(fields) == len(columns) - 1:
        fields.append("")
    if len(fields) < len(columns):
        return None
    return {name.rstrip("*"): field for name, field in zip(columns, fields, strict=False) if name != "-"}


def _without_suffix(clip: str) -> str:
    stem, suffix = os.path.splitext(clip)  # noqa: PTH122
    return stem if suffix.lower() in AUDIO_SUFFIXES else clip


def _parts(stem: str) -> dict[str, str]:
    """Read ``dev01-cosyvoice-partial-cf_8842_304647_000034_000001`` as system and speaker."""
    words = stem.split("_")
    systems = words[0].split("-")
    return {"clip_0": systems[1] if len(systems) > 2 else "", "clip_1": words[1] if len(words) > 1 else ""}


def _fill(template: str, fields: dict[str, str]) -> str:
    """Fill a template; where the dataset has nothing to say there is nothing to read."""
    needed = re.findall(r"\{(\w+)\}", template)
    values = {key: fields.get(key) or "" for key in needed}
    if any(value in ("", "-") for value in values.values()):
        return ""
    return template.format(**values)


def _judge(tree: Tree, protocol: Protocol, folder: str, row: dict, numbers: Counter) -> tuple[str, tuple | None]:
    """Return label and fake spans of a line."""
    label = class_of(row["label"]) if "label" in row else None
    if "label" in row and label is None:
        raise _UnusableError("lines with a label that is neither real nor fake")
    if protocol.segments is None:
        return label, None
    try:
        segments = protocol.segments(tree, folder, row)
    except ValueError as error:
        raise _UnusableError("lines or files with segments that cannot be read") from error
    if segments is None:
        # In PartialSpoof a spoofed clip is a partly spoofed one; a list with segments would have said where.
        partly = label == "Fake" and protocol.segments is _segments_in_npy
        return ("Hybrid" if partly else label), None
    fake = [(start, end) for start, end, is_fake in segments if is_fake and end > start]
    real = [(start, end) for start, end, is_fake in segments if not is_fake and end > start]
    if not fake and not real:
        raise _UnusableError("lines or files with segments that cannot be read")
    if label is not None and (label == "Real") != (not fake):
        raise _UnusableError("lines whose label contradicts their segments")
    if "number" in row:
        numbers[(row["number"] == "1") == (not fake)] += 1
    if not fake:
        return "Real", None
    return ("Hybrid", _merged(fake)) if real else ("Fake", None)


def _merged(spans: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Join spans that touch."""
    joined: list[list[float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1] + 1e-6:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    return tuple((round(start, 6), round(end, 6)) for start, end in joined)


# Tables with a header


def _read_metadata(tree: Tree) -> Iterator[Dataset]:
    for table in TABLES:
        found = [folder for folder, names in tree.others.items()
                 if table.file in names and _has_columns(tree.path(folder, table.file), table)]  # fmt: skip
        if not found:
            continue
        dataset = Dataset(tree.root, table.layout, f"{table.file} with the columns {', '.join(table.columns.values())}")
        homes: set[str] = set()
        for folder in found:
            _read_metadata_rows(tree, table, folder, dataset, homes)
        if not dataset.clips:
            # A table that gives nothing must not keep the general rule from the folders around it.
            tree.notes.ignored.update(dataset.ignored)
            continue
        _report_rest(tree, dataset, sorted(homes), f"recordings that {table.file} does not name")
        dataset.root = tree.root / common_folder([*homes, *found])
        if table.warning:
            dataset.warnings.append(table.warning)
        yield dataset


def _has_columns(path: Path, table: Table) -> bool:
    with contextlib.closing(_lines(path)) as lines:
        header = next(lines, (0, ""))[1]
    return set(table.columns.values()) <= {name.strip('" ') for name in header.split(table.delimiter)}


def _read_metadata_rows(tree: Tree, table: Table, folder: str, dataset: Dataset, homes: set[str]) -> None:
    by_name: dict[str, list[str]] = defaultdict(list)
    for at in tree.below(folder):
        for name in tree.audio[at]:
            by_name[name].append(at)
    path = tree.path(folder, table.file)
    for number, row in _rows(path, list(table.columns.values()), table.delimiter):
        where = f"{f'{folder}/' if folder else ''}{table.file} line {number}"
        fields = {field: row.get(column, "").strip() for field, column in table.columns.items()}
        name = fields.pop("clip").replace("\\", "/").split("/")[-1]
        label = table.label or class_of(fields.pop("label"))
        if not name:
            dataset.ignore("lines with missing columns", where)
        elif label is None:
            dataset.ignore("lines with a label that is neither real nor fake", where)
        elif not (places := [at for at in by_name.get(name, ()) if name in tree.audio[at]]):
            dataset.ignore(f"clips that {table.file} names but that are not there", f"{where}: {name}")
        else:
            # Repacked sets have folders named after the classes, and may count from 1 in both.
            at = min(places, key=lambda at: (label_of_folders(at) not in (label, None), _distance(at, folder)))
            homes.add(at)
            fields["language"] = fields.get("language") or table.language
            dataset.clips.append(tree.clip(at, name, label, **fields))


# Folder and file names


def _read_folders(tree: Tree) -> Iterator[Dataset]:
    datasets: dict[str, Dataset] = {}
    homes = defaultdict(set)
    for layout in FOLDERS:
        for folder in list(tree.audio):
            match = _pattern(layout.folder).search(f"{tree.title}/{folder}".rstrip("/"))
            if not match or not tree.audio[folder]:
                continue
            groups = match.groupdict()
            title = layout.layout.format(**groups)
            for name in list(tree.audio[folder]):
                inner = _pattern(layout.file).fullmatch(os.path.splitext(name)[0])  # noqa: PTH122
                if not inner:
                    continue
                dataset = datasets.get(title)
                if dataset is None:
                    dataset = datasets[title] = Dataset(tree.root, title, layout.why.format(**groups))
                    dataset.warnings += [layout.warning] if layout.warning else []
                fields = groups | inner.groupdict()
                label = class_of(_fill(layout.label, fields))
                clip = tree.clip(
                    folder,
                    name,
                    label,
                    speaker=_fill(layout.speaker, fields).lower(),
                    generator=_fill(layout.generator, fields) if label != "Real" else "",
                    source=_fill(layout.source, fields),
                    language=_fill(layout.language, fields),
                    side=SIDE_NAMES.get((groups.get("side") or "").lower(), ""),
                )
                dataset.clips.append(clip)
                homes[title].add(folder)
    for title, dataset in datasets.items():
        dataset.root = tree.root / common_folder(homes[title])
        yield dataset


# The general rule


def label_of_folders(folder: str) -> str | None:
    """Return the class that the deepest telling folder of a path names, or None."""
    return next((label for part in reversed(folder.split("/")) if (label := class_of(part))), None)


def _read_class_folders(tree: Tree) -> Dataset:
    """Label files by the nearest folder above them that names a class; those between tell voice or generator."""
    dataset = Dataset(tree.root, GENERAL, "the nearest folder above that names a class", ignored=tree.ignored)
    known: list[tuple[str, str, list[str], str]] = []
    for folder, names in tree.audio.items():
        parts = [tree.title, *(folder.split("/") if folder else ())]
        depth = next((d for d in range(len(parts) - 1, -1, -1) if class_of(parts[d])), None)
        if depth is None:
            for name in names:
                dataset.ignore(NAMELESS, f"{folder}/{name}" if folder else name)
        elif names:
            # The folder that was given may be called "test" for its own reasons.
            side = next((SIDE_NAMES[p.lower()] for p in reversed(parts[1:]) if p.lower() in SIDE_NAMES), "")
            known.append((folder, class_of(parts[depth]), parts[depth + 1 :], side))
    # A single folder called "test" or "val" is no partition of the authors.
    sides = {side for *_, side in known}
    partitioned = "train" in sides and len(sides - {""}) > 1
    for folder, label, below, side in known:
        if partitioned:
            below = [part for part in below if part.lower() not in SIDE_NAMES]
        for name in list(tree.audio[folder]):
            clip = tree.clip(
                folder,
                name,
                label,
                # real/<speaker>/<book>/..., fake/<language>/<generator>/...
                speaker=below[0] if below and label == "Real" else "",
                generator="/".join(below) if label != "Real" else "",
                side=side if partitioned else "",
            )
            dataset.clips.append(clip)
    if partitioned:
        dataset.why += ", sides by folders such as training, validation, testing"
    return dataset
