"""The straightforward detector, which speed.py measures against: one process, one file, one window at a time.

    python tests/benchmarks/reference.py CHECKPOINT RECORDING ...

Prints the verdict and the seconds that each recording took.
"""

import argparse
import sys
import time
from pathlib import Path

import librosa
import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deepfake_audio.features.log_mel import SMALLEST_POWER
from deepfake_audio.features.speech import speech_seconds
from deepfake_audio.judging.decision import decide
from deepfake_audio.judging.scanner import scan_features
from deepfake_audio.model.checkpoint import read_checkpoint
from deepfake_audio.sound.reading import quantise


def log_mel(path, features):
    samples, rate = librosa.load(path, sr=features.sample_rate)
    samples = quantise(samples)
    power = librosa.feature.melspectrogram(
        y=samples, sr=rate, n_fft=features.fft_samples, hop_length=features.hop_samples, n_mels=features.mel_bands,
        fmin=features.lowest_hz, fmax=features.highest_hz, pad_mode="constant",
    )  # fmt: skip
    return samples, librosa.power_to_db(power, amin=SMALLEST_POWER, top_db=None).T.astype(np.float16)


def judge(network, path, settings):
    def one_by_one(windows):
        answers = [network.predict(window[np.newaxis], verbose=0) for window in windows]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    samples, spectrogram = log_mel(path, settings.features)
    rate = settings.features.sample_rate
    scan = scan_features(spectrogram, settings, one_by_one, len(samples) / rate, speech_seconds(samples, rate))
    return decide(scan, settings)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("recordings", nargs="+", metavar="recording")
    arguments = parser.parse_args()
    checkpoint = read_checkpoint(arguments.checkpoint)
    network = tf.keras.models.load_model(checkpoint.path, compile=False)
    for path in arguments.recordings:
        started = time.perf_counter()
        verdict = judge(network, path, checkpoint.settings).verdict
        print(f"{verdict}\t{time.perf_counter() - started}", flush=True)


if __name__ == "__main__":
    main()
