"""What happens to speech before it reaches us: codecs, microphones, noise and bands, drawn for every class alike.

Rooms, noise and codecs act on the samples of a whole training clip (:func:`through_channel`), the rest on the
log-mel spectrogram of a training window, where it costs next to nothing (:func:`augment_window`).
"""

from __future__ import annotations

import io

import numpy as np

from ..settings import SAMPLE_RATE, AugmentSettings, FeatureSettings
from ..sound.reading import quantise

CODECS = {
    "MP3": ("MP3", "MPEG_LAYER_III", (16000, 22050, 44100)),
    "Vorbis": ("OGG", "VORBIS", (16000, 44100)),
    "Opus": ("OGG", "OPUS", (16000, 24000, 48000)),
    "GSM 06.10": ("WAV", "GSM610", (8000,)),
    "mu-law": ("WAV", "ULAW", (8000, 16000)),
    "A-law": ("WAV", "ALAW", (8000, 16000)),
}
"""For each codec libsndfile's container and coding, and the rates in Hz that it is used at."""

MOST_DELAY = 8000
"""Samples within which the delay of a codec is looked for."""

CHANNEL_CHANCE = 0.6
"""How often each of room, noise and codec is part of a channel."""


def through_channel(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Send a clip through a random room, noise and codec.

    Without degraded real speech in training, whatever sounds smeared or dull would look synthetic.

    Parameters
    ----------
    samples : ndarray of float32, shape (samples,)
        Mono audio at ``SAMPLE_RATE``.
    rng : numpy.random.Generator
        Source of every choice.

    Returns
    -------
    ndarray of float32, shape (samples,)
        On the 16-bit grid, and in its place in time.
    """
    if rng.random() < CHANNEL_CHANCE:
        samples = in_room(samples, rng)
    if rng.random() < CHANNEL_CHANCE:
        samples = with_noise(samples, rng)
    if rng.random() < CHANNEL_CHANCE:
        samples = through_codec(samples, rng)
    return quantise(samples)


def in_room(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add the reverberation of a random room of 0.1-0.6 s, 0-12 dB under the direct sound; see :func:`reverberate`."""
    return reverberate(samples, rng.uniform(0.1, 0.6), rng.uniform(0.0, 12.0), rng)


def reverberate(
    samples: np.ndarray, reverberation_seconds: float, direct_db: float, rng: np.random.Generator
) -> np.ndarray:
    """Add the reverberation of a room: the direct sound, then exponentially decaying noise (Polack's model).

    Parameters
    ----------
    samples : ndarray of float32, shape (samples,)
        Mono audio at ``SAMPLE_RATE``.
    reverberation_seconds : float
        Time in which the sound falls by 60 dB.
    direct_db : float
        Level of the direct sound above all reverberation.
    rng : numpy.random.Generator
        Draws the room's echoes.

    Returns
    -------
    ndarray of float32, shape (samples,)
        At the level of `samples`.
    """
    from scipy.signal import fftconvolve

    length = round(reverberation_seconds * SAMPLE_RATE)
    # -60 dB after the reverberation time, by definition.
    tail = rng.standard_normal(length) * 10 ** (-3.0 * np.arange(length) / length)
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    wet = fftconvolve(samples, tail)[: len(samples)]
    return (wet * (_rms(samples) / max(_rms(wet), 1e-9))).astype(np.float32)


def with_noise(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add noise of a random colour at 5-35 dB under the clip's mean level; see :func:`add_noise`."""
    return add_noise(samples, rng.uniform(5.0, 35.0), rng.uniform(0.0, 6.0), rng)


def add_noise(samples: np.ndarray, snr_db: float, fall_db: float, rng: np.random.Generator) -> np.ndarray:
    """Add stationary noise.

    Parameters
    ----------
    samples : ndarray of float32, shape (samples,)
        Mono audio at ``SAMPLE_RATE``.
    snr_db : float
        Mean level of the clip above the noise.
    fall_db : float
        By how much the noise falls per octave: white 0, pink 3, brown 6.
    rng : numpy.random.Generator
        Draws the noise.

    Returns
    -------
    ndarray of float32, shape (samples,)
    """
    spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
    hertz = np.fft.rfftfreq(len(samples), 1.0 / SAMPLE_RATE)
    spectrum *= np.maximum(hertz, 50.0) ** (-fall_db / 6.02)
    noise = np.fft.irfft(spectrum, len(samples))
    level = _rms(samples) * 10 ** (-snr_db / 20)
    return (samples + noise * (level / max(_rms(noise), 1e-9))).astype(np.float32)


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def through_codec(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Send a clip through a random codec at a random rate and quality; see :func:`coded`."""
    name = str(rng.choice(list(CODECS)))
    rate = int(rng.choice(CODECS[name][2]))
    quality = {"compression_level": float(rng.uniform(0.0, 0.99))} if name in ("MP3", "Vorbis", "Opus") else {}
    return coded(samples, name, rate, **quality)[0]


def coded(samples: np.ndarray, name: str, rate: int, **quality) -> tuple[np.ndarray, float]:
    """Send a clip through a codec and back, without moving it in time.

    Parameters
    ----------
    samples : ndarray of float32, shape (samples,)
        Mono audio at ``SAMPLE_RATE``.
    name : str
        One of ``CODECS``.
    rate : int
        Sample rate in Hz at which it is coded.
    **quality
        As ``soundfile.write`` takes it: ``compression_level``, ``bitrate_mode``.

    Returns
    -------
    samples : ndarray of float32, shape (samples,)
        On the 16-bit grid, like every clip.
    kbit_per_second : float
        What the coded file took.
    """
    import soundfile
    import soxr
    from scipy.signal import correlate

    container, coding, _ = CODECS[name]
    sent = np.clip(soxr.resample(samples, SAMPLE_RATE, rate), -1.0, 1.0)
    file = io.BytesIO()
    soundfile.write(file, sent, rate, format=container, subtype=coding, **quality)
    kbit_per_second = len(file.getvalue()) * 8e-3 * SAMPLE_RATE / len(samples)
    file.seek(0)
    received, rate = soundfile.read(file, dtype="float32")
    received = soxr.resample(received, rate, SAMPLE_RATE)
    # Frame labels must stay true, and encoders shift by up to 0.1 s: undo what the correlation shows.
    similarity = correlate(received, samples, method="fft")
    middle = len(samples) - 1
    first = max(0, middle - MOST_DELAY)
    delay = int(np.argmax(similarity[first : middle + MOST_DELAY])) + first - middle
    received = received[delay:] if delay > 0 else np.pad(received, (-delay, 0))
    received = np.pad(received, (0, max(0, len(samples) - len(received))))[: len(samples)]
    return quantise(received.astype(np.float32)), kbit_per_second


def augment_window(
    window: np.ndarray, settings: AugmentSettings, features: FeatureSettings, rng: np.random.Generator
) -> np.ndarray:
    """Pass one window through a random channel.

    Parameters
    ----------
    window : ndarray, shape (frames, mel_bands)
        dB values from :func:`deepfake_audio.features.log_mel.log_mel`.
    settings : AugmentSettings
        How often and how strongly.
    features : FeatureSettings
        Mel settings, to place band limits.
    rng : numpy.random.Generator
        Source of every choice.

    Returns
    -------
    ndarray of float32, shape (frames, mel_bands)
    """
    window = np.array(window, dtype=np.float32)
    bands = window.shape[1]
    if rng.random() < settings.shift_chance:
        # Everything a little higher or lower: another voice with the same traces.
        shift = rng.uniform(-settings.most_shift_bands, settings.most_shift_bands)
        at = np.clip(np.arange(bands) + shift, 0, bands - 1)
        below = np.minimum(at.astype(int), bands - 2)
        share = (at - below).astype(np.float32)
        window = window[:, below] * (1 - share) + window[:, below + 1] * share
    peak = window.max()
    if rng.random() < settings.equaliser_chance:
        # A smooth curve over the bands: another microphone, another loudspeaker.
        knots = rng.normal(0.0, settings.equaliser_db, 6)
        window += np.interp(np.linspace(0, 5, bands), np.arange(6), knots).astype(np.float32)
    if rng.random() < settings.noise_chance:
        # Stationary noise under the speech: powers add, so quiet stretches fill up and loud ones stay.
        floor = peak - rng.uniform(settings.least_noise_db, settings.most_noise_db)
        tilt = np.linspace(0.0, rng.uniform(-25.0, 5.0), bands)
        # The power of a noise band scatters like an exponential variable around its mean.
        noise = rng.standard_exponential(window.shape, dtype=np.float32) * 10 ** ((floor + tilt) / 10).astype(
            np.float32
        )
        window = 10 * np.log10(10 ** (window / 10) + noise)
    if rng.random() < settings.band_limit_chance:
        from librosa import mel_frequencies

        centres = mel_frequencies(n_mels=bands + 2, fmin=features.lowest_hz, fmax=features.highest_hz)[1:-1]
        cutoff = rng.uniform(settings.lowest_cutoff_hz, features.highest_hz)
        window = window - np.maximum(0.0, centres - cutoff).clip(max=500.0) * (60.0 / 500.0)
    if rng.random() < settings.mask_chance:
        width = int(rng.integers(1, max(1, round(bands * settings.mask_share)) + 1))
        start = int(rng.integers(bands - width + 1))
        window[:, start : start + width] = window.mean()
    return window.astype(np.float32)
