"""Spectrograms on disk, shared by all runs: computed once for a file's content and the feature settings.

An index (SQLite) says where in which shard a spectrogram lies; a shard is a flat file of half-precision numbers that
one writer appends to. A row enters the index only after its numbers are in the shard, so whoever is killed leaves at
most numbers that nobody asks for. Writers never share a shard, and SQLite's locks go with the process that holds them,
so runs may start, die and work beside each other as they like.
"""

from __future__ import annotations

import array
import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import os
import sqlite3
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import console
from ..errors import DiskFullError, RunError
from ..files import file_sha256, write_all
from ..settings import FeatureSettings

FEATURE_VERSION = 1
"""To be raised when the same sound and settings give other spectrograms than before."""

INDEX_NAME = "index.sqlite"
SHARD_SUFFIX = ".f16"

SCHEMA = """
CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, modified_ns INTEGER, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, shard TEXT, start INTEGER, frames INTEGER, seconds REAL,
    speech_seconds REAL, crc32 INTEGER) WITHOUT ROWID;
"""

PATIENCE_SECONDS = 60.0
"""How long another run may keep the index to itself; it writes for milliseconds."""

SETTLED_SECONDS = 2.0
"""A file that was changed less than this before it was hashed could change again under the same time stamp, so that
its hash is not remembered."""

ROWS_PER_COMMIT, SECONDS_PER_COMMIT = 256, 5.0
"""A killed run loses at most so many spectrograms, and no more than it finished within so many seconds."""

DEAD_SECONDS = 30 * 86_400.0
"""A shard that no row of the index names and that nobody has appended to for so long is dead. What a run wrote it reads
until its end, also where another run has entered the same clips since."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Extent(NamedTuple):
    """Where a clip's spectrogram lies, in frames, and how long the clip is, in seconds."""

    shard: str
    start: int
    frames: int
    seconds: float
    speech_seconds: float


class Spectrogram(NamedTuple):
    """What is computed for one clip: half-precision dB values of shape (frames, mel_bands), and seconds."""

    values: np.ndarray
    seconds: float
    speech_seconds: float


class Extents(Mapping[str, Extent]):
    """Where the spectrograms of clips lie, by the clips' names, in the order in which they were added.

    A dictionary of tuples, but in columns: 50 bytes and its name for a clip instead of half a kilobyte.
    """

    def __init__(self):
        self._shards: list[str] = []
        self._names = bytearray()
        self._ends = array.array("q", [0])
        self._columns = [array.array(kind) for kind in "IqIdd"]
        self._index: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, names: Iterable[str], extents: Iterable[Extent]) -> None:
        """Add clips, none of which is there already."""
        for name, extent in zip(names, extents, strict=True):
            self._names += _encoded(name)
            self._ends.append(len(self._names))
            if extent.shard not in self._shards:
                self._shards.append(extent.shard)
            shard = self._shards.index(extent.shard)
            for column, value in zip(self._columns, (shard, *extent[1:]), strict=True):
                column.append(value)
        self._index = None

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[str]:
        return (self._name(row).decode(errors="surrogateescape") for row in range(len(self)))

    def __contains__(self, name) -> bool:
        return self._row(name) is not None

    def __getitem__(self, name: str) -> Extent:
        row = self._row(name)
        if row is None:
            raise KeyError(name)
        shard, *rest = (column[row] for column in self._columns)
        return Extent(self._shards[shard], *rest)

    def _name(self, row: int) -> bytes:
        return bytes(self._names[self._ends[row] : self._ends[row + 1]])

    def _row(self, name: str) -> int | None:
        """Find a clip by the checksum of its name, in a sorted list of them; several names may share one."""
        if self._index is None:
            sums = np.fromiter((zlib.crc32(self._name(row)) for row in range(len(self))), np.uint32, len(self))
            order = np.argsort(sums, kind="stable").astype(np.uint32)
            self._index = sums[order], order
        sums, order = self._index
        wanted = _encoded(name)
        # Of the array's own type: with another one, numpy would convert all of it every time.
        first, last = (np.searchsorted(sums, np.uint32(zlib.crc32(wanted)), side) for side in ("left", "right"))
        return next((row for row in order[first:last].tolist() if self._name(row) == wanted), None)


