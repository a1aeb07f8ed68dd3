"""The network: its order, its shapes, what its recurrence runs along, and that Keras alone can load it."""

import dataclasses
import inspect
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tiny
from commands import HERE

from deepfake_audio.model import network as network_module
from deepfake_audio.model.checkpoint import read_checkpoint
from deepfake_audio.model.network import build_network
from deepfake_audio.settings import CLASS_NAMES

SETTINGS = tiny.settings()


def build(some=SETTINGS):
    keras.utils.set_random_seed(3)
    return build_network(some.network, some.window, some.features)


@pytest.fixture(scope="module")
def network():
    return build()


def noise(some=SETTINGS, count=2):
    shape = (count, some.window.frames, some.features.mel_bands)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def recurrence_of(network):
    """Return a model that ends with the outputs of the SimpleRNN and of the LSTM."""
    return keras.Model(network.input, [network.get_layer("simple_rnn").output, network.get_layer("lstm").output])


def layer_kinds(network):
    return [type(getattr(layer, "forward_layer", layer)).__name__ for layer in network.layers]


def test_outputs_are_a_softmax_verdict_and_a_timeline_of_probabilities(network):
    answer = network.predict_on_batch(noise())
    assert set(answer) == {"verdict", "timeline", "boundaries"}
    assert answer["boundaries"].shape == (2, SETTINGS.window.label_frames, 1)
    assert answer["verdict"].shape == (2, len(CLASS_NAMES))
    assert answer["timeline"].shape == (2, SETTINGS.window.label_frames, 1)
    np.testing.assert_allclose(answer["verdict"].sum(axis=1), 1.0, atol=1e-6)
    assert (answer["timeline"] > 0).all() and (answer["timeline"] < 1).all()
    assert network.get_layer("verdict").activation is keras.activations.softmax


def test_order_is_convolutions_then_simple_rnn_then_lstm_then_softmax(network):
    kinds = layer_kinds(network)
    assert kinds.count("Conv2D") == len(SETTINGS.network.convolution_filters) + 1, "and the texture path"
    assert kinds.count("SimpleRNN") == kinds.count("LSTM") == 1
    last_convolution = len(kinds) - 1 - kinds[::-1].index("Conv2D")
    names = [layer.name for layer in network.layers]
    assert last_convolution < kinds.index("SimpleRNN") < kinds.index("LSTM") < names.index("verdict")


def test_the_lstm_reads_what_the_simple_rnn_wrote(network):
    middle = recurrence_of(network)
    x = noise()
    before = middle.predict_on_batch(x)
    weights = network.get_layer("simple_rnn").get_weights()
    try:
        network.get_layer("simple_rnn").set_weights([np.zeros_like(w) for w in weights])
        after = middle.predict_on_batch(x)
    finally:
        network.get_layer("simple_rnn").set_weights(weights)
    assert np.abs(before[1] - after[1]).max() > 1e-3
    assert np.abs(after[1] - after[1][:1]).max() < 1e-6, "nothing may pass the SimpleRNN by"


