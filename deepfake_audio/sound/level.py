"""How loud a recording is, and by how much it has to be scaled to be heard without being clipped."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SILENCE_PEAK = 1e-3
"""A recording whose loudest sample stays under this (-60 dB re full scale) is silence, unless it varies as speech."""

LOUDEST = 2.0**32
"""Samples beyond are taken for damage; whole numbers of 32 bits are not."""

OVERSHOOT = 1.42
"""Peaks up to this (+3 dB) are what lossy codecs make of sound at full scale: clipping them is heard by nobody."""

SCALED_PEAK = 10 ** (-3 / 20)
"""Where the peak goes of what is scaled."""

COARSE_STEPS = 256
"""A recording with fewer steps from zero to its peak is coarse: its pauses are zeros, its quiet sounds square waves,
and a voice would be taken for a machine's. Noise hides that."""

DITHER_STEPS = np.float32(2)
"""Largest value of that noise; with one step 2 of 37 voices on 8 bits, 20 dB under full scale, were still accused."""

QUIET_PEAK = COARSE_STEPS / 2**15
"""What stays under this (-42 dB) is scaled before it is rounded to 16 bits, or it would be coarse then."""

GRIDS = 2.0**-7, 2.0**-15
"""Steps of 8 and 16 bits."""

HELD_FRAMES, HELD_TO_PEAK, ODD_RATIO = 5, 1.3, 3.0
"""The median peak of as many frames, where it is largest, times this is about the peak of a voice (half of the starter
clips have more); where the peak is larger still by this ratio (in few of them), a click or an offset makes it."""

MEASURED_FRAMES = 8
"""At a time, until it is known that a recording is loud enough."""

FRAME_SECONDS = 0.064
STEADY_DB = 5.0
"""Between the 10th and the 95th percentile of the levels of frames, noise has less than this and speech more; very low
tones, which dominate most noise and come and go slowly, are weakened first."""


class Level:
    """Loudness and variation of a recording that comes in pieces.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    enough : float
        Of what lasts and is louder than this, only the peak is measured.

    Attributes
    ----------
    peak : float
        The largest absolute sample; NaN where some sample is no number.
    """

    def __init__(self, sample_rate: int, enough: float = SILENCE_PEAK):
        self.peak = 0.0
        self._enough, self._frame = enough, max(1, round(FRAME_SECONDS * sample_rate))
        self._powers: list[np.ndarray] = []
        self._means: list[np.ndarray] = []
        self._waiting, self._peaks, self._lasting = None, np.zeros(0), 0.0

    def push(self, samples: np.ndarray) -> None:
        """Take the next samples, shape (samples,) or (samples, channels)."""
        if not len(samples):
            return
        self.peak = float(np.maximum(self.peak, np.abs(samples).max()))
        samples, step = samples.reshape(len(samples), -1), MEASURED_FRAMES * self._frame
        for start in range(0, len(samples), step):
            if self._lasting >= self._enough or not self.peak <= LOUDEST:
                return
            self._measure(samples[start : start + step])

    def _measure(self, samples: np.ndarray) -> None:
        waiting = samples if self._waiting is None else np.concatenate([self._waiting, samples])
        count = (len(waiting) - 1) // self._frame
        steps = np.diff(waiting[: count * self._frame + 1].astype(np.float64), axis=0)
        self._powers.append((steps**2).reshape(count, self._frame * samples.shape[1]).mean(axis=1))
        frames = waiting[: count * self._frame].reshape(count, self._frame, samples.shape[1])
        means = frames.mean(axis=1)
        self._means.append(means)
        self._hold(np.abs(frames - means[:, None]).max(axis=(1, 2)))
        self._waiting = waiting[count * self._frame :]

    def _hold(self, peaks: np.ndarray) -> None:
        self._peaks = np.concatenate([self._peaks[1 - HELD_FRAMES :], peaks])
        if len(self._peaks) >= HELD_FRAMES:
            held = np.median(sliding_window_view(self._peaks, HELD_FRAMES), axis=1).max()
            self._lasting = max(self._lasting, HELD_TO_PEAK * float(held))

    @property
    def sound_peak(self) -> float:
        """The peak without clicks and a constant offset, which do not say how loud a voice is."""
        is_odd = LOUDEST >= self.peak > ODD_RATIO * self._lasting and 0 < self._lasting < self._enough
        return self._lasting if is_odd else self.peak

    @property
    def offset(self) -> np.ndarray:
        """The constant part of each channel, as far as it was measured."""
        return np.median(np.concatenate(self._means), axis=0)

    def gain(self, most: float = OVERSHOOT, least: float = SILENCE_PEAK) -> float:
        """Return what to multiply the samples with; 1 for silence and for what needs no scaling.

        Parameters
        ----------
        most, least : float
            Peaks up to and from these on need none.
        """
        peak = self.sound_peak
        too_loud = most < peak <= LOUDEST
        quiet = 0 < peak < least and (peak >= SILENCE_PEAK or self._varies())
        return SCALED_PEAK / peak if too_loud or quiet else 1.0

    def _varies(self) -> bool:
        powers = np.concatenate(self._powers)
        powers = powers[powers > 0]
        if not len(powers):
            return False
        low, high = np.percentile(10 * np.log10(powers), [10, 95])
        return bool(high - low > STEADY_DB)


def grid_step(samples: np.ndarray) -> float:
    """Return the step of the coarsest of ``GRIDS`` on which all samples lie, or 0 where they lie on none."""
    for step in GRIDS:
        steps = samples / np.float32(step)
        if (steps == np.rint(steps)).all():
            return step
    return 0.0


class Dither:
    """Noise of a step or two for a coarse recording; the same each time.

    Parameters
    ----------
    step : float
        Of the grid on which the samples lie.
    """

    def __init__(self, step: float):
        self._step, self._rng, self._heard = np.float32(step), np.random.default_rng(0), np.False_

    def add(self, block: np.ndarray) -> np.ndarray:
        """Return samples, shape (samples, channels), with noise in all channels that are not silent so far."""
        # Triangular: with that of a single draw the rounding error still follows the voice.
        noise = DITHER_STEPS * np.subtract(*self._rng.random((2, *block.shape), dtype=np.float32))
        self._heard = self._heard | block.any(axis=0)
        return block + noise * self._step * self._heard


class LiveDither:
    """Noise over sound that goes on, on the grid of 16 bits, until it has been loud enough to need none.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    """

    def __init__(self, sample_rate: int):
        self._level, self._dither = Level(sample_rate, QUIET_PEAK), Dither(GRIDS[-1])

    @property
    def is_needed(self) -> bool:
        """Whether all that came is quiet."""
        return self._level.sound_peak < QUIET_PEAK

    def add(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples, shape (samples,), and return them, with noise where it is needed."""
        self._level.push(samples)
        return self._dither.add(samples[:, None])[:, 0] if self.is_needed else samples


def describe_level(level: Level, gain: float, coarse: bool) -> str:
    """Return a sentence for who reads the verdict on what was scaled, or is coarse."""
    peak_db, about = 20 * np.log10(level.sound_peak), []
    if gain != 1.0:
        where = "above" if peak_db > 0 else "under"
        what = "Its peak" if level.sound_peak == level.peak else "But for clicks or an offset, its peak"
        about.append(f"{what} lies {abs(peak_db):.1f} dB {where} full scale: it was scaled to be heard as a whole.")
    if coarse:
        about.append(
            "It was stored so quietly, or on so few bits, that noise covers traces of synthesis: look for another copy."
        )
    return " ".join(about)
