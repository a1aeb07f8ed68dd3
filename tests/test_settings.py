"""Settings: what they derive, what they refuse, and their way through JSON."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from deepfake_audio.settings import (
    CLASS_NAMES,
    DecisionSettings,
    FeatureSettings,
    NetworkSettings,
    Settings,
    WindowSettings,
    from_dict,
    to_dict,
)

ROOT = Path(__file__).resolve().parents[1]

NUMBERS = [
    (part.name, field.name)
    for part in dataclasses.fields(Settings)
    for field in dataclasses.fields(part.default)
    if not isinstance(field.default, bool)
]


def test_the_order_of_the_classes_is_fixed():
    assert CLASS_NAMES == ("Real", "Fake", "Hybrid")


def test_derived_lengths():
    window = WindowSettings(frames=240, frames_per_step=8, labels_per_step=4)
    assert (window.steps, window.label_frames, window.frames_per_label) == (30, 120, 2)
    settings = Settings(features=FeatureSettings(hop_samples=320), window=window)
    assert settings.features.hop_seconds == 0.02
    assert settings.label_seconds == 0.04


def test_defaults_fit_together():
    settings = Settings()
    assert settings.window.label_frames * settings.window.frames_per_label == settings.window.frames
    assert settings.hybrid.longest_crossfade_seconds < settings.hybrid.shortest_span_seconds


@pytest.mark.parametrize(
    "bad", [{"highest_hz": 8001.0}, {"lowest_hz": -1.0}, {"lowest_hz": 4000.0, "highest_hz": 4000.0}]
)
def test_mel_bands_that_do_not_fit_the_rate_are_refused(bad):
    with pytest.raises(ValueError, match="16000 Hz"):
        FeatureSettings(**bad)


@pytest.mark.parametrize(
    "bad", [{"frames": 302}, {"labels_per_step": 3}, {"frames": 0}, {"frames_per_step": 0}, {"labels_per_step": 0}]
)
def test_windows_that_do_not_divide_are_refused(bad):
    with pytest.raises(ValueError, match=r"divide|1 or more"):
        WindowSettings(**bad)


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().training.epochs = 3


def test_settings_survive_json():
    settings = Settings(
        features=FeatureSettings(mel_bands=64, highest_hz=7600.0),
        network=NetworkSettings(convolution_filters=(4, 8)),
        decision=DecisionSettings(fake_threshold=0.7),
    )
    again = from_dict(Settings, json.loads(json.dumps(to_dict(settings))))
    assert again == settings
    assert again.network.convolution_filters == (4, 8)
    assert again != Settings()


def test_a_whole_number_may_stand_for_a_float():
    values = to_dict(DecisionSettings()) | {"least_speech_seconds": 2, "accusation_thresholds": [1, 1, 1]}
    found = from_dict(DecisionSettings, values)
    assert found.least_speech_seconds == 2.0 and isinstance(found.least_speech_seconds, float)
    assert found.accusation_thresholds == (1.0, 1.0, 1.0) and isinstance(found.accusation_thresholds[0], float)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"surprise": 1}, "surprise"),
        ({"fake_threshold": "warm"}, "fake_threshold must be float, not 'warm'"),
        ({"fake_threshold": True}, "fake_threshold must be float"),
        ({"verdict_weights": [1.0, 2.0]}, "verdict_weights must be 24 numbers, not 2"),
        ({"accusation_thresholds": [0.9, 0.8]}, "accusation_thresholds must be 3 numbers, not 2"),
        ({"accusation_thresholds": ["a"] * 3}, "accusation_thresholds must be a list of numbers"),
    ],
)
def test_wrong_fields_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        from_dict(DecisionSettings, to_dict(DecisionSettings()) | change)


def test_missing_and_misshapen_fields_are_named():
    values = to_dict(Settings())
    del values["training"]["seed"]
    with pytest.raises(ValueError, match="TrainingSettings has unknown or missing fields: seed"):
        from_dict(Settings, values)
    with pytest.raises(ValueError, match="NetworkSettings must be an object"):
        from_dict(Settings, to_dict(Settings()) | {"network": 3})
    with pytest.raises(ValueError, match="convolution_filters must be a list of whole numbers"):
        from_dict(NetworkSettings, to_dict(NetworkSettings()) | {"convolution_filters": [8, "16"]})
    with pytest.raises(ValueError, match=r"mel_bands must be int, not 80\.5"):
        from_dict(FeatureSettings, to_dict(FeatureSettings()) | {"mel_bands": 80.5})


@pytest.mark.parametrize(("part", "name"), NUMBERS)
def test_every_number_is_within_bounds(part, name):
    values = to_dict(Settings())
    number = values[part][name]
    assert from_dict(Settings, values) == Settings()
    for wrong in (math.nan, math.inf, -math.inf, -(10**5), 10**18, 1e300, 10**400):
        values[part][name] = (wrong,) if isinstance(number, tuple) else wrong
        with pytest.raises(ValueError, match=rf"{name} must be (between|int|a list of whole numbers)") as caught:
            from_dict(Settings, values)
        assert len(str(caught.value)) < 200


def test_nothing_heavy_is_imported_before_it_is_used():
    names = ["settings", "errors", "files", "console", "sound.reading", "features.log_mel", "corpus.split"]
    names += ["examples.splices", "examples.channels", "examples.features", "training.runs"]
    heavy = ["tensorflow", "keras", "matplotlib", "librosa", "sklearn", "pydub"]
    code = f"import sys, {', '.join('deepfake_audio.' + name for name in names)}\n"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