def _encoded(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


class FeatureCache:
    """The cache in one folder, as seen with one set of feature settings.

    Parameters
    ----------
    folder : Path
        Where index and shards lie; made when missing. It may be deleted whenever no run uses it.
    settings : FeatureSettings
        Spectrograms of other settings are not seen, but kept.

    Raises
    ------
    RunError
        If the folder cannot be used. A damaged index is no error: the cache starts empty again.
    """

    def __init__(self, folder: Path, settings: FeatureSettings):
        self.folder = Path(folder)
        self.mel_bands = settings.mel_bands
        values = dataclasses.asdict(settings)
        del values["dynamic_range_db"]  # enters per window, after the cache
        self._recipe = json.dumps([FEATURE_VERSION, values], sort_keys=True)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"No features can be kept in {self.folder} ({error.strerror}); give another --cache."
            ) from error
        if not self._sound():
            console.say(f"warning: The index of {self.folder} was damaged; features are computed again.")
            for path in (*self.folder.glob(f"{INDEX_NAME}*"), *self.folder.glob(f"*{SHARD_SUFFIX}")):  # journal, too
                with contextlib.suppress(OSError):
                    path.unlink()
        self._bury()

    def _bury(self) -> None:
        """Remove the shards of writers that were killed before they entered anything."""
        with self._index() as index:  # also where there is none: whether it can be used is known from now on
            old = [path for path in self.folder.glob(f"*{SHARD_SUFFIX}") if _age_seconds(path) > DEAD_SECONDS]
            named = {shard for (shard,) in index.execute("SELECT DISTINCT shard FROM features")} if old else set()
        for path in old:
            if path.stem not in named:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _sound(self) -> bool:
        """Say whether the index can be read from end to end."""
        try:
            with contextlib.closing(self._connect()) as index:
                return index.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        except sqlite3.OperationalError:
            return True  # locked, or not to be opened: said where it is needed
        except sqlite3.DatabaseError:
            return False

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.folder / INDEX_NAME, timeout=PATIENCE_SECONDS)

    @contextlib.contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """Open the index; what the block writes is there as a whole or not at all."""
        try:
            with contextlib.closing(self._connect()) as index, index:
                index.executescript(SCHEMA)
                yield index
        except sqlite3.Error as error:
            if "disk is full" in str(error):
                raise self.no_room() from error
            raise RunError(
                f"The index of the feature cache {self.folder} cannot be used ({error}); give another --cache."
            ) from error

    def no_room(self) -> DiskFullError:
        """Return the error that says that the disk is full."""
        return DiskFullError(
            f"The disk of {self.folder} is full; make room or give --cache on another disk. "
            "The features that were finished are kept."
        )

    def contents(self, paths: Sequence[Path], jobs: int = 1) -> list[str]:
        """Return the SHA-256 of each file's bytes; a file that has not changed since is not read again.

        Parameters
        ----------
        paths : sequence of Path
            Files.
        jobs : int
            Threads that read.

        Returns
        -------
        list of str
            In hexadecimal; empty for a file that cannot be read.
        """
        names = [os.fsencode(Path(path).absolute()) for path in paths]
        stamps = {name: stamp for name in dict.fromkeys(names) if (stamp := _stamp(name))}
        with self._index() as index:
            query = "SELECT path, size, modified_ns, sha256 FROM files WHERE path = ?"
            known = dict(_select(index, query, stamps))
        digests = {name: row[2] for name, row in known.items() if row[:2] == stamps[name]}
        fresh = [name for name in stamps if name not in digests]
        now = time.time_ns()
        with ThreadPoolExecutor(jobs) as pool:
            digests |= zip(fresh, pool.map(_content, fresh), strict=True)
        settled = [name for name in fresh if digests[name] and now - stamps[name][1] > SETTLED_SECONDS * 1e9]
        if settled:
            with self._index() as index:
                rows = [(name, *stamps[name], digests[name]) for name in settled]
                index.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
        return [digests.get(name, "") for name in names]

    def keys(self, wanted: Sequence[tuple[Path, Sequence[int]]], jobs: int = 1) -> list[bytes]:
        """Name what is wanted of each file: its content, the settings, and the seed of its channel.

        Parameters
        ----------
        wanted : sequence of (Path, sequence of int)
            File and channel seed.
        jobs : int
            Threads that read.

        Returns
        -------
        list of bytes
            For a file that cannot be read one that nothing else has.
        """
        contents = self.contents([path for path, _ in wanted], jobs)
        parts = [f"{self._recipe} {content} {list(seed)}" for content, (_, seed) in zip(contents, wanted, strict=True)]
        return [
            hashlib.sha256(part.encode()).digest() if content else uuid.uuid4().bytes
            for part, content in zip(parts, contents, strict=True)
        ]

    def find(self, keys: Iterable[bytes], check: bool = True, jobs: int = 1) -> dict[bytes, Extent]:
        """Return where spectrograms lie; those that are missing or damaged are left out.

        Parameters
        ----------
        keys : iterable of bytes
            From :meth:`keys`.
        check : bool
            Also read the numbers and compare their checksums.
        jobs : int
            Threads that do so.
        """
        columns = "key, shard, start, frames, seconds, speech_seconds, crc32"
        with self._index() as index:
            rows = _select(index, f"SELECT {columns} FROM features WHERE key = ?", set(keys))
            found = {key: (Extent(shard, *row), crc32) for key, (shard, *row, crc32) in rows}
        if check:
            with ThreadPoolExecutor(jobs) as pool:
                sums = list(pool.map(self._checksum, [extent for extent, _ in found.values()]))
            found = {key: row for (key, row), told in zip(found.items(), sums, strict=True) if row[1] == told}
        return {key: extent for key, (extent, _) in found.items()}

    def _checksum(self, extent: Extent) -> int | None:
        try:
            return zlib.crc32(self.read(extent, 0, extent.frames))
        except (RunError, OverflowError, TypeError):
            return None

    def read(self, extent: Extent, start: int, frames: int) -> np.ndarray:
        """Copy frames out of a shard.

        Returns
        -------
        ndarray of float16, shape (frames, mel_bands)

        Raises
        ------
        RunError
            If the shard is gone or cut short.
        """
        if not frames:
            return np.zeros((0, self.mel_bands), dtype=np.float16)
        path = self.folder / f"{extent.shard}{SHARD_SUFFIX}"
        try:
            # Mapped for this moment only: pages that stay mapped would count as memory of the process.
            return np.array(
                np.memmap(
                    path,
                    dtype=np.float16,
                    mode="r",
                    offset=(extent.start + start) * self.mel_bands * 2,
                    shape=(frames, self.mel_bands),
                )
            )
        except (OSError, ValueError) as error:
            raise RunError(f"The features in {path} are gone or damaged ({error}); start the command again.") from error

    @contextlib.contextmanager
    def writer(self) -> Iterator[Writer]:
        """Open a shard to append to; what was added when the block ends, however it ends, is kept."""
        writer = Writer(self)
        try:
            yield writer
        finally:
            writer.close()


