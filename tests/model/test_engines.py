"""Both engines give the same answers; an ONNX file that does not fit is noticed, said, and not used."""

import csv
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
import tiny
from commands import HERE, STARTER

from deepfake_audio.errors import CheckpointError, ExportError
from deepfake_audio.features.log_mel import log_mel, mel_filters
from deepfake_audio.features.speech import speech_seconds
from deepfake_audio.judging.decision import decide
from deepfake_audio.judging.detector import Detector
from deepfake_audio.judging.scanner import scan_features
from deepfake_audio.model import engines, export, trust
from deepfake_audio.model.checkpoint import read_checkpoint
from deepfake_audio.model.engines import KerasEngine, OnnxEngine, describe, load_engine, onnx_file, seal

SETTINGS = tiny.settings()
BUNDLED = HERE / "outputs" / "pretrained" / "model.keras"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Write a checkpoint and its twin."""
    checkpoint = tiny.save_untrained(tmp_path_factory.mktemp("engine") / "run" / "model.keras", SETTINGS)
    export.export_checkpoint(checkpoint)
    return checkpoint


@pytest.fixture
def pair(made, tmp_path):
    """Return copies of both that a test may damage."""
    shutil.copytree(made.path.parent, tmp_path / "run")
    return read_checkpoint(tmp_path / "run" / "model.keras")


def with_properties(pair, **changes):
    """Replace some of the twin's metadata and seal it again: nothing but that is wrong with it."""
    model = onnx.load_from_string(onnx_file(pair.path).read_bytes())
    del model.metadata_props[:]
    properties = describe(pair) | changes
    onnx.helper.set_model_props(model, {key: value for key, value in properties.items() if value is not None})
    onnx_file(pair.path).write_bytes(seal(model.SerializeToString()))


def changed(pair, change):
    """Change the twin itself and seal it again."""
    model = onnx.load_from_string(onnx_file(pair.path).read_bytes())
    change(model)
    onnx_file(pair.path).write_bytes(seal(model.SerializeToString()))


def test_answers_are_those_of_keras_whatever_the_batch(made):
    rng = np.random.default_rng(1)
    exported, keras = OnnxEngine(made), KerasEngine(made)
    for windows in (1, 2, 19):
        inputs = rng.normal(size=(windows, SETTINGS.window.frames, SETTINGS.features.mel_bands)).astype(np.float32)
        found, expected = exported.predict(inputs), keras.predict(inputs)
        assert set(found) == set(expected) == {"verdict", "timeline", "boundaries"}
        for name, values in expected.items():
            assert found[name].shape == values.shape
            np.testing.assert_allclose(found[name], values, atol=export.TOLERANCE)
            assert np.ptp(values) > 0.001


def test_the_twin_brings_the_filters_of_librosa(made):
    np.testing.assert_array_equal(OnnxEngine(made).mel_filters, mel_filters(SETTINGS.features))


@pytest.mark.skipif(not BUNDLED.is_file() or not STARTER.is_dir(), reason="no bundled checkpoint or starter clips")
def test_both_engines_say_the_same_of_starter_clips():
    with (STARTER / "clips.csv").open(encoding="utf-8", newline="") as file:
        paths = [STARTER / row["path"] for row in csv.DictReader(file)][::12]
    fast, slow = (Detector(BUNDLED, engine=name) for name in ("onnx", "keras"))
    assert (fast.engine.name, slow.engine.name) == ("onnx", "keras"), "the bundled ONNX file is not the checkpoint's"
    for path in paths:
        one, other = fast.judge(path), slow.judge(path)
        assert one.verdict == other.verdict
        np.testing.assert_allclose(list(one.probabilities.values()), list(other.probabilities.values()), atol=1e-4)
        np.testing.assert_allclose(one.frame_probabilities, other.frame_probabilities, atol=1e-4)


