"""How loud a recording is, and by how much it has to be scaled to be heard without being clipped."""

from __future__ import annotations

import numpy as np

SILENCE_PEAK = 1e-3
"""A recording whose loudest sample stays under this (-60 dB re full scale) is silence, unless it varies as speech."""

LOUDEST = 2.0**32
"""Samples beyond are taken for damage; whole numbers of 32 bits are not."""

OVERSHOOT = 1.42
"""Peaks up to this (+3 dB) are what lossy codecs make of sound at full scale: clipping them is heard by nobody."""

SCALED_PEAK = 10 ** (-3 / 20)
"""Where the peak goes of what is scaled."""

FRAME_SECONDS = 0.064
STEADY_DB = 5.0
"""Between the 10th and the 95th percentile of the levels of frames, noise has less than this and speech more; very low
tones, which dominate most noise and come and go slowly, are weakened first."""


class Level:
    """Peak and variation of a recording that comes in pieces.

    Parameters
    ----------
    sample_rate : int
        In Hz.

    Attributes
    ----------
    peak : float
        The largest absolute sample; NaN where some sample is no number.
    """

    def __init__(self, sample_rate: int):
        self.peak = 0.0
        self._frame = max(1, round(FRAME_SECONDS * sample_rate))
        self._powers: list[np.ndarray] = []
        self._waiting = None

    def push(self, samples: np.ndarray) -> None:
        """Take the next samples, shape (samples,) or (samples, channels)."""
        if not len(samples):
            return
        self.peak = float(np.maximum(self.peak, np.abs(samples).max()))
        if self.peak < SILENCE_PEAK:  # nobody asks about anything louder
            samples = samples.reshape(len(samples), -1)
            waiting = samples if self._waiting is None else np.concatenate([self._waiting, samples])
            frames = (len(waiting) - 1) // self._frame
            steps = np.diff(waiting[: frames * self._frame + 1].astype(np.float64), axis=0)
            self._powers.append((steps**2).reshape(frames, self._frame * samples.shape[1]).mean(axis=1))
            self._waiting = waiting[frames * self._frame :]

    def gain(self, most: float = OVERSHOOT) -> float:
        """Return what to multiply the samples with; 1 for silence and for what needs no scaling.

        Parameters
        ----------
        most : float
            Peaks up to this need none.
        """
        too_loud = most < self.peak <= LOUDEST
        return SCALED_PEAK / self.peak if too_loud or (0 < self.peak < SILENCE_PEAK and self._varies()) else 1.0

    def _varies(self) -> bool:
        powers = np.concatenate(self._powers)
        powers = powers[powers > 0]
        if not len(powers):
            return False
        low, high = np.percentile(10 * np.log10(powers), [10, 95])
        return bool(high - low > STEADY_DB)


def describe_gain(gain: float) -> str:
    """Return a sentence for who reads the verdict on what was scaled."""
    peak_db = 20 * np.log10(SCALED_PEAK / gain)
    if peak_db > 0:
        return f"Its peak lies {peak_db:.1f} dB above full scale: it was scaled to be heard as a whole."
    return (
        f"Its peak lies {-peak_db:.1f} dB under full scale: it was scaled, but 16 bits keep little of so quiet a voice."
    )
