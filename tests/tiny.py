"""A network, a corpus and a checkpoint small enough to be trained within a test."""

import dataclasses
import functools
import tempfile
from pathlib import Path

import numpy as np

from deepfake_audio.examples.example import Example
from deepfake_audio.examples.features import extract_features
from deepfake_audio.settings import SAMPLE_RATE, Settings
from deepfake_audio.sound.reading import write_flac

REPLACE = dataclasses.replace


def settings(**training) -> Settings:
    """Return settings of a small network without dropout and augmentation; keywords change the training."""
    full = Settings()
    options = {
        "epochs": 4,
        "batch_size": 16,
        "windows_per_epoch": 64,
        "learning_rate": 0.01,
        "label_smoothing": 0.0,
        "patience_epochs": 50,
        "seed": 5,
    }
    chances = [field.name for field in dataclasses.fields(full.augment) if field.name.endswith("_chance")]
    return REPLACE(
        full,
        features=REPLACE(full.features, mel_bands=20),
        window=REPLACE(full.window, frames=48, frames_per_step=4, labels_per_step=2, minority_frames=3),
        network=REPLACE(
            full.network,
            convolution_filters=(6, 8),
            texture_filters=3,
            rnn_units=8,
            lstm_units=8,
            dropout=0.0,
            texture_dropout=0.0,
            path_dropout=0.0,
        ),
        augment=REPLACE(full.augment, **dict.fromkeys(chances, 0.0)),
        decision=REPLACE(full.decision, least_speech_seconds=0.3),
        training=REPLACE(full.training, **(options | training)),
    )


def with_noise(some: Settings) -> Settings:
    """Switch dropout and every augmentation on."""
    chances = [field.name for field in dataclasses.fields(some.augment) if field.name.endswith("_chance")]
    return REPLACE(
        some,
        network=REPLACE(some.network, dropout=0.3, texture_dropout=0.3, path_dropout=0.3),
        augment=REPLACE(some.augment, **dict.fromkeys(chances, 0.5)),
    )


def voice(label: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Make bursts of noise: low ones for Real, high ones for Fake, low ones and then high ones for Hybrid."""
    from scipy.signal import butter, sosfilt

    count = round(seconds * SAMPLE_RATE)
    noise = rng.standard_normal(count)
    low = sosfilt(butter(4, 1500, "lowpass", fs=SAMPLE_RATE, output="sos"), noise)
    high = sosfilt(butter(4, 4000, "highpass", fs=SAMPLE_RATE, output="sos"), noise)
    times = np.arange(count) / SAMPLE_RATE
    fake = {"Real": False, "Fake": True, "Hybrid": times >= seconds / 2}[label]
    envelope = 0.1 + np.sin(2 * np.pi * (4 * times + rng.random())) ** 2
    return (0.2 * np.where(fake, high, low) * envelope).astype(np.float32)


def examples(folder, per_class: int = 8, seconds: float = 1.0, seed: int = 1) -> list[Example]:
    """Write clips of all three classes into `folder`."""
    rng = np.random.default_rng(seed)
    made = []
    for label in ("Real", "Fake", "Hybrid"):
        for number in range(per_class):
            path = folder / f"{label.lower()}-{number}.flac"
            write_flac(path, voice(label, seconds, rng))
            spans = ((seconds / 2, seconds),) if label == "Hybrid" else ()
            made.append(Example(path.name, path, label, label.lower(), f"{label} {number % 2}", spans=spans))
    return made


def corpus(folder, some: Settings, **options):
    """Return a training set, a validation set and the features of both."""
    sets = [examples(folder / "train", **options), examples(folder / "validation", seed=2, **options)]
    sets = [[REPLACE(e, name=f"{split}/{e.name}") for e in members] for split, members in enumerate(sets)]
    return *sets, extract_features(sets[0] + sets[1], folder / "features", some.features)


@functools.cache
def born(network, window, features, seed: int) -> bytes:
    """Return a network with the weights that it is born with, as Keras saves it; built once, however many need it."""
    import keras

    from deepfake_audio.model.network import build_network

    keras.utils.set_random_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "untrained.keras"
        build_network(network, window, features).save(file)
        return file.read_bytes()


def save_untrained(path, some: Settings, seen=("a" * 64,)):
    """Write a checkpoint with the weights that a network is born with."""
    from deepfake_audio.model.checkpoint import save_checkpoint

    path.parent.mkdir(parents=True, exist_ok=True)
    network_file = path.with_name("untrained.keras")
    network_file.write_bytes(born(some.network, some.window, some.features, some.training.seed))
    made = save_checkpoint(path, network_file, some, "2026-01-02T03:04:05+00:00", "manifest", seen)
    network_file.unlink()
    return made
