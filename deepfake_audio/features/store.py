"""Spectrograms on disk, shared by all runs: computed once for a file's content and the feature settings.

They lie in one SQLite file, as blocks of half-precision numbers of a few seconds each. A clip is entered with all of
its blocks or not at all, and SQLite's locks go with the process that holds them, so runs may start, die and work beside
each other as they like.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import sqlite3
import threading
import time
import uuid
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DiskFullError, RunError
from ..files import file_sha256
from ..settings import FeatureSettings

FEATURE_VERSION = 2
"""To be raised when the same sound and settings give other spectrograms than before, or other blocks."""

FILE_NAME = "features.sqlite"

BLOCK_FRAMES = 256
"""A window of three seconds is cut out of two or three blocks."""

# Nothing is waited for until the disk has it: a kill loses nothing by that, and what a power cut damages is noticed.
SCHEMA = """
PRAGMA page_size = 16384;
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, modified_ns INTEGER, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, first INTEGER, frames INTEGER, seconds REAL,
    speech_seconds REAL, crc32 INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, data BLOB);
"""

PATIENCE_SECONDS = 60.0
"""How long another run may keep the file to itself; it writes for milliseconds."""

SETTLED_SECONDS = 2.0
"""A file that was changed less than this before it was hashed could change again under the same time stamp, so that
its hash is not remembered."""


class Extent(NamedTuple):
    """The first of the consecutive blocks of a clip's spectrogram, its frames, and the clip's length in seconds."""

    first: int
    frames: int
    seconds: float
    speech_seconds: float


class Spectrogram(NamedTuple):
    """What is computed for one clip: half-precision dB values of shape (frames, mel_bands), and seconds."""

    values: np.ndarray
    seconds: float
    speech_seconds: float


class FeatureCache:
    """The cache in one folder, as seen with one set of feature settings.

    Parameters
    ----------
    folder : Path
        Where its file lies; made when missing. It may be deleted whenever no run uses it.
    settings : FeatureSettings
        Spectrograms of other settings are not seen, but kept.

    Raises
    ------
    RunError
        If the folder or its file cannot be used; every method raises it, too.
    """

    def __init__(self, folder: Path, settings: FeatureSettings):
        self.folder = Path(folder)
        self.mel_bands = settings.mel_bands
        values = dataclasses.asdict(settings)
        del values["dynamic_range_db"]  # enters per window, after the cache
        self._recipe = json.dumps([FEATURE_VERSION, values], sort_keys=True)
        self._turn = threading.RLock()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"No features can be kept in {self.folder} ({error.strerror}); give another --cache."
            ) from error
        with self._told():
            self._connection = sqlite3.connect(
                self.folder / FILE_NAME, timeout=PATIENCE_SECONDS, check_same_thread=False
            )
            weakref.finalize(self, self._connection.close)
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, FEATURE_VERSION):
                raise RunError(
                    f"The feature cache {self.folder} is of another version of this program: delete it, or give "
                    "another --cache."
                )
            self._connection.executescript(SCHEMA if version else f"{SCHEMA}PRAGMA user_version = {FEATURE_VERSION};")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Put what SQLite has to say into a sentence."""
        try:
            yield
        except sqlite3.Error as error:
            if "disk is full" in str(error):
                raise DiskFullError(
                    f"The disk of {self.folder} is full; make room or give --cache on another disk. "
                    "The features that were finished are kept."
                ) from error
            raise RunError(
                f"The feature cache {self.folder} cannot be used ({error}); delete it, or give another --cache."
            ) from error

    @contextlib.contextmanager
    def _file(self) -> Iterator[sqlite3.Connection]:
        """Have the file for this thread; what the block writes is there as a whole or not at all."""
        with self._turn, self._told(), self._connection:
            yield self._connection

    def contents(self, paths: Sequence[Path], jobs: int = 1) -> list[str]:
        """Return the SHA-256 of each file's bytes in hexadecimal, empty for a file that cannot be read.

        A file that has not changed since is not read again.
        """
        names = [os.fsencode(Path(path).absolute()) for path in paths]
        stamps = {name: stamp for name in dict.fromkeys(names) if (stamp := _stamp(name))}
        known = self._select("SELECT path, size, modified_ns, sha256 FROM files WHERE path = ?", stamps)
        digests = {name: row[2] for name, row in known.items() if row[:2] == stamps[name]}
        fresh = [name for name in stamps if name not in digests]
        now = time.time_ns()
        with ThreadPoolExecutor(jobs) as pool:
            digests |= zip(fresh, pool.map(_content, fresh), strict=True)
        settled = [name for name in fresh if digests[name] and now - stamps[name][1] > SETTLED_SECONDS * 1e9]
        if settled:
            with self._file() as file:
                rows = [(name, *stamps[name], digests[name]) for name in settled]
                file.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
        return [digests.get(name, "") for name in names]

    def keys(self, wanted: Sequence[tuple[Path, Sequence[int]]], jobs: int = 1) -> list[bytes]:
        """Name what is wanted of each file: its content, the settings, and the seed of its channel.

        A file that cannot be read gets a key that nothing else has.
        """
        contents = self.contents([path for path, _ in wanted], jobs)
        seeds = [list(seed) for _, seed in wanted]
        return [
            hashlib.sha256(f"{self._recipe} {content} {seed}".encode()).digest() if content else uuid.uuid4().bytes
            for content, seed in zip(contents, seeds, strict=True)
        ]

    def find(self, keys: Iterable[bytes], check: bool = True) -> dict[bytes, Extent]:
        """Return where spectrograms lie; those that are missing, or whose numbers fail the `check`, are left out."""
        query = "SELECT key, first, frames, seconds, speech_seconds, crc32 FROM features WHERE key = ?"
        found = {key: (Extent(*row), crc32) for key, (*row, crc32) in self._select(query, set(keys)).items()}
        return {key: extent for key, (extent, crc32) in found.items() if not check or self._checksum(extent) == crc32}

    def _checksum(self, extent: Extent) -> int:
        return zlib.crc32(self._blocks(extent.first, extent.first + -(-extent.frames // BLOCK_FRAMES) - 1))

    def read(self, extent: Extent, start: int, frames: int) -> np.ndarray:
        """Return frames out of the cache, float16, shape (frames, mel_bands)."""
        first, last = start // BLOCK_FRAMES, (start + frames - 1) // BLOCK_FRAMES
        data = self._blocks(extent.first + first, extent.first + last)
        offset = (start - first * BLOCK_FRAMES) * self.mel_bands
        return np.frombuffer(data, np.float16)[offset : offset + frames * self.mel_bands].reshape(-1, self.mel_bands)

    def _blocks(self, first: int, last: int) -> bytearray:
        with self._turn, self._told():
            query = "SELECT data FROM blocks WHERE number BETWEEN ? AND ? ORDER BY number"
            return bytearray().join([data for (data,) in self._connection.execute(query, (first, last))])

    def _select(self, query: str, keys: Iterable[bytes]) -> dict[bytes, tuple]:
        """Look keys up one by one, which SQLite does in microseconds; return the columns of those that are there."""
        with self._file() as file:
            rows = (file.execute(query, (key,)).fetchone() for key in keys)
            return {row[0]: row[1:] for row in rows if row}

    def add(self, key: bytes, spectrogram: Spectrogram) -> Extent:
        """Enter one spectrogram and return where it lies.

        Raises
        ------
        DiskFullError
            If the disk is full; what was added before is kept.
        """
        data = np.ascontiguousarray(spectrogram.values, dtype=np.float16)
        blocks = [(data[start : start + BLOCK_FRAMES].tobytes(),) for start in range(0, len(data), BLOCK_FRAMES)]
        insert, first = "INSERT INTO blocks (data) VALUES (?)", 0
        with self._file() as file:
            if blocks:  # from the first one on nobody else writes, so that the others get the numbers that follow
                first = file.execute(insert, blocks[0]).lastrowid
                file.executemany(insert, blocks[1:])
            extent = Extent(first, len(data), spectrogram.seconds, spectrogram.speech_seconds)
            row = (key, *extent, zlib.crc32(data))
            file.execute("INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?, ?, ?)", row)
        return extent


def _stamp(path: bytes) -> tuple[int, int] | None:
    """Return size and time of the last change; None for what is not there."""
    try:
        about = Path(os.fsdecode(path)).stat()
    except (OSError, ValueError):
        return None
    return about.st_size, about.st_mtime_ns


def _content(path: bytes) -> str:
    try:
        return file_sha256(os.fsdecode(path))
    except OSError:
        return ""
