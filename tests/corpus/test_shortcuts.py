"""Does the audit find the shortcut that was planted, and only that one?"""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from deepfake_audio.corpus.clips import Clip
from deepfake_audio.corpus.shortcuts import SUSPICIOUS_AUC, file_format, measure, shortcuts, suspicions
from deepfake_audio.corpus.split import Splits
from deepfake_audio.settings import SAMPLE_RATE


def noise(rng: np.random.Generator, seconds: float = 1.0) -> np.ndarray:
    return (rng.standard_normal(round(seconds * SAMPLE_RATE)) * rng.uniform(0.05, 0.1)).astype(np.float32)


def planted(folder: Path, change, suffix: str = ".wav", **options) -> Splits:
    """Two sets of noise clips, the fakes changed by `change`."""
    rng = np.random.default_rng(0)
    sets = {"train": [], "validation": [], "test": []}
    for split in ("train", "test"):
        for number in range(24):
            label = ("Real", "Fake")[number % 2]
            samples = noise(rng, rng.uniform(0.8, 1.2))
            fake = label == "Fake"
            path = folder / f"{split}-{number}{suffix if fake else '.wav'}"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, change(samples) if fake else samples, SAMPLE_RATE, **(options if fake else {}))
            sets[split].append(Clip(path.name, path, label))
    return Splits(sets, {}, [], [])


def same(samples):
    return samples


@pytest.mark.parametrize(
    ("shortcut", "change"),
    [
        ("level", lambda samples: samples * 0.1),
        ("silence", lambda samples: np.concatenate([np.zeros(4000, np.float32), samples[4000:]])),
        ("length", lambda samples: samples[: len(samples) // 2]),
        ("bandwidth", lambda samples: np.convolve(samples, np.ones(8) / 8, "same") * 2.5),
    ],
)
def test_a_planted_short_cut_is_found(tmp_path, shortcut, change):
    areas = shortcuts(planted(tmp_path / "clips", change))
    assert areas[shortcut] > 0.9
    assert any(sentence.startswith(shortcut) for sentence in suspicions(areas))


def test_classes_that_differ_in_format_are_found(tmp_path):
    areas = shortcuts(planted(tmp_path / "clips", same, suffix=".flac"))
    assert areas["format"] == 1.0
    assert max(area for name, area in areas.items() if name != "format") < 0.8


def test_alike_classes_are_at_chance(tmp_path):
    areas = shortcuts(planted(tmp_path / "clips", same))
    assert areas["format"] == 0.5
    assert np.mean(list(areas.values())) < SUSPICIOUS_AUC
    assert suspicions({"level": 0.5, "length": SUSPICIOUS_AUC}) == []


def test_broken_clips_and_missing_classes_are_survived(tmp_path):
    splits = planted(tmp_path / "clips", lambda samples: samples * 0.1)
    splits.sets["train"][0].path.write_bytes(b"not audio")
    assert shortcuts(splits, jobs=2)["level"] > 0.9
    splits.sets["test"] = [clip for clip in splits.sets["test"] if clip.label == "Real"]
    assert shortcuts(splits) == {}


def test_measures_have_their_units(tmp_path):
    second = np.zeros(2 * SAMPLE_RATE, np.float32)
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    second[8000 : 8000 + SAMPLE_RATE] = 0.5 * np.sin(2 * np.pi * 1000 * time)
    path = tmp_path / "tone.wav"
    soundfile.write(path, second, SAMPLE_RATE)
    found = measure(path)
    assert found["length"] == [2.0]
    assert found["level"] == pytest.approx([-12.0, -6.0], abs=0.1)
    assert found["silence"] == pytest.approx([0.5, 0.5, 0.5], abs=0.02)
    assert found["bandwidth"][0] == pytest.approx(1000, abs=100)
    assert file_format(path) == "WAV PCM_16, 16000 Hz, 1 channel(s)"
    assert file_format(tmp_path / "none.xyz") == ".xyz"


def test_a_single_sample_can_be_measured(tmp_path):
    soundfile.write(tmp_path / "one.wav", np.array([0.1], np.float32), SAMPLE_RATE)
    assert all(np.isfinite(values).all() for values in measure(tmp_path / "one.wav").values())
