"""Clips that several test files need."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import STARTER, TRAIN, cut_off, only, python

from deepfake_audio.settings import SAMPLE_RATE
from deepfake_audio.sound.reading import write_flac

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def starter() -> Path:
    """Folder of the corpus that comes with the project."""
    return ROOT / "data" / "starter"


def babble(seconds: float, pitch_hz: float, seed: int) -> np.ndarray:
    """Harmonics under an envelope of syllables, with pauses in between: as much like speech as the splicer needs."""
    at = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    voice = sum(np.sin(2 * np.pi * pitch_hz * k * at) / k for k in range(1, 8))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * at + seed), 0.0, None)
    hiss = np.random.default_rng(seed).normal(0.0, 0.001, len(at))
    return (0.2 * voice * syllables + hiss).astype(np.float32)


def write_tones(folder: Path) -> Path:
    """Write five voices and five generators of four clips each, 1.5 to 2.1 s long."""
    for number in range(20):
        seconds, voice = 1.5 + 0.2 * (number % 4), number // 4
        write_flac(folder / "real" / f"voice{voice}" / f"{number}.flac", babble(seconds, 110 + 20 * voice, number))
        write_flac(
            folder / "fake" / f"engine{voice}" / f"{number}.flac", babble(seconds, 210 + 20 * voice, 50 + number)
        )
    return folder


@pytest.fixture
def tone_corpus(tmp_path) -> Path:
    """Folder with what :func:`write_tones` writes."""
    return write_tones(tmp_path / "tones")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> tuple[Path, Path]:
    """Train a tiny network where there is no network, if that is possible; return the corpus and the run.

    One of the clips is broken, and one belongs to no class.
    """
    home = tmp_path_factory.mktemp("tiny")
    tones = write_tones(home / "tones")
    (tones / "real" / "voice0" / "0.flac").write_bytes(b"not a sound")
    (tones / "unlabelled").mkdir()
    shutil.copyfile(tones / "real" / "voice1" / "4.flac", tones / "unlabelled" / "who knows.flac")
    before = {path: path.read_bytes() for path in tones.rglob("*") if path.is_file()}
    small = ROOT / "tests" / "tiny_training.py"
    done = python(small, "--data", tones, "--outputs", home / "outputs", "--epochs", 1, before=cut_off())
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in tones.rglob("*") if path.is_file()} == before
    return tones, only(home / "outputs", "run-*")


@pytest.fixture
def forget_graphs(request):
    """Give back what TensorFlow keeps of a training, a hundred megabytes or two, where a test has a corpus for one."""
    yield
    if "corpus" in request.fixturenames:
        from deepfake_audio.model.backend import keras

        keras.backend.clear_session()
        gc.collect()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Train three epochs on all starter clips."""
    outputs = tmp_path_factory.mktemp("outputs")
    done = python(TRAIN, "--data", STARTER, "--outputs", outputs, "--epochs", 3)
    assert done.returncode == 0, done.stderr
    return only(outputs, "run-*"), done
