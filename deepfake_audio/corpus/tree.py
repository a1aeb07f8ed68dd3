"""What lies below a folder, and the files in it that are no recordings: lists, tables, segment labels."""

from __future__ import annotations

import functools
import io
import itertools
import os
import pickle
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ..errors import CorpusError, in_short
from ..sound import kinds
from ..sound.reading import AUDIO_SUFFIXES
from .clips import Clip, Dataset, Ignored, classes_in

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
UNTOLD_SUFFIXES = ("", ".ts")
"""Of recordings and of other things: their first bytes tell."""
LONGEST_WINDOWS_PATH = 260
"""From here on Windows opens a file only where long paths were switched on."""

HIDDEN = "hidden files and folders"


class Tree:
    """What lies below a folder: one walk, links followed once.

    Parameters
    ----------
    root : Path
        The folder, resolved.
    name : str
        What clip names begin with.
    skip : Path or None
        A folder that is not looked into.
    said : mapping of str to str
        What the user says that names mean, as from :func:`deepfake_audio.corpus.clips.settled`.

    Attributes
    ----------
    audio : dict of str to dict
        For each folder below the root (``""`` is the root) names of recordings that no layout has taken yet.
    others : dict of str to list of str
        All other files.
    ignored : dict of str to Ignored
        What could not even be listed.
    """

    def __init__(self, root: Path, name: str, skip: Path | None, said: Mapping[str, str]):
        self.root, self.name, self.title, self.said = root, name, title_of(root), said
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
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
            is_audio = suffix in AUDIO_SUFFIXES
            if not is_text(name):
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
            elif is_audio or (suffix in UNTOLD_SUFFIXES and kinds.is_sound(kinds.head(Path(entry.path)))):
                audio[name] = None
            else:
                if name.lower().endswith(ARCHIVE_SUFFIXES):
                    self.notes.ignore("archives that are not unpacked", path)
                others.append(name)
        return audio, others, below

    def classes(self, name: str) -> frozenset[str]:
        """Return the classes that a folder's name or a label says; what the user says about it comes first."""
        label = self.said.get(name.strip().casefold())
        return frozenset({label}) if label else classes_in(name)

    def class_of(self, name: str) -> str | None:
        """Return the only class that a name says, or None."""
        classes = self.classes(name)
        return next(iter(classes)) if len(classes) == 1 else None

    def path(self, folder: str, name: str) -> Path:
        """Where a file is on this machine."""
        return Path(self._where[folder], name)

    def clip(self, folder: str, name: str, label: str, **fields) -> Clip:
        """Take a recording: no other layout gets it."""
        del self.audio[folder][name]
        return Clip(posixpath.join(self.name, folder, name), self.path(folder, name), label, **fields)

    def report_rest(self, dataset: Dataset, folders: Iterable[str], reason: str) -> None:
        """Count the recordings that lie among a dataset's own and are not in its list, so no other layout has them."""
        for folder in folders:
            for name in self.audio.get(folder, {}):
                dataset.ignore(reason, posixpath.join(folder, name))
            self.audio[folder] = {}

    def below(self, folder: str) -> Iterator[str]:
        """Folders with untaken recordings from `folder` on."""
        return (at for at, names in self.audio.items() if names and is_below(at, folder))

    def find(self, near: str, name: str, folder: str) -> Path | None:
        """Find the other file of that name, in a folder like that, that is nearest."""
        found = [at for at in self._others_by_name.get(name, ()) if re.search(folder, at)]
        return self.path(min(found, key=lambda at: distance(at, near)), name) if found else None

    @functools.cached_property
    def _others_by_name(self) -> dict[str, list[str]]:
        index = defaultdict(list)
        for folder, names in self.others.items():
            for name in names:
                index[name].append(folder)
        return index

    def segment_labels(self, near: str, split: str) -> tuple[float, dict]:
        """Read the segment labels of one partition of PartialSpoof: seconds per label, and labels per clip."""
        if (near, split) not in self._labels:
            files = [(float(match[1]), distance(folder, near), folder, name)
                     for folder, names in self.others.items() for name in names
                     if (match := re.fullmatch(rf"{split}_seglab_(\d+\.\d+)\.npy", name))]  # fmt: skip
            step, _, folder, name = min(files, default=(0.0, 0, "", ""))
            self._labels[near, split] = step, _read_labels(self.path(folder, name)) if files else {}
        return self._labels[near, split]


def _kind(entry: os.DirEntry) -> str:
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:  # a link to itself
        return ""


