"""What is speech and what is pause: the one rule, for samples and for spectrograms."""

from __future__ import annotations

import array

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..sound.level import SILENCE_PEAK, Level
from .log_mel import SMALLEST_POWER

SMALLEST_AMPLITUDE = SMALLEST_POWER**0.5

SPEECH_RANGE_DB = 40.0
"""Frames further than this under the loudest speech are pause."""
HELD_SECONDS, HELD_RANGE_DB = 0.3, 10.0
"""Levels more than HELD_RANGE_DB above the loudest HELD_SECONDS median count as clicks."""
SPEECH_CREST = 4.0
"""Peaks of speech are at least so many times its root mean square."""
LEVEL_SAMPLES, LEVEL_HOP = 1024, 256
"""Length and distance of the frames whose levels tell speech from pause."""

MEDIAN_BLOCK = 2**12
"""Medians that are computed at once."""


def speech_seconds(samples: np.ndarray, sample_rate: int) -> float:
    """Return how much of a recording, shape (samples,), is louder than its pauses."""
    meter = SpeechMeter(sample_rate)
    meter.push(samples)
    return meter.seconds()


def pause_level(levels: np.ndarray, frame_seconds: float, audible: float = -np.inf) -> float:
    """Return the level up to which frames are pause: ``SPEECH_RANGE_DB`` under the loudest one.

    A click or a bang, far louder than anything that lasts, does not turn the speech around it into pause.

    Parameters
    ----------
    levels : ndarray, shape (frames,)
        In dB.
    frame_seconds : float
        Distance between two frames.
    audible : float
        Where nothing that lasts has this level, there are only clicks, and those count.
    """
    loudest, held = float(levels.max()), _highest_median(levels, round(HELD_SECONDS / frame_seconds))
    return (loudest if held < audible else min(loudest, held + HELD_RANGE_DB)) - SPEECH_RANGE_DB


def _highest_median(levels: np.ndarray, size: int) -> float:
    """Return the maximum of ``scipy.ndimage.median_filter``; importing scipy takes longer than judging a clip."""
    size = min(size, len(levels))
    windows = sliding_window_view(np.pad(levels, (size // 2, (size - 1) // 2), mode="symmetric"), size)
    blocks = (windows[start : start + MEDIAN_BLOCK] for start in range(0, len(windows), MEDIAN_BLOCK))
    return max(float(np.partition(block, size // 2, axis=1)[:, size // 2].max()) for block in blocks)


class SpeechMeter:
    """:func:`speech_seconds` of a recording that comes in pieces."""

    def __init__(self, sample_rate: int):
        self.sample_rate = sample_rate
        self._samples, self._level, self._levels = 0, Level(sample_rate), array.array("f")
        self._waiting = np.zeros(LEVEL_SAMPLES // 2, dtype=np.float32)

    def push(self, samples: np.ndarray) -> None:
        """Take the next samples."""
        self._samples += len(samples)
        self._level.push(samples)
        self._waiting = np.concatenate([self._waiting, np.asarray(samples, dtype=np.float32)])
        frames = (len(self._waiting) - LEVEL_SAMPLES) // LEVEL_HOP + 1
        if frames > 0:
            self._measure(frames)
            self._waiting = self._waiting[frames * LEVEL_HOP :].copy()

    def seconds(self) -> float:
        """Return how much of all that came is louder than its pauses; ends the measuring."""
        gain = self._level.gain(np.inf)
        if self._level.peak * gain < SILENCE_PEAK:
            return 0.0
        frames = 1 + self._samples // LEVEL_HOP - len(self._levels)
        if frames > 0:
            missing = (frames - 1) * LEVEL_HOP + LEVEL_SAMPLES - len(self._waiting)
            self._waiting = np.pad(self._waiting, (0, max(0, missing)))
            self._measure(frames)
        audible = 20 * np.log10(SILENCE_PEAK / SPEECH_CREST / gain)
        levels = np.array(self._levels, dtype=np.float32)
        # Silence is kept as the smallest amplitude, and is no speech however quiet the speech is.
        silent = 20 * np.log10(SMALLEST_AMPLITUDE) + 0.01
        loud = levels > max(pause_level(levels, LEVEL_HOP / self.sample_rate, audible), silent)
        # The last frame ends with the recording.
        missing = LEVEL_HOP - (self._samples - (len(levels) - 1) * LEVEL_HOP)
        return float((np.count_nonzero(loud) * LEVEL_HOP - loud[-1] * missing) / self.sample_rate)

    def _measure(self, frames: int) -> None:
        # A frame is a few hops long, so every sample is squared once.
        hops = LEVEL_SAMPLES // LEVEL_HOP
        squares = self._waiting[: (frames - 1 + hops) * LEVEL_HOP].reshape(-1, LEVEL_HOP) ** 2
        sums = np.convolve(squares.sum(axis=1), np.ones(hops), mode="valid")
        levels = 20 * np.log10(np.maximum(np.sqrt(sums / LEVEL_SAMPLES), SMALLEST_AMPLITUDE))
        self._levels.frombytes(levels.astype(np.float32).tobytes())
