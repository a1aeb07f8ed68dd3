"""What may sound behind a voice: noise, music, hum, clicks and key tones, all made from random numbers."""

from __future__ import annotations

import numpy as np

from ..settings import SAMPLE_RATE


def coloured_noise(length: int, fall_db: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise that falls by `fall_db` per octave above 50 Hz, shape (length,)."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    hertz = np.fft.rfftfreq(length, 1.0 / SAMPLE_RATE)
    spectrum *= np.maximum(hertz, 50.0) ** (-fall_db / 6.02)
    return np.fft.irfft(spectrum, length)


def noise(length: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise of a random colour, shape (length,)."""
    return coloured_noise(length, rng.uniform(0.0, 6.0), rng)


def music(length: int, rng: np.random.Generator) -> np.ndarray:
    """Return a bed of chords over a beat, shape (length,): three to five voices, each with decaying harmonics."""
    beat = SAMPLE_RATE * 60 / rng.uniform(60, 150)
    chord_samples = int(beat * rng.choice([2, 4]))
    fall = rng.uniform(0.5, 2.0)
    decay = rng.uniform(0.3, 3.0)
    root = 110 * 2 ** (rng.uniform(0, 12) / 12)
    bed = np.zeros(length)
    for start in range(-int(rng.integers(chord_samples)), length, chord_samples):
        seconds = np.arange(chord_samples) / SAMPLE_RATE
        degree = int(rng.choice([0, 3, 5, 7, 8, 10]))
        notes = degree + np.array([0, rng.choice([3, 4]), 7, 12, 16])[: int(rng.integers(3, 6))]
        chord = np.zeros(chord_samples)
        for note in notes:
            pitch = root * 2 ** (note / 12)
            harmonics = np.arange(1, min(12, int(7000 / pitch)) + 1)
            for harmonic in harmonics:
                phase = rng.uniform(0, 2 * np.pi)
                chord += harmonic**-fall * np.sin(2 * np.pi * harmonic * pitch * seconds + phase)
        chord *= np.exp(-seconds / decay) * np.minimum(1.0, seconds / 0.01)
        first, last = max(0, start), min(length, start + chord_samples)
        bed[first:last] += chord[first - start : last - start]
    if rng.random() < 0.5:
        bed += rng.uniform(0.1, 0.5) * rms(bed) * _beat(length, int(beat), rng)
    return bed


def _beat(length: int, every: int, rng: np.random.Generator) -> np.ndarray:
    """Return decaying bursts of noise, one every so many samples."""
    position = (np.arange(length) + int(rng.integers(every))) % every
    return rng.standard_normal(length) * np.exp(-position / (0.03 * SAMPLE_RATE)) * 5


def hum(length: int, rng: np.random.Generator) -> np.ndarray:
    """Return mains hum or buzz, shape (length,): harmonics of 50 or 60 Hz, few and falling or many and level."""
    pitch = rng.choice([50.0, 60.0]) * rng.uniform(0.998, 1.002)
    harmonics = np.arange(1, int(rng.integers(3, 100)) + 1)
    harmonics = harmonics[harmonics * pitch < SAMPLE_RATE / 2]
    amplitudes = harmonics ** -rng.uniform(0.0, 2.0) * rng.uniform(0.2, 1.0, len(harmonics))
    phases = rng.uniform(0, 2 * np.pi, len(harmonics))
    # All harmonics repeat after one period of the mains: one period is computed, and read again and again.
    table = np.arange(2048) / 2048
    period = (amplitudes[:, None] * np.sin(2 * np.pi * harmonics[:, None] * table + phases[:, None])).sum(axis=0)
    return np.interp(np.arange(length) * pitch / SAMPLE_RATE % 1.0, table, period, period=1.0)


def clicks(length: int, rng: np.random.Generator) -> np.ndarray:
    """Return clicks or crackle, shape (length,): 1-60 a second, of one sample or ringing for up to 2 ms."""
    count = rng.poisson(length / SAMPLE_RATE * np.exp(rng.uniform(0.0, np.log(60.0)))) + 1
    train = np.zeros(length)
    train[rng.integers(length, size=count)] = rng.standard_normal(count) + np.sign(rng.standard_normal(count))
    ringing = int(rng.choice([1, 4, 16, 32]))
    tail = np.exp(-4.0 * np.arange(ringing) / ringing) * rng.standard_normal(ringing)
    tail[0] = 1.0
    return np.convolve(train, tail)[:length]


def tones(length: int, rng: np.random.Generator) -> np.ndarray:
    """Return key tones of a telephone (DTMF, ITU-T Q.23), shape (length,): pairs of tones and pauses."""
    low, high = np.array([697.0, 770.0, 852.0, 941.0]), np.array([1209.0, 1336.0, 1477.0, 1633.0])
    train, position = np.zeros(length), int(rng.integers(SAMPLE_RATE // 2))
    tone, pause = int(SAMPLE_RATE * rng.uniform(0.07, 0.25)), int(SAMPLE_RATE * rng.uniform(0.07, 0.8))
    while position < length:
        seconds = np.arange(min(tone, length - position)) / SAMPLE_RATE
        for hertz in (rng.choice(low), rng.choice(high)):
            train[position : position + len(seconds)] += np.sin(2 * np.pi * hertz * seconds)
        position += tone + pause
    return train


BACKGROUNDS = {"noise": noise, "music": music, "hum": hum, "clicks": clicks, "key tones": tones}
"""What may sound behind a voice; each takes a length in samples and a generator of random numbers."""


def rms(samples: np.ndarray) -> float:
    """Return the mean level of samples, full scale 1."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
