"""Pseudo-fakes: copies of real clips whose sound was taken apart and put together again.

A copy has the voice, the words, the room and the timing of its source, so nothing but the traces of synthesis tells
the two apart (the idea of arXiv 2210.10570). They are made for the training set only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..corpus.clips import Clip
from ..errors import AudioError
from ..settings import SAMPLE_RATE
from ..sound.reading import quantise, read_audio, write_flac


def mel_copy(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Invert a mel-spectrogram: smoothed magnitudes, phases by Griffin-Lim, as spectrogram-to-wave vocoders do.

    Parameters
    ----------
    samples : ndarray of float32, shape (samples,)
        Real speech at ``SAMPLE_RATE``.
    rng : numpy.random.Generator
        Draws mel count, window and number of iterations.

    Returns
    -------
    ndarray of float32, shape (samples,)
        The copy, aligned with its source.
    """
    import librosa

    fft_samples = int(rng.choice([512, 800, 1024]))
    hop_samples = fft_samples // 4
    mel = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=fft_samples, n_mels=int(rng.integers(64, 128)))
    magnitude = np.abs(librosa.stft(samples, n_fft=fft_samples, hop_length=hop_samples))
    # A log-mel vocoder never sees more than this; the pseudo-inverse spreads each band over its bins again.
    smoothed = np.maximum(np.linalg.pinv(mel) @ (mel @ magnitude), 1e-6).astype(np.float32)
    return librosa.griffinlim(
        smoothed,
        n_iter=int(rng.integers(12, 60)),
        hop_length=hop_samples,
        n_fft=fft_samples,
        length=len(samples),
        momentum=float(rng.choice([0.0, 0.9])),
        random_state=int(rng.integers(2**31)),
    )


def source_filter_copy(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Drive the smoothed spectrum with pulses and noise, as source-filter vocoders and formant synthesisers do.

    Parameters
    ----------
    samples : ndarray of float32, shape (samples,)
        Real speech at ``SAMPLE_RATE``.
    rng : numpy.random.Generator
        Draws window, smoothness and a shift of pitch.

    Returns
    -------
    ndarray of float32, shape (samples,)
        The copy, aligned with its source.
    """
    import librosa

    fft_samples, hop_samples = 1024, 160
    options = {"n_fft": fft_samples, "hop_length": hop_samples, "win_length": int(rng.choice([400, 640]))}
    log_magnitude = np.log(np.abs(librosa.stft(samples, **options)) + 1e-5)
    # The low part of the real cepstrum is the vocal tract without the pitch.
    cepstrum = np.fft.irfft(log_magnitude, axis=0)
    kept = int(rng.integers(24, 50))
    cepstrum[kept:-kept] = 0.0
    envelope = np.exp(np.fft.rfft(cepstrum, axis=0).real)

    frames = envelope.shape[1]
    pitch = librosa.yin(samples, fmin=65, fmax=400, sr=SAMPLE_RATE, frame_length=1024, hop_length=hop_samples)[:frames]
    pitch = np.pad(pitch, (0, frames - len(pitch)), mode="edge") * 2 ** rng.uniform(-0.15, 0.15)
    flatness = librosa.feature.spectral_flatness(y=samples, n_fft=fft_samples, hop_length=hop_samples)[0, :frames]
    voiced = np.clip((0.1 - np.pad(flatness, (0, frames - len(flatness)), mode="edge")) / 0.1, 0.0, 1.0)

    at = np.arange(len(samples)) / hop_samples
    phase = np.cumsum(np.interp(at, np.arange(frames), pitch) / SAMPLE_RATE)
    pulses = np.zeros(len(samples))
    beats = np.flatnonzero(np.diff(np.floor(phase)) > 0)
    pulses[beats] = np.sqrt(SAMPLE_RATE / np.interp(at[beats], np.arange(frames), pitch))  # unit mean power
    share = np.interp(at, np.arange(frames), voiced) * rng.uniform(0.7, 1.0)
    excitation = pulses * np.sqrt(share) + rng.standard_normal(len(samples)) * np.sqrt(1.0 - share)

    spectrum = librosa.stft(excitation.astype(np.float32), **options)
    level = np.sqrt(np.mean(np.abs(spectrum) ** 2))
    copy = librosa.istft(spectrum / level * envelope, length=len(samples), **options)
    power = float(np.mean(copy**2))
    return (copy * np.sqrt(np.mean(samples**2) / max(power, 1e-12))).astype(np.float32)


RECIPES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "Griffin-Lim copy synthesis": mel_copy,
    "source-filter copy synthesis": source_filter_copy,
}
"""Generator names and the functions behind them."""


def make_copies(
    clips: Sequence[Clip],
    folder: Path,
    seed: Sequence[int],
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Clip]:
    """Write a copy of every real clip by every recipe; a copy that is there already is not made again.

    Parameters
    ----------
    clips : sequence of Clip
        Training clips; only Real ones are copied.
    folder : Path
        Where the FLAC files go.
    seed : sequence of int
        Seed of every choice, as numpy takes it.
    jobs : int
        Threads.
    progress : callable, optional
        Called with the number of copies done and wanted.

    Returns
    -------
    list of Clip
        Fake clips with the speaker and source of their originals.
    """
    from joblib import Parallel, delayed

    originals = [clip for clip in clips if clip.label == "Real"]
    wanted = [(number, clip, recipe) for number, clip in enumerate(originals) for recipe in RECIPES]

    def one(number: int, original: Clip, recipe: str) -> Clip | None:
        path = folder / f"{RECIPES[recipe].__name__.replace('_', '-')}-{number:05d}.flac"
        if not path.is_file():
            try:
                samples = read_audio(original.path)
            except AudioError:
                return None  # reported once, where features are extracted
            rng = np.random.default_rng([*seed, number, list(RECIPES).index(recipe)])
            write_flac(path, quantise(RECIPES[recipe](samples, rng)))
        return dataclasses.replace(
            original,
            name=f"{folder.name}/{path.name}",
            path=path,
            label="Fake",
            generator=recipe,
            copy_of=original.name,
        )

    copies = []
    results = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(delayed(one)(*row) for row in wanted)
    for done, copy in enumerate(results, start=1):
        copies += [copy] if copy else []
        if progress:
            progress(done, len(wanted))
    return copies