def _stamp(path: bytes) -> tuple[int, int] | None:
    """Return size and time of the last change; None for what is not there."""
    try:
        about = Path(os.fsdecode(path)).stat()
    except (OSError, ValueError):
        return None
    return about.st_size, about.st_mtime_ns


def _age_seconds(path: Path) -> float:
    """Return how long ago a file was changed; 0 for what is not there."""
    stamp = _stamp(os.fsencode(path))
    return time.time() - stamp[1] / 1e9 if stamp else 0.0


def _content(path: bytes) -> str:
    try:
        return file_sha256(os.fsdecode(path))
    except OSError:
        return ""


def _select(index: sqlite3.Connection, query: str, keys: Iterable[bytes]) -> list[tuple[bytes, tuple]]:
    """Look keys up one by one, which SQLite does in microseconds; return those that are there with their columns."""
    rows = (index.execute(query, (key,)).fetchone() for key in keys)
    return [(row[0], row[1:]) for row in rows if row]


class Writer:
    """Appends spectrograms to a shard of its own; see :meth:`FeatureCache.writer`."""

    def __init__(self, cache: FeatureCache):
        self.cache = cache
        self.shard = uuid.uuid4().hex
        self._path = cache.folder / f"{self.shard}{SHARD_SUFFIX}"
        self._file = None
        self._frames = 0
        self._rows: list[tuple] = []
        self._committed = -math.inf  # the first one at once: from then on the index names the shard

    def add(self, key: bytes, spectrogram: Spectrogram) -> Extent:
        """Append one spectrogram.

        Raises
        ------
        RunError
            If the disk is full; what was added before is kept.
        """
        data = np.ascontiguousarray(spectrogram.values, dtype=np.float16)
        try:
            if self._file is None:
                self._file = self._path.open("xb", buffering=0)
            write_all(self._file, data)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise self.cache.no_room() from error
        extent = Extent(self.shard, self._frames, len(data), spectrogram.seconds, spectrogram.speech_seconds)
        self._rows.append((key, *extent, zlib.crc32(data)))
        self._frames += len(data)
        if len(self._rows) >= ROWS_PER_COMMIT or time.monotonic() - self._committed >= SECONDS_PER_COMMIT:
            self.commit()
        return extent

    def commit(self) -> None:
        """Enter into the index what was added.

        Raises
        ------
        RunError
            If the disk is full; the last spectrograms are given up then, to make room for the index of the others.
        """
        full, self._committed = None, time.monotonic()
        while self._rows:
            try:
                with self.cache._index() as index:
                    index.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?, ?, ?, ?)", self._rows)
                self._rows = []
            except DiskFullError as error:
                full = error
                kept = len(self._rows) * 3 // 4
                self._frames = self._rows[kept][2]
                self._rows = self._rows[:kept]
                self._cut()
        if full:
            raise full

    def close(self) -> None:
        """Keep what was added."""
        try:
            if self._file is not None:
                self._cut()
                self.commit()
        finally:
            if self._file is not None:
                self._file.close()
                if not self._frames:
                    self._path.unlink()

    def _cut(self) -> None:
        """Give room back that holds no whole spectrogram."""
        self._file.seek(self._frames * self.cache.mel_bands * 2)
        self._file.truncate()
