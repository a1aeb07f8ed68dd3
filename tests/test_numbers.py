"""Sounds and corpora at the edge of what numbers hold: nothing becomes NaN, and a training that does ends by itself."""

import csv
import dataclasses
import itertools
import json

import keras
import numpy as np
import pytest
import soundfile
import tiny

from deepfake_audio.errors import CheckpointError, RunError
from deepfake_audio.evaluation.metrics import evaluate
from deepfake_audio.evaluation.scores import score_examples
from deepfake_audio.features.log_mel import LogMelStream, log_mel
from deepfake_audio.features.windows import normalise_window
from deepfake_audio.judging.decision import decide
from deepfake_audio.judging.detector import Detector
from deepfake_audio.model.checkpoint import read_checkpoint
from deepfake_audio.settings import SAMPLE_RATE, Settings
from deepfake_audio.training import fit
from deepfake_audio.training.calibrate import fit_decision, scan_examples

SETTINGS = tiny.settings(epochs=4)
TIMES = np.arange(2 * SAMPLE_RATE)
SOUNDS = {
    "silence": np.zeros(len(TIMES)),
    "direct current": np.full(len(TIMES), 0.999),
    "square wave": np.where(TIMES // 40 % 2, 32767, -32768) / 32768,
    "denormals": 1e-42 * np.sin(TIMES),
    "one step": np.where(TIMES % 2, 1, 0) / 32768,
    "click": np.where(TIMES == 9000, -1.0, 0.0),
    "loudest tone": np.clip(5 * np.sin(TIMES), -1, 1),
    "three samples": np.full(3, 0.5),
    "far beyond full scale": 9e5 * np.sin(TIMES),
}


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return Detector(tiny.save_untrained(tmp_path_factory.mktemp("model") / "model.keras", SETTINGS))


@pytest.mark.parametrize("name", list(SOUNDS))
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_features_and_answers_are_numbers(detector, tmp_path, name):
    samples = SOUNDS[name].astype(np.float32)
    for settings in (Settings().features, SETTINGS.features):
        spectrogram = log_mel(np.clip(samples, -1, 1), settings)
        stream = LogMelStream(settings)
        pieces = np.concatenate([stream.push(np.clip(samples, -1, 1)), stream.finish()])
        for frames in (spectrogram, pieces, normalise_window(spectrogram, settings)):
            assert np.isfinite(frames).all()
    soundfile.write(tmp_path / "sound.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    json.dumps(detector.judge(tmp_path / "sound.wav").to_dict(), allow_nan=False)
    soundfile.write(tmp_path / "sound.wav", samples, 48_000, subtype="FLOAT")  # is resampled
    judgement = detector.judge(tmp_path / "sound.wav")
    json.dumps(judgement.to_dict(), allow_nan=False)
    assert np.isfinite(judgement.frame_probabilities).all()


def read_log(path):
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("corpus"), SETTINGS, per_class=4)


@pytest.mark.usefixtures("forget_graphs")
@pytest.mark.parametrize(
    "kept",
    [
        lambda example: example.label == "Real",
        lambda example: example.label == "Fake" or example.name.endswith(("hybrid-0.flac", "real-0.flac")),
    ],
)
def test_one_class_and_a_class_of_one_clip(corpus, tmp_path, kept):
    *sets, store = corpus
    train, validation = ([example for example in split if kept(example)] for split in sets)
    settings = dataclasses.replace(SETTINGS, training=dataclasses.replace(SETTINGS.training, epochs=1, batch_size=2))
    fitted = fit.fit(train, validation, store, settings, tmp_path, verbose=0)
    assert all(np.isfinite(value) for row in read_log(fitted.log) for value in row.values())
    network = keras.models.load_model(fitted.best, compile=False)
    scans = list(scan_examples(validation, store, settings, network.predict_on_batch))
    decision = fit_decision(scans, settings)
    assert all(np.isfinite(value).all() for value in dataclasses.asdict(decision).values())
    decided = dataclasses.replace(settings, decision=decision)
    assert all(np.isfinite(decide(scan, decided).confidence) for _, scan in scans)
    json.dumps(evaluate(score_examples(scans, decided), resamples=50), allow_nan=False)


@pytest.fixture
def spoilt_from(monkeypatch):
    """Return a function that makes the last batch of an epoch, counted from zero, hold what is not a number."""
    real = fit.TrainingWindows.__getitem__

    def arrange(epoch):
        ends = itertools.count()

        def draw(self, index):
            windows, *rest = real(self, index)
            if index == len(self) - 1 and next(ends) == epoch:
                windows = np.full_like(windows, np.nan)
            return windows, *rest

        monkeypatch.setattr(fit.TrainingWindows, "__getitem__", draw)

    return arrange


@pytest.mark.usefixtures("forget_graphs")
def test_a_training_that_diverges_keeps_the_last_good_network(corpus, tmp_path, spoilt_from, capsys):
    train, validation, store = corpus
    spoilt_from(1)
    fitted = fit.fit(train, validation, store, SETTINGS, tmp_path, verbose=0)
    assert "not a number any more in epoch 2" in capsys.readouterr().err
    assert fitted.epochs == 1 == len(read_log(fitted.log))
    for name in (fit.BEST_NAME, fit.LAST_NAME):
        network = keras.models.load_model(tmp_path / name, compile=False)
        assert all(np.isfinite(weights).all() for weights in network.get_weights())
    examples = {"train": train, "validation": validation}
    checkpoint = fit.finish(fitted, examples, store, SETTINGS, tmp_path / "model.keras", "manifest")
    assert checkpoint.network() is not None


@pytest.mark.usefixtures("forget_graphs")
def test_a_training_that_never_was_a_number_says_so(corpus, tmp_path, spoilt_from):
    spoilt_from(0)
    with pytest.raises(RunError, match="loss was not a number from the first epoch on"):
        fit.fit(*corpus, SETTINGS, tmp_path, verbose=0)
    assert not (tmp_path / fit.LAST_NAME).exists()


def test_weights_that_are_not_numbers_are_refused(tmp_path, monkeypatch):
    import deepfake_audio.model.network as module

    real = module.build_network

    def spoilt(*arguments, **options):
        network = real(*arguments, **options)
        network.set_weights([weights * np.nan for weights in network.get_weights()])
        return network

    monkeypatch.setattr(module, "build_network", spoilt)
    made = tiny.save_untrained(tmp_path / "model.keras", tiny.settings(seed=13))  # that nobody else has built before
    with pytest.raises(CheckpointError, match="not numbers"):
        read_checkpoint(made.path).network()
