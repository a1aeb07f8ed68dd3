"""What happens to speech before it reaches us: codecs, microphones, noise and bands, drawn for every class alike.

Rooms, noise and codecs act on the samples of a whole training clip (:func:`through_channel`), the rest on the
log-mel spectrogram of a training window, where it costs next to nothing (:func:`augment_window`).
"""

from __future__ import annotations

import functools
import io
import subprocess

import numpy as np

from ..features.log_mel import band_centres
from ..settings import SAMPLE_RATE, AugmentSettings, FeatureSettings
from ..sound.level import SCALED_PEAK, Dither
from ..sound.reading import quantise
from .backgrounds import BACKGROUNDS, coloured_noise, rms

CODECS = {
    "MP3": ("MP3", "MPEG_LAYER_III", (16000, 22050, 24000, 44100, 48000)),
    "Vorbis": ("OGG", "VORBIS", (16000, 22050, 24000, 44100, 48000)),
    "Opus": ("OGG", "OPUS", (8000, 16000, 24000, 48000)),
    "GSM 06.10": ("WAV", "GSM610", (8000,)),
    "mu-law": ("WAV", "ULAW", (8000, 16000)),
    "A-law": ("WAV", "ALAW", (8000, 16000)),
}
"""For each codec of libsndfile its container and coding, and the rates in Hz that it is used at."""

FFMPEG_CODECS = {
    "AAC": (["-c:a", "aac", "-f", "adts"], (16000, 32000, 44100), (16, 24, 32, 48, 64, 96)),
    "AMR": (["-c:a", "libopencore_amrnb", "-f", "amr"], (8000,), (4.75, 5.9, 7.4, 7.95, 10.2, 12.2)),
    "Opus at a bit rate": (["-c:a", "libopus", "-f", "ogg"], (16000, 24000, 48000), (6, 8, 12, 16, 24, 32, 64)),
}
"""For each codec of the bundled ffmpeg its options, its rates in Hz and its bit rates in kbit/s."""

MOST_DELAY = 8000
"""Samples within which the delay of a codec is looked for."""

CHANNEL_CHANCES = {
    "room": 0.3,
    "background": 0.5,
    "level": 0.3,
    "coarse": 0.08,
    "resampling": 0.25,
    "codec": 0.7,
    "loss": 0.1,
}
"""How often each step is part of a channel, in the order in which sound meets them."""

RATES_ON_THE_WAY = (8000, 11025, 22050, 24000)
"""Rates in Hz that a recording may have passed through before it reaches us."""

PACKET_SAMPLES = SAMPLE_RATE // 50
"""A packet of a call: 20 ms."""


