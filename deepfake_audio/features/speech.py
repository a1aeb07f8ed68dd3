"""What is speech and what is pause: the one rule, for samples and for spectrograms."""

from __future__ import annotations

import mmap

import numpy as np

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

LEVELS_DB = -150.0, 150.0
"""Range of the levels that are kept; more than float samples and spectrograms of them can have."""


def speech_seconds(samples: np.ndarray, sample_rate: int) -> float:
    """Return how much of a recording is louder than its pauses.

    Parameters
    ----------
    samples : ndarray of float32, shape (samples,)
        Mono audio.
    sample_rate : int
        In Hz.
    """
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
    return _pause_under(levels.max(), _highest_median(levels, round(HELD_SECONDS / frame_seconds)), audible)


def _pause_under(loudest: float, held: float, audible: float) -> float:
    return (loudest if held < audible else min(loudest, held + HELD_RANGE_DB)) - SPEECH_RANGE_DB


def _highest_median(values: np.ndarray, size: int) -> float:
    """Return the maximum of ``scipy.ndimage.median_filter``; importing scipy takes longer than judging a clip."""
    highest = HighestMedian(size)
    for start in range(0, len(values), MEDIAN_BLOCK):
        highest.push(values[start : start + MEDIAN_BLOCK])
    return highest.finish()


class HighestMedian:
    """The highest median of so many neighbours among numbers that come in pieces; both ends are mirrored.

    Parameters
    ----------
    size : int
        Neighbours; of fewer numbers all.
    """

    def __init__(self, size: int):
        self._size, self._begun = size, False
        self._last, self._highest = np.zeros(0), -np.inf

    def push(self, values: np.ndarray) -> None:
        """Take the next numbers, shape (numbers,)."""
        self._last = np.concatenate([self._last, values]) if len(self._last) else values
        if len(self._last) < self._size:
            return
        if not self._begun:
            self._look(np.pad(self._last[: self._size], (self._size // 2, 0), mode="symmetric"))
            self._begun = True
        self._look(self._last)
        self._last = self._last[-self._size :].copy()

    def finish(self) -> float:
        """Return the highest median; there must have been a number."""
        self._size = min(self._size, len(self._last))
        if not self._begun:
            self._look(np.pad(self._last, (self._size // 2, 0), mode="symmetric"))
        self._look(np.pad(self._last, (0, (self._size - 1) // 2), mode="symmetric"))
        return self._highest

    def _look(self, values: np.ndarray) -> None:
        middle = self._size // 2
        windows = np.lib.stride_tricks.sliding_window_view(values, self._size)
        self._highest = max(self._highest, float(np.partition(windows, middle, axis=1)[:, middle].max()))


class Steps:
    """Numbers of a range in two bytes each: 65535 equal steps; a number beyond the range becomes the nearest in it.

    Parameters
    ----------
    lowest, highest : float
        The range.
    """

    LAST = 2**16 - 1

    def __init__(self, lowest: float, highest: float):
        self._lowest, self._range = lowest, highest - lowest

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Return the steps, uint16, that are nearest to the numbers, of the same shape."""
        shares = np.clip((values - self._lowest) / self._range, 0.0, 1.0)
        return np.rint(shares * self.LAST).astype(np.uint16)

    def decode(self, steps: np.ndarray) -> np.ndarray:
        """Return the numbers, float32, of steps, of the same shape."""
        values = steps.astype(np.float32)
        values /= self.LAST
        values *= self._range
        values += self._lowest
        return values


class Compact:
    """Numbers that come in pieces, kept as :class:`Steps`: hours have millions.

    Parameters
    ----------
    lowest, highest : float
        Their range.
    """

    BLOCK = 2**18

    def __init__(self, lowest: float, highest: float):
        self._steps = Steps(lowest, highest)
        self._blocks: list[np.ndarray] = []
        self._free = 0

    def append(self, values: np.ndarray) -> None:
        """Take the next numbers, shape (numbers,)."""
        steps = self._steps.encode(values)
        while len(steps):
            if not self._free:
                # Pages of its own: what stays between what comes and goes would leave holes in the heap.
                self._blocks.append(np.frombuffer(mmap.mmap(-1, 2 * self.BLOCK), dtype=np.uint16))
                self._free = self.BLOCK
            part, steps = steps[: self._free], steps[self._free :]
            first = self.BLOCK - self._free
            self._blocks[-1][first : first + len(part)] = part
            self._free -= len(part)

    def pop_all(self) -> np.ndarray:
        """Return all numbers, float32, shape (numbers,), and keep none."""
        values = np.empty(len(self._blocks) * self.BLOCK - self._free, dtype=np.float32)
        for number, block in enumerate(self._blocks):
            part = values[number * self.BLOCK : (number + 1) * self.BLOCK]
            part[:] = self._steps.decode(block[: len(part)])
        self._blocks, self._free = [], 0
        return values


class SpeechMeter:
    """:func:`speech_seconds` of a recording that comes in pieces.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    """

    def __init__(self, sample_rate: int):
        self.sample_rate = sample_rate
        self._samples, self._done, self._level = 0, 0, Level(sample_rate)
        # What is asked for in the end does not depend on the order of the levels: hours need no more room than minutes.
        self._steps = Steps(*LEVELS_DB)
        self._frames_at = np.zeros(Steps.LAST + 1, dtype=np.int64)
        self._last_step = 0
        self._held = HighestMedian(round(HELD_SECONDS * sample_rate / LEVEL_HOP))
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
        frames = 1 + self._samples // LEVEL_HOP - self._done
        if frames > 0:
            missing = (frames - 1) * LEVEL_HOP + LEVEL_SAMPLES - len(self._waiting)
            self._waiting = np.pad(self._waiting, (0, max(0, missing)))
            self._measure(frames)
        audible = 20 * np.log10(SILENCE_PEAK / SPEECH_CREST / gain)
        levels = self._steps.decode(np.arange(len(self._frames_at)))
        loudest = levels[np.flatnonzero(self._frames_at)[-1]]
        # Silence is kept as the smallest amplitude, and is no speech however quiet the speech is.
        silent = 20 * np.log10(SMALLEST_AMPLITUDE) + 0.01
        loud = levels > max(_pause_under(loudest, self._held.finish(), audible), silent)
        # The last frame ends with the recording.
        missing = LEVEL_HOP - (self._samples - (self._done - 1) * LEVEL_HOP)
        return float((self._frames_at[loud].sum() * LEVEL_HOP - loud[self._last_step] * missing) / self.sample_rate)

    def _measure(self, frames: int) -> None:
        # A frame is a few hops long, so every sample is squared once.
        hops = LEVEL_SAMPLES // LEVEL_HOP
        squares = self._waiting[: (frames - 1 + hops) * LEVEL_HOP].reshape(-1, LEVEL_HOP) ** 2
        sums = np.convolve(squares.sum(axis=1), np.ones(hops), mode="valid")
        amplitudes = np.sqrt(sums / LEVEL_SAMPLES)
        steps = self._steps.encode(20 * np.log10(np.maximum(amplitudes, SMALLEST_AMPLITUDE)))
        np.add.at(self._frames_at, steps, 1)
        self._held.push(self._steps.decode(steps))
        self._last_step = steps[-1]
        self._done += frames