def test_batch_normalisation_and_dropout_are_there_and_follow_the_setting():
    dropout = 0.25
    changed = dataclasses.replace(SETTINGS, network=dataclasses.replace(SETTINGS.network, dropout=dropout))
    network = build(changed)
    kinds = layer_kinds(network)
    assert kinds.count("BatchNormalization") >= len(SETTINGS.network.convolution_filters)
    rates = [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    assert dropout in rates
    x = noise()
    first, second = (np.asarray(network(x, training=True)["verdict"]) for _ in range(2))
    assert np.abs(first - second).max() > 1e-6
    np.testing.assert_array_equal(network.predict_on_batch(x)["verdict"], network.predict_on_batch(x)["verdict"])


def test_recurrence_runs_along_time_one_step_per_few_frames(network):
    window = SETTINGS.window
    states = recurrence_of(network).predict_on_batch(noise())
    for values, units in zip(states, (SETTINGS.network.rnn_units, SETTINGS.network.lstm_units), strict=True):
        assert values.shape == (2, window.steps, units)


def test_one_changed_frame_reaches_steps_that_no_convolution_could():
    # Without the texture path, which is meant to see a second around each step.
    plain = dataclasses.replace(SETTINGS.network, texture_filters=0)
    middle = recurrence_of(build_network(plain, SETTINGS.window, SETTINGS.features))
    x = noise()
    changed = x.copy()
    changed[:, SETTINGS.window.frames // 2] += 5.0
    for before, after in zip(middle.predict_on_batch(x), middle.predict_on_batch(changed), strict=True):
        difference = np.abs(before - after).max(axis=(0, 2))
        assert difference[0] > 0 and difference[-1] > 0, "both directions carry it to the ends of the window"


def test_order_of_frames_matters(network):
    x = noise()
    forwards = network.predict_on_batch(x)["verdict"]
    shuffled = network.predict_on_batch(x[:, np.random.default_rng(1).permutation(x.shape[1])])["verdict"]
    assert np.abs(forwards - shuffled).max() > 1e-4


def test_time_is_not_frequency(network):
    # A click at one moment is answered by one step, a tone in one band by all of them alike.
    middle = recurrence_of(network)
    silence = np.zeros((1, SETTINGS.window.frames, SETTINGS.features.mel_bands), dtype=np.float32)
    tone = silence.copy()
    tone[:, :, 7] = 3.0
    change = np.abs(middle.predict_on_batch(tone)[0] - middle.predict_on_batch(silence)[0]).max(axis=(0, 2))
    assert change.min() > 0.2 * change.max() > 0


@pytest.mark.parametrize(("frames", "frames_per_step", "labels_per_step", "mel_bands"), [(64, 2, 1, 33), (20, 4, 4, 8)])
def test_other_windows_and_bands_build(frames, frames_per_step, labels_per_step, mel_bands):
    some = dataclasses.replace(
        SETTINGS,
        features=dataclasses.replace(SETTINGS.features, mel_bands=mel_bands),
        window=dataclasses.replace(
            SETTINGS.window, frames=frames, frames_per_step=frames_per_step, labels_per_step=labels_per_step
        ),
    )
    answer = build(some).predict_on_batch(noise(some))
    assert answer["timeline"].shape == (2, frames // frames_per_step * labels_per_step, 1)


def test_the_default_settings_build():
    from deepfake_audio.settings import Settings

    some = Settings()
    network = build(some)
    assert network.input_shape == (None, some.window.frames, some.features.mel_bands)
    assert network.output["timeline"].shape == (None, some.window.label_frames, 1)


def test_a_step_that_the_convolutions_cannot_reach_is_refused():
    window = dataclasses.replace(SETTINGS.window, frames=48, frames_per_step=12, labels_per_step=2)
    with pytest.raises(ValueError, match="cannot shrink time by 12"):
        build_network(SETTINGS.network, window, SETTINGS.features)


def test_only_stock_layers_and_no_tensorflow_calls(network):
    assert all(type(layer).__module__.startswith("keras.") for layer in network.layers)
    assert "Lambda" not in layer_kinds(network)
    source = inspect.getsource(network_module)
    assert "tf." not in source and "import tensorflow" not in source


def test_keras_alone_loads_it_in_another_process(network, tmp_path):
    path, x = tmp_path / "network.keras", noise()
    network.save(path)
    np.save(tmp_path / "x.npy", x)
    code = (
        "import json, sys, keras, numpy\n"
        "assert not any(name.startswith('deepfake_audio') for name in sys.modules)\n"
        "model = keras.models.load_model(sys.argv[1], compile=False)\n"
        "answer = model.predict_on_batch(numpy.load(sys.argv[2]))\n"
        "print(json.dumps({name: value.tolist() for name, value in answer.items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "x.npy")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    for name, values in network.predict_on_batch(x).items():
        np.testing.assert_allclose(answer[name], values, atol=1e-5)


def test_the_bundled_weights_written_out_for_training_answer_as_before():
    bundled = read_checkpoint(HERE / "outputs" / "pretrained" / "model.keras")
    some = bundled.settings
    unrolled = build_network(some.network, some.window, some.features, unroll=True)
    unrolled.set_weights(bundled.network().get_weights())
    expected = bundled.network().predict_on_batch(noise(some))
    for name, values in unrolled.predict_on_batch(noise(some)).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-5, err_msg=name)