def through_channel(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Send a clip through a random channel: room, background, level, few steps, resampling, codec, lost packets.

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
    steps = {
        "room": in_room,
        "background": with_background,
        "level": at_other_level,
        "coarse": stored_coarsely,
        "resampling": resampled,
        "codec": through_codec,
        "loss": with_lost_packets,
    }
    for name, step in steps.items():
        if rng.random() < CHANNEL_CHANCES[name]:
            samples = step(samples, rng)
    return quantise(np.clip(samples, -1.0, 1.0).astype(np.float32))


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
    return (wet * (rms(samples) / max(rms(wet), 1e-9))).astype(np.float32)


def with_background(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add one of ``BACKGROUNDS`` at 5-35 dB under the clip's mean level."""
    name = str(rng.choice(list(BACKGROUNDS)))
    return mixed(samples, BACKGROUNDS[name](len(samples), rng), rng.uniform(5.0, 35.0))


def mixed(samples: np.ndarray, background: np.ndarray, snr_db: float) -> np.ndarray:
    """Add a background of the same length, its mean level `snr_db` under that of the clip."""
    level = rms(samples) * 10 ** (-snr_db / 20)
    return (samples + background * (level / max(rms(background), 1e-9))).astype(np.float32)


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
    return mixed(samples, coloured_noise(len(samples), fall_db, rng), snr_db)


def at_other_level(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make a clip quieter by up to 30 dB, or so loud that up to its upper 12 dB are clipped."""
    peak = max(float(np.abs(samples).max(initial=0.0)), 1e-9)
    gain = rng.uniform(-30.0, 0.0) if rng.random() < 0.5 else rng.uniform(0.0, 12.0)
    return quantise(np.clip(samples * (10 ** (gain / 20) / peak), -1.0, 1.0).astype(np.float32))


def stored_coarsely(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Round a clip to 8-256 steps from zero to its peak, as so quiet a recording is stored, and read it like one."""
    peak = max(float(np.abs(samples).max(initial=0.0)), 1e-9)
    step = np.float32(1 / 2 ** rng.uniform(3.0, 8.0))
    steps = np.rint(samples / (peak * step)) * step
    read = Dither(step).add(steps[:, None].astype(np.float32))[:, 0]
    return read * (SCALED_PEAK / max(float(np.abs(read).max(initial=0.0)), 1e-9))


def resampled(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Send a clip through one of ``RATES_ON_THE_WAY`` and back."""
    import soxr

    rate, quality = int(rng.choice(RATES_ON_THE_WAY)), str(rng.choice(["QQ", "LQ", "MQ", "HQ"]))
    return _as_long(soxr.resample(soxr.resample(samples, SAMPLE_RATE, rate, quality), rate, SAMPLE_RATE), samples)


def with_lost_packets(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lose 1-10 % of the packets of 20 ms: they are silent, or the packet before is heard again, quieter."""
    return lose_packets(samples, rng.uniform(0.01, 0.1), rng)


def lose_packets(samples: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Lose a share of the packets of a clip; see :func:`with_lost_packets`."""
    received, repeat = samples.copy(), rng.random() < 0.5
    lost = np.flatnonzero(rng.random(len(samples) // PACKET_SAMPLES) < share)
    for start in lost * PACKET_SAMPLES:
        before = received[start - PACKET_SAMPLES : start] if repeat and start else 0.0
        received[start : start + PACKET_SAMPLES] = np.multiply(before, 0.7)
    return received


def _as_long(received: np.ndarray, samples: np.ndarray) -> np.ndarray:
    return np.pad(received, (0, max(0, len(samples) - len(received))))[: len(samples)].astype(np.float32)


def through_codec(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Send a clip through a random codec at a random rate and quality; see :func:`coded`."""
    name = str(rng.choice([*CODECS, *FFMPEG_CODECS]))
    if name in FFMPEG_CODECS:
        _, rates, bit_rates = FFMPEG_CODECS[name]
        return coded(samples, name, int(rng.choice(rates)), kbit_per_second=float(rng.choice(bit_rates)))[0]
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
        One of ``CODECS`` or ``FFMPEG_CODECS``.
    rate : int
        Sample rate in Hz at which it is coded.
    **quality
        For ``FFMPEG_CODECS`` ``kbit_per_second``; for ``CODECS`` what ``soundfile.write`` takes: ``compression_level``,
        ``bitrate_mode``.

    Returns
    -------
    samples : ndarray of float32, shape (samples,)
        On the 16-bit grid, like every clip.
    kbit_per_second : float
        What the coded file took.
    """
    import soxr
    from scipy.signal import correlate

    sent = np.clip(soxr.resample(samples, SAMPLE_RATE, rate), -1.0, 1.0)
    send = _sent_by_ffmpeg if name in FFMPEG_CODECS else _sent_by_libsndfile
    received, rate, size = send(sent, name, rate, **quality)
    received = soxr.resample(received, rate, SAMPLE_RATE)
    # Frame labels must stay true, and encoders shift by up to 0.1 s: undo what the correlation shows.
    similarity = correlate(received, samples, method="fft")
    middle = len(samples) - 1
    first = max(0, middle - MOST_DELAY)
    delay = int(np.argmax(similarity[first : middle + MOST_DELAY])) + first - middle
    received = received[delay:] if delay > 0 else np.pad(received, (-delay, 0))
    return quantise(_as_long(received, samples)), size * 8e-3 * SAMPLE_RATE / len(samples)


def _sent_by_libsndfile(sent: np.ndarray, name: str, rate: int, **quality) -> tuple[np.ndarray, int, int]:
    """Return what comes back from a codec, its rate in Hz, and the bytes that the coded file took."""
    import soundfile

    container, coding, _ = CODECS[name]
    file = io.BytesIO()
    soundfile.write(file, sent, rate, format=container, subtype=coding, **quality)
    file.seek(0)
    received, rate = soundfile.read(file, dtype="float32")
    return received, rate, len(file.getvalue())


def _sent_by_ffmpeg(sent: np.ndarray, name: str, rate: int, kbit_per_second: float) -> tuple[np.ndarray, int, int]:
    """Return what :func:`_sent_by_libsndfile` does."""
    import imageio_ffmpeg

    options, raw = FFMPEG_CODECS[name][0], ["-f", "s16le", "-ac", "1", "-ar", str(rate)]
    start = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-threads", "1"]
    samples = np.round(sent * 32767).astype("<i2").tobytes()
    encode = [*start, *raw, "-i", "pipe:0", *options, "-b:a", f"{kbit_per_second}k", "pipe:1"]
    file = subprocess.run(encode, input=samples, capture_output=True, check=True).stdout
    decode = [*start, "-f", options[-1].replace("adts", "aac"), "-i", "pipe:0", *raw, "pipe:1"]
    received = subprocess.run(decode, input=file, capture_output=True, check=True).stdout
    return np.frombuffer(received, dtype="<i2").astype(np.float32) / 32768, rate, len(file)


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
    frames, bands = window.shape
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
        # Stationary noise under the speech: powers add, so quiet passages fill up and loud ones stay.
        floor = peak - rng.uniform(settings.least_noise_db, settings.most_noise_db)
        tilt = np.linspace(0.0, rng.uniform(-30.0, 20.0), bands)
        level = np.exp((floor + tilt - max(0.0, tilt[-1])) * NEPER).astype(np.float32)
        # The power of a noise band scatters like an exponential variable around its mean.
        window = np.log(np.exp(window * NEPER) + _scatter(frames, bands, rng) * level) / NEPER
    if rng.random() < settings.floor_chance:
        window = np.maximum(window, peak - rng.uniform(45.0, 80.0))
    if rng.random() < settings.band_limit_chance:
        cutoff = rng.uniform(settings.lowest_cutoff_hz, features.highest_hz)
        window = window - np.maximum(0.0, _band_centres(features) - cutoff).clip(max=500.0) * (60.0 / 500.0)
    if rng.random() < settings.mask_chance:
        width = int(rng.integers(1, max(1, round(bands * settings.mask_share)) + 1))
        start = int(rng.integers(bands - width + 1))
        window[:, start : start + width] = window.mean()
    return window.astype(np.float32)


NEPER = np.float32(np.log(10.0) / 10.0)
"""dB of a power times this is its natural logarithm."""


def _scatter(frames: int, bands: int, rng: np.random.Generator) -> np.ndarray:
    """Return powers of noise of mean one, shape (frames, bands): a part of a longer one, which is drawn once."""
    start = int(rng.integers(len(_long_scatter()) - frames * bands))
    return _long_scatter()[start : start + frames * bands].reshape(frames, bands)


@functools.cache
def _long_scatter() -> np.ndarray:
    return np.random.default_rng(0).standard_exponential(2**21, dtype=np.float32)


@functools.lru_cache(maxsize=8)
def _band_centres(features: FeatureSettings) -> np.ndarray:
    """Return the centres of the mel bands in Hz, float32, shape (mel_bands,)."""
    return band_centres(features.mel_bands, features.lowest_hz, features.highest_hz).astype(np.float32)
