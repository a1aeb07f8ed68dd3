"""What pictures and pages need of a recording, gathered while it is heard, in memory that does not grow with it."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import soundfile

MOST_COLUMNS = 1024
"""A picture has about so many columns of pixels; more than twice as many are never kept."""

MP3_COMPRESSION = 0.8
"""On libsndfile's scale from 0 to 1: 40 kbit/s for mono at 16 kHz, at which speech still sounds like itself."""


class Columns:
    """Rows along time, merged in pairs whenever there are twice as many as a picture needs.

    Parameters
    ----------
    merge : callable
        Such as ``np.maximum.reduce``: from an array and ``axis=1`` to what stands for that axis.
    """

    def __init__(self, merge: Callable[..., np.ndarray]):
        self.rows_per_column = 1
        self._merge = merge
        self._columns: list[np.ndarray] = []
        self._rest: np.ndarray | None = None

    def add(self, rows: np.ndarray) -> None:
        """Append rows, shape (rows, ...)."""
        if self._rest is not None:
            rows = np.concatenate([self._rest, rows])
        while True:
            room = 2 * MOST_COLUMNS - len(self._columns)
            columns = min(room, len(rows) // self.rows_per_column)
            taken = columns * self.rows_per_column
            groups = rows[:taken].reshape(columns, self.rows_per_column, *rows.shape[1:])
            self._columns += list(self._merge(groups, axis=1))
            rows = rows[taken:]
            if columns < room:
                break
            pairs = np.stack(self._columns).reshape(MOST_COLUMNS, 2, *rows.shape[1:])
            self._columns = list(self._merge(pairs, axis=1))
            self.rows_per_column *= 2
        self._rest = rows.copy()  # a view would keep all that was added alive

    def all(self) -> np.ndarray:
        """Return the columns, shape (columns, ...); the last one may stand for fewer rows than the others."""
        columns = list(self._columns)
        if self._rest is not None and len(self._rest):
            columns.append(self._merge(self._rest[None], axis=1)[0])
        return np.stack(columns) if columns else np.zeros((0,), dtype=np.float32)


class Glimpse:
    """An overview of one recording.

    Parameters
    ----------
    sample_rate : int
        Of the samples that come, in Hz.
    hop_seconds : float
        Distance between the spectrogram frames that come.
    listen_seconds : float
        How much of the beginning is kept for listening, as MP3.
    """

    def __init__(self, sample_rate: int, hop_seconds: float, listen_seconds: float = 0.0):
        self.sample_rate, self.hop_seconds = sample_rate, hop_seconds
        self.timeline = np.zeros(0)
        self.seconds_to_listen = 0.0
        self._most = round(listen_seconds * sample_rate)
        self._lows, self._highs = Columns(np.minimum.reduce), Columns(np.maximum.reduce)
        self._spectrogram = Columns(np.maximum.reduce)
        self._mp3 = io.BytesIO()
        self._encoder = None

    def __del__(self):
        # An encoder that is left open writes its end into a buffer that may be gone by then.
        if self._encoder is not None:
            self._encoder.close()

    def __getstate__(self) -> dict:
        self.mp3()  # ended, because an encoder does not travel between processes
        return self.__dict__

    def hear(self, samples: np.ndarray) -> None:
        """Take the next samples, shape (samples,)."""
        self._lows.add(samples)
        self._highs.add(samples)
        wanted = samples[: max(0, self._most - round(self.seconds_to_listen * self.sample_rate))]
        if len(wanted):
            if self._encoder is None:
                self._encoder = soundfile.SoundFile(
                    self._mp3, "w", self.sample_rate, 1, format="MP3", bitrate_mode="CONSTANT",
                    compression_level=MP3_COMPRESSION,
                )  # fmt: skip
            self._encoder.write(wanted)
            self.seconds_to_listen += len(wanted) / self.sample_rate

    def see(self, frames: np.ndarray) -> None:
        """Take the next spectrogram frames, shape (frames, mel_bands), in dB."""
        self._spectrogram.add(np.asarray(frames, dtype=np.float32))

    def spectrogram(self) -> tuple[np.ndarray, float]:
        """Return columns of the mel-spectrogram, shape (columns, mel_bands), and the seconds between them."""
        return self._spectrogram.all(), self._spectrogram.rows_per_column * self.hop_seconds

    def waveform(self) -> tuple[np.ndarray, float]:
        """Return lowest and highest sample of each column, shape (columns, 2), and the seconds between columns."""
        return np.stack([self._lows.all(), self._highs.all()], 1), self._lows.rows_per_column / self.sample_rate

    def mp3(self) -> bytes:
        """Return the beginning of the recording as MP3; empty if nothing was to be kept. Ends the listening."""
        if self._encoder is not None:
            self._encoder.close()
            self._encoder, self._most = None, 0
        return self._mp3.getvalue()


def thin_out(timeline: np.ndarray, most: int = 2 * MOST_COLUMNS) -> tuple[np.ndarray, int]:
    """Return means over groups of timeline frames, at most so many, and the frames in each group."""
    group = max(1, -(-len(timeline) // most))
    starts = np.arange(0, len(timeline), group)
    sums = np.add.reduceat(timeline, starts) if len(timeline) else np.zeros(0)
    return sums / np.diff(np.append(starts, len(timeline))), group
