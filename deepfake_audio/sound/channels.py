"""Whether the channels of a recording hold the same sound, told while it is read."""

from __future__ import annotations

import numpy as np

from .sources import MOST_CHANNELS

SAME_CORRELATION = 0.95
"""Channels that correlate less than this over speech hold different sounds."""

FRAME_SECONDS = 0.064
SPEECH_RANGE_DB = 30.0
"""Frames further than this under the 95th percentile of levels are pauses, which only hold the noise of a channel."""

AUDIBLE_RANGE_DB = 40.0
"""A channel further than this under the loudest one holds no speech, but hiss or crosstalk."""

LOUD_RANGE_DB, OTHER_CORRELATION, OTHER_SECONDS, WITHIN_SECONDS = 10.0, 0.7, 0.5, 10.0
"""Channels that hold the same sound nearly all the time differ if, within some seconds, so much that is no further than
this under the 95th percentile of levels correlates less than this; hiss and rooms do so here and there."""

MIXED = (
    "Its channels hold different sounds, which were mixed while they came: judge a recording in a file, of which "
    "each channel is judged by itself."
)


class ChannelMeter:
    """Compares the channels of a recording that comes in blocks; mono costs nothing."""

    def __init__(self):
        self._products: list[np.ndarray] = []
        self._waiting: np.ndarray | None = None

    def push(self, rate: int, block: np.ndarray) -> None:
        """Take the next samples, shape (samples, channels), at a rate in Hz."""
        channels = block.shape[1]
        if not 2 <= channels <= MOST_CHANNELS or (self._products and channels != self._products[0].shape[1]):
            return
        waiting = block if self._waiting is None else np.concatenate([self._waiting, block])
        size = round(FRAME_SECONDS * rate)
        count = len(waiting) // size
        frames = waiting[: count * size].reshape(count, size, channels)
        frames = frames - frames.mean(axis=1, keepdims=True)
        self._products.append(frames.transpose(0, 2, 1) @ frames)
        self._waiting = waiting[count * size :].copy()

    def apart(self) -> list[bool] | None:
        """Return for each channel whether it holds sound, or None where all that do hold the same sound."""
        products = np.concatenate(self._products).astype(np.float64) if self._products else np.zeros((0, 1, 1))
        powers = np.diagonal(products, axis1=1, axis2=2)
        if not powers.any():
            return None
        levels = 10 * np.log10(np.maximum(powers.max(axis=1), 1e-12))
        loudest = np.percentile(levels, 95)
        sums = products[levels >= loudest - SPEECH_RANGE_DB].sum(axis=0)
        powers = np.diagonal(sums)
        audible = powers > powers.max() * 10 ** (-AUDIBLE_RANGE_DB / 10)
        if _correlation(sums, audible) >= SAME_CORRELATION:
            other = (levels >= loudest - LOUD_RANGE_DB) & (_correlation(products, audible) < OTHER_CORRELATION)
            most = np.convolve(other, np.ones(round(WITHIN_SECONDS / FRAME_SECONDS))).max()
            if most * FRAME_SECONDS < OTHER_SECONDS:
                return None
        return audible.tolist()


def _correlation(products: np.ndarray, audible: np.ndarray) -> np.ndarray:
    """Return the least correlation of any two audible channels, of one or more sums of products."""
    products = products[..., audible, :][..., audible]
    scales = np.sqrt(np.maximum(np.diagonal(products, axis1=-2, axis2=-1), 1e-12))
    return (products / (scales[..., :, None] * scales[..., None, :])).min(axis=(-2, -1))