def test_a_verdict_imports_nothing_that_it_does_not_need(made, tmp_path):
    path = tiny.examples(tmp_path, per_class=1)[0].path
    code = (
        "import sys\n"
        "from deepfake_audio import Detector\n"
        f"detector = Detector({str(made.path)!r})\n"
        f"assert detector.judge({str(path)!r}).verdict\n"
        "heavy = 'tensorflow keras onnx librosa numba scipy sklearn joblib matplotlib pydub'.split()\n"
        "loaded = sorted(set(heavy) & set(sys.modules))\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize("cores", [None, 1, 64])
def test_the_number_of_cores_does_not_matter(made, monkeypatch, cores):
    samples = tiny.voice("Hybrid", 60.0, np.random.default_rng(0))
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    detector = Detector(made)
    spectrogram = log_mel(samples, SETTINGS.features)
    seconds = len(samples) / SETTINGS.features.sample_rate
    speech = speech_seconds(samples, SETTINGS.features.sample_rate)
    expected = decide(scan_features(spectrogram, SETTINGS, detector.engine.predict, seconds, speech), SETTINGS)
    assert detector.judge(samples).to_dict() == expected.to_dict()


# What is refused


def assert_refused(pair, capsys, reason):
    """Check that the twin is not used, for this reason, and that Keras then judges."""
    with pytest.raises(ExportError, match=reason):
        OnnxEngine(pair)
    loaded = load_engine(pair)
    said = capsys.readouterr()
    assert loaded.name == "keras"
    assert said.out == "" and said.err.startswith("notice: ") and said.err.count("\n") == 1
    assert re.search(reason, said.err)


def test_a_missing_file(pair, capsys):
    onnx_file(pair.path).unlink()
    assert_refused(pair, capsys, "cannot be read")


@pytest.mark.parametrize("damage", ["empty", "text", "half", "last byte", "one bit", "appended"])
def test_a_damaged_file(pair, capsys, damage):
    path = onnx_file(pair.path)
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    path.write_bytes(
        {
            "empty": b"",
            "text": b"no network",
            "half": content[: len(content) // 2],
            "last byte": content[:-1],
            "one bit": bytes(flipped),
            "appended": content + b"\0",
        }[damage]
    )
    assert_refused(pair, capsys, "is damaged or cut short")


def test_a_file_that_is_whole_but_no_network(pair, capsys):
    onnx_file(pair.path).write_bytes(seal(b"no network"))
    assert_refused(pair, capsys, "is no ONNX file")


def test_a_network_that_does_not_fit_together(pair, capsys):
    changed(pair, lambda model: model.graph.node[0].input.__setitem__(0, "nowhere"))
    assert_refused(pair, capsys, "cannot be run by onnxruntime")


def loop(model):
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", ["", ""], ["x"], body=body))


def branch_in_a_node_that_has_none(model):
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("g", onnx.helper.make_graph([], "g", [], [])))


def operator_of_a_library(model):
    model.graph.node.append(onnx.helper.make_node("Relu", ["input"], ["x"], domain="evil"))


def function(model):
    opset = onnx.helper.make_opsetid("", 17)
    model.functions.append(onnx.helper.make_function("", "Relu", ["x"], ["y"], [], [opset]))


def weights_in_another_file(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def a_thousand_nodes(model):
    nodes = [onnx.helper.make_node("Concat", [f"x{n}", f"x{n}"], [f"x{n + 1}"], axis=0) for n in range(1000)]
    model.graph.node.extend(nodes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (loop, "it wants to run Loop"),
        (branch_in_a_node_that_has_none, "holds more than numbers and names"),
        (operator_of_a_library, "it wants to run evil.Relu"),
        (function, "functions of its own"),
        (weights_in_another_file, "its weights are not in the file"),
        (a_thousand_nodes, "nodes, more than any network here"),
    ],
)
def test_a_file_that_attacks_is_refused_before_onnxruntime_sees_it(pair, monkeypatch, capsys, change, reason):
    changed(pair, change)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert_refused(pair, capsys, f"is refused because .*{reason}")


def answers_that_are_not_numbers(model):
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, "<f4").tobytes()


def one_answer_less(model):
    del model.graph.output[-1]


def answers_of_another_shape(model):
    node = next(node for node in model.graph.node if node.output[0] == "timeline")
    node.input[0] = next(node.input[0] for node in model.graph.node if node.output[0] == "verdict")
    del model.graph.output[1].type.tensor_type.shape.dim[:]


