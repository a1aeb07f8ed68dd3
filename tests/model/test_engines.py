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
from deepfake_audio.model import export, trust
from deepfake_audio.model.checkpoint import ONNX_MEMBER, copy_with, read_checkpoint
from deepfake_audio.model.engines import KerasEngine, OnnxEngine, load_engine
from deepfake_audio.sound.reading import quantise

SETTINGS = tiny.settings()
BUNDLED = HERE / "outputs" / "pretrained" / "model.keras"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Write a checkpoint with its ONNX network."""
    checkpoint = tiny.save_untrained(tmp_path_factory.mktemp("engine") / "model.keras", SETTINGS)
    export.export_checkpoint(checkpoint)
    return checkpoint


@pytest.fixture
def copied(made, tmp_path):
    """Return a copy that a test may damage."""
    shutil.copyfile(made.path, tmp_path / "model.keras")
    return read_checkpoint(tmp_path / "model.keras")


def replace(checkpoint, **members):
    """Write other members into the file; the names have underscores in place of dots."""
    whole = checkpoint.path.with_suffix(".whole")
    checkpoint.path.rename(whole)
    copy_with(whole, checkpoint.path, {name.replace("_", "."): content for name, content in members.items()})


def changed(checkpoint, change):
    """Change the ONNX network."""
    model = onnx.load_from_string(checkpoint.member(ONNX_MEMBER))
    change(model)
    replace(checkpoint, model_onnx=model.SerializeToString())


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


def test_the_checkpoint_brings_the_filters_of_librosa(made):
    for engine in (OnnxEngine(made), KerasEngine(made)):
        np.testing.assert_array_equal(engine.mel_filters, mel_filters(SETTINGS.features))


@pytest.mark.skipif(not BUNDLED.is_file() or not STARTER.is_dir(), reason="no bundled checkpoint or starter clips")
def test_both_engines_say_the_same_of_starter_clips():
    with (STARTER / "clips.csv").open(encoding="utf-8", newline="") as file:
        paths = [STARTER / row["path"] for row in csv.DictReader(file)][::12]
    fast, slow = (Detector(BUNDLED, engine=name) for name in ("onnx", "keras"))
    assert (fast.engine.name, slow.engine.name) == ("onnx", "keras"), "the bundled checkpoint has no ONNX network"
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
    samples = quantise(tiny.voice("Hybrid", 60.0, np.random.default_rng(0)))
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    detector = Detector(made)
    spectrogram = log_mel(samples, SETTINGS.features)
    seconds = len(samples) / SETTINGS.features.sample_rate
    speech = speech_seconds(samples, SETTINGS.features.sample_rate)
    expected = decide(scan_features(spectrogram, SETTINGS, detector.engine.predict, seconds, speech), SETTINGS)
    assert detector.judge(samples, 16_000).to_dict() == expected.to_dict()


# What is refused


def assert_refused(checkpoint, capsys, reason):
    """Check that the ONNX network is not used, for this reason, and that Keras then judges."""
    with pytest.raises(ExportError, match=reason):
        OnnxEngine(checkpoint)
    loaded = load_engine(checkpoint)
    said = capsys.readouterr()
    assert loaded.name == "keras"
    assert said.out == "" and said.err.startswith("notice: ") and said.err.count("\n") == 1
    assert re.search(reason, said.err)


def test_a_checkpoint_without_onnx(tmp_path, capsys):
    assert_refused(tiny.save_untrained(tmp_path / "model.keras", SETTINGS), capsys, "has no model.onnx")


@pytest.mark.parametrize("content", [b"no network", b"\xff" * 100, b"\x3a\xff\x01"])
def test_a_member_that_is_no_network(copied, capsys, content):
    replace(copied, model_onnx=content)
    assert_refused(copied, capsys, "is no ONNX file")


def test_a_network_that_does_not_fit_together(copied, capsys):
    changed(copied, lambda model: model.graph.node[0].input.__setitem__(0, "nowhere"))
    assert_refused(copied, capsys, "cannot be run by onnxruntime")


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


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (loop, "it wants to run Loop"),
        (branch_in_a_node_that_has_none, "holds more than numbers and names"),
        (operator_of_a_library, "it wants to run evil.Relu"),
        (function, "functions of its own"),
        (weights_in_another_file, "its weights are not in the file"),
    ],
)
def test_a_file_that_attacks_is_refused_before_onnxruntime_sees_it(copied, monkeypatch, capsys, change, reason):
    changed(copied, change)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert_refused(copied, capsys, f"is refused because .*{reason}")


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
def test_a_forged_network_whose_answers_cannot_be_used(copied, capsys, change, reason):
    changed(copied, change)
    assert_refused(copied, capsys, f"cannot be used because {reason}")


def test_a_network_that_fails_later_is_one_sentence(copied):
    changed(copied, whole_numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OnnxEngine, "predict", lambda *_: {})
        exported = OnnxEngine(copied)
    windows = np.zeros((2, SETTINGS.window.frames, SETTINGS.features.mel_bands), np.float32)
    with pytest.raises(ExportError, match="cannot be used because its answers have the shapes"):
        exported.predict(windows)
    with pytest.raises(ExportError, match="cannot be run by onnxruntime"):
        exported.predict(windows[:, :1])


def test_weights_that_overflow_are_one_sentence(made):
    slow = KerasEngine(made)
    slow.network.set_weights([np.full_like(weights, 3e38) for weights in slow.network.get_weights()])
    with pytest.raises(CheckpointError, match="its answers are not numbers; use another checkpoint"):
        slow.predict(np.ones((2, SETTINGS.window.frames, SETTINGS.features.mel_bands), np.float32))


@pytest.mark.parametrize("field", [b"\x3a\x00", b"\x10\x00", b"\x72\x00"], ids=["graphs", "numbers", "metadata"])
def test_millions_of_empty_fields_are_not_read(copied, capsys, field):
    replace(copied, model_onnx=field * 2**22)
    started = time.process_time()
    with pytest.raises(ExportError, match=r"is no ONNX file|is refused because"):
        OnnxEngine(copied)
    assert time.process_time() - started < 1.0


def test_two_graphs_are_refused(made):
    content = made.member(ONNX_MEMBER)
    assert not trust.suspicious_graph(content)
    assert "functions of its own" in trust.suspicious_graph(content + b"\x3a\x00")


def test_no_damage_is_more_than_a_wrong_file(made):
    content, rng = made.member(ONNX_MEMBER), np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(content[: rng.integers(1, 4000)])
        for place in rng.integers(len(damaged), size=8):
            damaged[place] = rng.integers(256)
        try:
            trust.suspicious_graph(damaged)
        except ValueError:  # the one complaint that is expected
            refused += 1
    assert 250 < refused <= 500


def test_keras_is_used_where_it_is_wanted_and_where_onnxruntime_is_missing(made, monkeypatch, capsys):
    assert load_engine(made, "keras").name == "keras"
    assert capsys.readouterr().err == ""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert_refused(made, capsys, "onnxruntime cannot be imported")
