"""Log-mel spectrogram: the only feature code, for training and for judging alike.

Everything is computed one clip at a time with librosa. A clip's spectrogram is absolute (dB re full scale), so
that it can be stored once; what makes the network blind to loudness happens per window, in
:func:`normalise_window`, wherever the window comes from.
"""

from __future__ import annotations

import numpy as np

from .settings import FeatureSettings, WindowSettings

SMALLEST_POWER = 1e-10
"""Power that stands for digital silence: -100 dB."""

SCALE_DB = 20.0
"""dB that become 1.0 in a network input."""

SILENCE_PEAK = 1e-3
"""A recording whose loudest sample stays under this (-60 dB re full scale) is silence."""
SPEECH_RANGE_DB = 40.0
"""Frames further than this under the loudest one are pause."""


def log_mel(samples: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    """Compute the log-mel spectrogram of one clip.

    Parameters
    ----------
    samples : ndarray of float32, shape (samples,)
        Mono audio at ``settings.sample_rate``, as :func:`deepfake_audio.audio.read_audio` gives it.
    settings : FeatureSettings
        Frame and mel settings.

    Returns
    -------
    ndarray of float16, shape (frames, mel_bands)
        Power in dB re full scale; frame ``i`` is centred on sample ``i * hop_samples``. Half precision (steps of
        at most 0.06 dB) is part of the definition: stored and fresh features are identical.
    """
    import librosa

    samples = np.asarray(samples, dtype=np.float32)
    frames = 1 + len(samples) // settings.hop_samples
    # librosa warns about clips under one analysis window, which are legal here.
    samples = np.pad(samples, (0, max(0, settings.fft_samples - len(samples))))
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=settings.sample_rate,
        n_fft=settings.fft_samples,
        hop_length=settings.hop_samples,
        n_mels=settings.mel_bands,
        fmin=settings.lowest_hz,
        fmax=settings.highest_hz,
        center=True,
        pad_mode="constant",
        power=2.0,
    )
    return librosa.power_to_db(power, ref=1.0, amin=SMALLEST_POWER, top_db=None).T[:frames].astype(np.float16)


def window_starts(frames: int, window: WindowSettings) -> np.ndarray:
    """Return the first frame of each window that a recording of `frames` frames is judged by.

    The windows overlap by ``window.overlap`` and reach the last frame; a recording shorter than a window has one.
    """
    if frames <= window.frames:
        return np.zeros(1, dtype=int)
    step = max(1, round(window.frames * (1 - window.overlap)))
    # Windows start on timeline frames, so that their answers can be laid over each other.
    step -= step % window.frames_per_label
    last = frames - window.frames
    last += -last % window.frames_per_label
    starts = np.arange(0, last, max(step, window.frames_per_label))
    return np.append(starts, last)


def cut_window(spectrogram: np.ndarray, start: int, frames: int) -> np.ndarray:
    """Cut `frames` frames from `start` on; what is missing at the end is filled by repeating the cut.

    Repeating keeps the statistics of a short clip, where silence would give its length away.

    Parameters
    ----------
    spectrogram : ndarray, shape (clip_frames, ...)
        Spectrogram, or anything else that runs along time.
    start, frames : int
        First frame and length.

    Returns
    -------
    ndarray, shape (frames, ...)
    """
    piece = spectrogram[start : start + frames]
    if len(piece) < frames:
        repeats = -(-frames // len(piece))
        piece = np.concatenate([piece] * repeats)[:frames]
    return piece


def normalise_window(window: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    """Turn a window of dB values into a network input that does not depend on loudness or microphone response.

    The window is floored at ``settings.dynamic_range_db`` under its loudest point, the mean of every mel band is
    removed, and what remains is scaled by ``SCALE_DB``.

    Parameters
    ----------
    window : ndarray, shape (frames, mel_bands)
        dB values from :func:`log_mel`.
    settings : FeatureSettings
        Dynamic range.

    Returns
    -------
    ndarray of float32, shape (frames, mel_bands)
    """
    window = np.asarray(window, dtype=np.float32)
    window = np.maximum(window, window.max() - settings.dynamic_range_db)
    return (window - window.mean(axis=0, keepdims=True)) / SCALE_DB


def speech_seconds(samples: np.ndarray, sample_rate: int) -> float:
    """Return how much of a recording is louder than its pauses.

    Parameters
    ----------
    samples : ndarray of float32, shape (samples,)
        Mono audio.
    sample_rate : int
        In Hz.
    """
    from librosa.effects import split

    if not len(samples) or np.abs(samples).max() < SILENCE_PEAK:
        return 0.0
    stretches = split(samples, top_db=SPEECH_RANGE_DB, frame_length=1024, hop_length=256)
    return float(sum(end - start for start, end in stretches) / sample_rate)