def whole_numbers(model):
    outputs = {output.name: output for output in model.graph.output}
    for node in list(model.graph.node):
        if node.output[0] in outputs:
            shape = {"verdict": (1, 3)}.get(node.output[0], (1, SETTINGS.window.label_frames, 1))
            values = onnx.numpy_helper.from_array(np.ones(shape, np.int64), f"whole-{node.output[0]}")
            model.graph.initializer.append(values)
            node.input[0] = values.name
            outputs[node.output[0]].type.tensor_type.elem_type = onnx.TensorProto.INT64


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (answers_that_are_not_numbers, "its answers are not numbers"),
        (one_answer_less, "its answers have the shapes"),
        (answers_of_another_shape, "its answers have the shapes"),
        (whole_numbers, "its answers are not numbers"),
    ],
)
def test_a_forged_twin_whose_answers_cannot_be_used(pair, capsys, change, reason):
    changed(pair, change)
    assert_refused(pair, capsys, f"cannot be used because {reason}")


def test_a_twin_that_fails_later_is_one_sentence(pair):
    changed(pair, whole_numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OnnxEngine, "predict", lambda *_: {})
        twin = OnnxEngine(pair)
    windows = np.zeros((2, SETTINGS.window.frames, SETTINGS.features.mel_bands), np.float32)
    with pytest.raises(ExportError, match="cannot be used because its answers have the shapes"):
        twin.predict(windows)
    with pytest.raises(ExportError, match="cannot be run by onnxruntime"):
        twin.predict(windows[:, :1])


def test_weights_that_overflow_are_one_sentence(made):
    slow = KerasEngine(made)
    slow.network.set_weights([np.full_like(weights, 3e38) for weights in slow.network.get_weights()])
    with pytest.raises(CheckpointError, match="its answers are not numbers; use another checkpoint"):
        slow.predict(np.ones((2, SETTINGS.window.frames, SETTINGS.features.mel_bands), np.float32))


def test_a_file_that_is_too_large_is_refused(pair, capsys, monkeypatch):
    monkeypatch.setattr(engines, "MOST_BYTES", onnx_file(pair.path).stat().st_size - 1)
    assert_refused(pair, capsys, "MiB, more than any network here")


@pytest.mark.parametrize("field", [b"\x3a\x00", b"\x10\x00", b"\x72\x00"], ids=["graphs", "numbers", "metadata"])
def test_millions_of_empty_fields_are_not_read(pair, capsys, field):
    onnx_file(pair.path).write_bytes(seal(field * 2**22))
    started = time.process_time()
    with pytest.raises(ExportError, match="is no ONNX file"):
        OnnxEngine(pair)
    assert time.process_time() - started < 1.0


def test_two_graphs_are_refused(made):
    content = onnx_file(made.path).read_bytes()
    assert not trust.suspicious_graph(content)
    assert "functions of its own" in trust.suspicious_graph(content + b"\x3a\x00")


def test_no_damage_is_more_than_a_wrong_file(made):
    content, rng = onnx_file(made.path).read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(content[: rng.integers(1, 4000)])
        for place in rng.integers(len(damaged), size=8):
            damaged[place] = rng.integers(256)
        try:
            trust.onnx_metadata(damaged)
            trust.suspicious_graph(damaged)
        except ValueError:  # the one complaint that is expected
            refused += 1
    assert 250 < refused <= 500


def test_the_twin_of_another_checkpoint(made, tmp_path, capsys):
    other = tiny.save_untrained(tmp_path / "other" / "model.keras", tiny.settings(seed=6))
    shutil.copyfile(onnx_file(made.path), onnx_file(other.path))
    assert_refused(other, capsys, "belongs to another checkpoint")


def test_other_settings_and_missing_filters(pair, capsys):
    with_properties(pair)
    assert load_engine(pair).name == "onnx"  # whatever is refused below is not refused for being written anew
    with_properties(pair, settings="[]")
    assert_refused(pair, capsys, "was made with other settings")
    with_properties(pair, mel_filters=None)
    assert_refused(pair, capsys, "lacks its mel filters")
    with_properties(pair, mel_filters="AAAA")
    assert_refused(pair, capsys, "lacks its mel filters")


def test_keras_is_used_where_it_is_wanted_and_where_onnxruntime_is_missing(made, monkeypatch, capsys):
    assert load_engine(made, "keras").name == "keras"
    assert capsys.readouterr().err == ""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert_refused(made, capsys, "onnxruntime cannot be imported")
