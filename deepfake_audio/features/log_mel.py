"""Log-mel spectrogram: the only feature code, for training and for judging alike.

What librosa computes, with librosa's mel filters, but in numpy: importing librosa takes longer than judging a clip. An
exported network brings the filters that it was trained with (:mod:`deepfake_audio.model.engines`).

A clip's spectrogram is absolute (dB re full scale), so that it can be stored once; what makes the network blind to
loudness happens per window, in :func:`deepfake_audio.features.windows.normalise_window`, wherever the window comes
from.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from ..settings import FeatureSettings

SMALLEST_POWER = 1e-10
"""Power that stands for digital silence: -100 dB."""

BLOCK_FRAMES = 256
"""Spectrogram frames that are computed at once: they fit into the cache, and long recordings need no more memory than
short ones."""


BLOCK_BANDS = 10
"""Mel bands that are computed at once."""


@functools.lru_cache(maxsize=8)
def mel_filters(settings: FeatureSettings) -> np.ndarray:
    """Return librosa's mel filters, float32, shape (mel_bands, 1 + fft_samples // 2)."""
    import librosa

    return librosa.filters.mel(
        sr=settings.sample_rate,
        n_fft=settings.fft_samples,
        n_mels=settings.mel_bands,
        fmin=settings.lowest_hz,
        fmax=settings.highest_hz,
    )


def band_centres(bands: int, lowest_hz: float, highest_hz: float) -> np.ndarray:
    """Return the frequencies at which mel bands peak, in Hz, shape (bands,), as librosa's filters do.

    The scale is Slaney's: 15 mel up to 1 kHz, evenly; from there 27 mel for each factor of 6.4.
    """

    def mel(hz: float) -> float:
        return hz * 0.015 if hz < 1000 else 15 + 27 * math.log(hz / 1000, 6.4)

    steps = np.linspace(mel(lowest_hz), mel(highest_hz), bands + 2)[1:-1]
    return np.where(steps < 15, steps / 0.015, 1000 * 6.4 ** ((steps - 15) / 27))


def log_mel(samples: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    """Compute the log-mel spectrogram of one clip.

    Parameters
    ----------
    samples : ndarray of float32, shape (samples,)
        Mono audio at ``settings.sample_rate``, as :func:`deepfake_audio.sound.reading.read_audio` gives it.
    settings : FeatureSettings
        Frame and mel settings.

    Returns
    -------
    ndarray of float16, shape (frames, mel_bands)
        Power in dB re full scale; frame ``i`` is centred on sample ``i * hop_samples``. Half precision (steps of
        at most 0.06 dB) is part of the definition: stored and fresh features are identical.
    """
    stream = LogMelStream(settings)
    return np.concatenate([stream.push(samples), stream.finish()])


class LogMelStream:
    """:func:`log_mel` of a recording that comes in pieces: the same frames, whatever the pieces are.

    Parameters
    ----------
    settings : FeatureSettings
        Frame and mel settings.
    filters : ndarray, optional
        What :func:`mel_filters` returns, where it is known already.
    block_frames : int
        So many frames come at a time; rounding may depend on it in the last digit.
    """

    def __init__(self, settings: FeatureSettings, filters: np.ndarray | None = None, block_frames: int = BLOCK_FRAMES):
        self.settings = settings
        self._filters = _without_zeros(mel_filters(settings) if filters is None else filters)
        self._block = block_frames
        self._samples, self._done = 0, 0
        # Frames are centred: the first one begins half a frame before the recording.
        self._waiting = np.zeros(settings.fft_samples // 2, dtype=np.float32)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples and return the frames that are complete, shape (frames, mel_bands)."""
        settings = self.settings
        self._samples += len(samples)
        self._waiting = np.concatenate([self._waiting, np.asarray(samples, dtype=np.float32)])
        # Always the same blocks of frames, so that rounding does not depend on the pieces either.
        taken, needed = self._block * settings.hop_samples, _span(self._block, settings)
        frames = []
        while len(self._waiting) >= needed:
            frames.append(_frames(self._waiting[:needed], settings, self._filters))
            self._waiting = self._waiting[taken:]
            self._done += self._block
        self._waiting = self._waiting.copy()  # a view would keep all that was taken alive
        return np.concatenate(frames) if frames else np.zeros((0, settings.mel_bands), dtype=np.float16)

    def finish(self) -> np.ndarray:
        """Return the last frames, shape (frames, mel_bands)."""
        settings = self.settings
        frames = 1 + self._samples // settings.hop_samples - self._done
        needed = _span(frames, settings)
        samples = np.pad(self._waiting, (0, max(0, needed - len(self._waiting))))[:needed]
        return _frames(samples, settings, self._filters)


def _span(frames: int, settings: FeatureSettings) -> int:
    """Return how many samples so many frames lie on."""
    return (frames - 1) * settings.hop_samples + settings.fft_samples


def _without_zeros(filters: np.ndarray) -> list[tuple[slice, np.ndarray]]:
    """Cut filters into blocks of some bands each, shape (bins, bands), and the bins that those bands hear.

    It is a quarter of the work, in portions for which BLAS starts no threads: all cores have other files to work on.
    """
    blocks = []
    for rows in np.split(filters, range(BLOCK_BANDS, len(filters), BLOCK_BANDS)):
        bins = np.flatnonzero(rows.any(axis=0))
        heard = slice(bins[0], bins[-1] + 1) if len(bins) else slice(0, 1)
        blocks.append((heard, np.ascontiguousarray(rows[:, heard].T)))
    return blocks


def _frames(samples: np.ndarray, settings: FeatureSettings, filters: list[tuple[slice, np.ndarray]]) -> np.ndarray:
    pieces = np.lib.stride_tricks.sliding_window_view(samples, settings.fft_samples)[:: settings.hop_samples]
    spectrum = np.fft.rfft(pieces * _hann(settings.fft_samples))
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    mel = np.concatenate([power[:, heard] @ block for heard, block in filters], axis=1)
    return (10.0 * np.log10(np.maximum(mel, SMALLEST_POWER))).astype(np.float16)


@functools.lru_cache(maxsize=8)
def _hann(samples: int) -> np.ndarray:
    """Return the periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)