def _too_long(path: str) -> bool:
    return os.name == "nt" and len(path) >= LONGEST_WINDOWS_PATH and not os.path.exists(path)  # noqa: PTH110


def is_below(folder: str, above: str) -> bool:
    return not above or folder == above or folder.startswith(above + "/")


def common_folder(folders: Iterable[str]) -> str:
    """Return the folder that holds all of these."""
    shared = itertools.takewhile(
        lambda parts: len(set(parts)) == 1, zip(*(f.split("/") for f in folders), strict=False)
    )
    return "/".join(parts[0] for parts in shared)


def distance(one: str, other: str) -> int:
    """Steps from one folder to the other."""
    shared = common_folder((f"/{one}", f"/{other}")).count("/")
    return one.count("/") + other.count("/") - 2 * shared


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines that are not blank."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.strip()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error


# Pickled labels: a dataset is somebody else's file, so nothing that it names is called, but what stands in for it here.

MOST_LABEL_BYTES = 2**30
"""Size of a file of segment labels: several times what PartialSpoof has."""

MOST_CLIP_BYTES = 16 * 2**20
"""Labels of one clip: hours of them."""


class _Kind:
    """A kind of numbers or texts."""

    def __init__(self, letter: str, *_):
        if not re.fullmatch(r"[USiufb]\d{1,9}|O8", letter):
            raise ValueError("it holds arrays of other things than numbers and texts")
        self.name = letter

    def __setstate__(self, state):
        # The state is (version, byte order, ...); what else it says is what the letter and number say.
        self.name = (state[1] if state[1] in ("<", ">") else "") + self.name


class _Array:
    """An array, which is made empty and filled afterwards."""

    def __init__(self, *_):
        self.values = None

    def __setstate__(self, state):
        _, shape, kind, _, data = state
        self.values = data[0] if isinstance(data, list) else _array(data, kind, shape)


def _array(data: object, kind: _Kind, shape: tuple, *_) -> np.ndarray:
    """Make an array of numbers or texts from raw data; numpy sees that data and shape fit each other."""
    data = data.encode("latin-1") if isinstance(data, str) else bytes(memoryview(data))  # Python 2 wrote text
    if len(data) > MOST_CLIP_BYTES:
        raise ValueError(f"one clip has more than {MOST_CLIP_BYTES >> 20} MiB of labels")
    return (np.frombuffer(data, kind.name) if data else np.empty(0, kind.name)).reshape(shape)


_STAND_INS = {
    "numpy.multiarray._reconstruct": _Array,
    "numpy.multiarray.scalar": lambda kind, data: _array(data, kind, 1)[0].item(),
    "numpy.numeric._frombuffer": _array,
    "numpy.ndarray": None,
    "numpy.dtype": _Kind,
    "_codecs.encode": lambda text, _: text.encode("latin-1"),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        # Files written by numpy 1 name its old modules.
        known = f"{re.sub(r'^numpy[.]_?core[.]', 'numpy.', module)}.{name}"
        if known not in _STAND_INS:
            raise ValueError(f"it asks for {f'{module}.{name}'[:80]!r}")
        return _STAND_INS[known]


def _of_clip(item: object) -> np.ndarray:
    array = item.values if isinstance(item, _Array) else item
    if not isinstance(array, np.ndarray):
        raise TypeError("it holds other things than arrays")
    return array


def _read_labels(path: Path) -> dict[str, np.ndarray]:
    """Read a pickled dictionary of arrays out of an ``.npy`` file."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            file.seek(int.from_bytes(file.read(2 if version[0] == 1 else 4), "little"), os.SEEK_CUR)
            data = file.read(MOST_LABEL_BYTES + 1)
        if len(data) > MOST_LABEL_BYTES:
            raise ValueError(f"it has more than {MOST_LABEL_BYTES >> 20} MiB")
        labels = _Unpickler(io.BytesIO(data), encoding="latin-1").load()
        if isinstance(labels, _Array):
            labels = labels.values  # numpy wraps the dictionary in an array of one object
        if not isinstance(labels, dict):
            raise ValueError("it holds no dictionary")
        return {clip: _of_clip(item) for clip, item in labels.items()}
    except Exception as error:  # a file from somebody else fails in any way
        raise CorpusError(
            f"{path} holds no segment labels ({in_short(str(error) or type(error).__name__)}); copy or unpack it again."
        ) from error


def title_of(root: Path) -> str:
    """Name a folder; kagglehub keeps datasets in ``<name>/versions/<number>``."""
    versioned = root.parent.name == "versions" and root.name.isdigit()
    return root.parent.parent.name if versioned else root.name


def is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
