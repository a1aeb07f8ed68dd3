"""Windows over a spectrogram: where they start, how they are cut, what the network is given of them."""

from __future__ import annotations

import numpy as np

from ..settings import FeatureSettings, Settings, WindowSettings

SCALE_DB = 20.0
"""dB that become 1.0 in a network input."""


def window_starts(frames: int, window: WindowSettings) -> np.ndarray:
    """Return the first frame of each window that a recording of `frames` frames is judged by.

    The windows overlap by ``window.overlap`` and reach the last frame; a recording shorter than a window has one.
    """
    if frames <= window.frames:
        return np.zeros(1, dtype=int)
    last = frames - window.frames
    last += -last % window.frames_per_label
    return np.append(np.arange(0, last, window_step(window)), last)


def window_step(window: WindowSettings) -> int:
    """Return the distance in frames between two windows over a recording."""
    step = max(1, round(window.frames * (1 - window.overlap)))
    # Windows start on timeline frames, so that their answers can be laid over each other.
    return max(step - step % window.frames_per_label, window.frames_per_label)


def cut_window(spectrogram: np.ndarray, start: int, frames: int) -> np.ndarray:
    """Cut `frames` frames from `start` on out of what runs along time, shape (clip_frames, ...).

    What is missing at the end is filled by repeating the cut, which keeps the statistics of a short clip, where silence
    would give its length away.
    """
    piece = spectrogram[start : start + frames]
    return piece if len(piece) == frames else np.resize(piece, (frames, *piece.shape[1:]))


def input_shape(settings: Settings) -> tuple[int, ...]:
    """Return the shape of what :func:`normalise_window` makes of a window: frames, mel bands."""
    return settings.window.frames, settings.features.mel_bands


def normalise_window(window: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    """Turn a window of dB values into a network input that does not depend on loudness or microphone response.

    The window is floored at ``settings.dynamic_range_db`` under its loudest point, the mean of every mel band is
    removed, and what remains is scaled by ``SCALE_DB``: float32, of the shape that it had.

    Parameters
    ----------
    window : ndarray, shape (frames, mel_bands)
        dB values from :func:`deepfake_audio.features.log_mel.log_mel`.
    settings : FeatureSettings
        Dynamic range.
    """
    window = np.asarray(window, dtype=np.float32)
    window = np.maximum(window, window.max() - settings.dynamic_range_db)
    return (window - window.mean(axis=0, keepdims=True)) / SCALE_DB
