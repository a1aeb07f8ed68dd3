"""Checkpoints that attack whoever loads them are refused with the reason, before anything in them runs."""

import io
import json
import zipfile
from pathlib import Path

import h5py
import pytest
import tiny

from deepfake_audio import trust
from deepfake_audio.checkpoint import read_checkpoint
from deepfake_audio.errors import CheckpointError

NETWORK, WEIGHTS = trust.NETWORK_MEMBER, trust.WEIGHTS_MEMBER
SHIPPED = Path(__file__).resolve().parents[1] / "outputs" / "pretrained" / "model.keras"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return tiny.save_untrained(tmp_path_factory.mktemp("good") / "model.keras", tiny.settings()).path


@pytest.fixture
def rebuilt(good, tmp_path):
    """Return a function that writes the good checkpoint with members changed by functions, and others added."""

    def write(changes=(), added=()):
        path = tmp_path / "hostile.keras"
        with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                content = source.read(name)
                target.writestr(name, dict(changes)[name](content) if name in dict(changes) else content)
            for name, content in added:
                target.writestr(name, content)
        return path

    return write


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path).network()
    return str(caught.value)


def with_layer(**layer):
    """Return what puts a layer in front of all others."""

    def change(content):
        network = json.loads(content)
        network["config"]["layers"].insert(0, {"name": "evil", "inbound_nodes": [], **layer})
        return json.dumps(network)

    return {NETWORK: change}


def with_weights(write):
    """Return what hands the weights, open as HDF5, to a function."""

    def change(content):
        data = io.BytesIO(content)
        with h5py.File(data, "r+") as file:
            write(file)
        return data.getvalue()

    return {WEIGHTS: change}


def test_what_this_project_wrote_is_let_through(good):
    assert read_checkpoint(good).network() is not None
    for path in (good, SHIPPED):
        with zipfile.ZipFile(path) as archive:
            assert not trust.suspicious_members(archive)
            assert not trust.suspicious_network(archive) and not trust.suspicious_weights(archive)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ({"class_name": "Lambda", "module": "keras.layers", "config": {}}, "keras.layers.Lambda"),
        ({"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": "x"}}, "TFSMLayer"),
        ({"class_name": "TorchModuleWrapper", "module": "keras.layers", "config": {}}, "TorchModuleWrapper"),
        ({"class_name": "Evil", "module": "evil", "registered_name": "Custom>Evil"}, "evil.Evil"),
        ({"class_name": "function", "module": "builtins", "config": "eval"}, "builtins.function"),
        ({"class_name": "Dense", "module": "evil.layers", "config": {}}, "evil.layers.Dense"),
        ({"class_name": "Dense", "module": "keras.layers", "registered_name": "Custom>Dense"}, "not part of Keras"),
        ({"class_name": "Dense", "module": "keras.layers", "config": {"units": 10**9}}, "units of 1000000000"),
        ({"class_name": "Conv2D", "module": "keras.layers", "config": {"kernel_size": [9999, 1]}}, "kernel_size"),
        (
            {"class_name": "Bidirectional", "module": "keras.layers", "config": {"layer": {"class_name": "Lambda"}}},
            "Lambda",
        ),
    ],
)
def test_a_network_that_brings_its_own_code_does_not_run(rebuilt, monkeypatch, tmp_path, layer, reason):
    (tmp_path / "evil.py").write_text("from pathlib import Path\nPath('ran').touch()\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    told = refusal(rebuilt(with_layer(**layer)))
    assert "is refused" in told and reason in told
    assert not (tmp_path / "ran").exists()


def test_a_lambda_saved_by_keras_does_not_run(good, tmp_path):
    import keras

    inputs = keras.Input((3,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs)).save(tmp_path / "lambda.keras")
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(tmp_path / "lambda.keras", "a") as target:
        for name in set(source.namelist()) - set(target.namelist()):
            target.writestr(name, source.read(name))
    assert "keras.layers.Lambda" in refusal(tmp_path / "lambda.keras")


@pytest.mark.parametrize("name", ["../../evil.py", "/etc/evil", "C:\\evil", "assets/../../evil", ".hidden", "a\nb"])
def test_members_that_lead_out_are_refused(rebuilt, tmp_path, name):
    assert "leads out of the file" in refusal(rebuilt(added=[(name, "x")]))
    assert [path.name for path in tmp_path.iterdir()] == ["hostile.keras"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(rebuilt):
    assert "two members" in refusal(rebuilt(added=[(NETWORK, "{}")]))


def test_archives_that_swell_are_refused(rebuilt):
    path = rebuilt(added=[("zeros.bin", bytes(trust.MOST_BYTES))])
    assert path.stat().st_size < 2**20 and "unpacks to" in refusal(path)
    assert "unpacks to" in refusal(rebuilt(added=[(f"{number}.txt", "") for number in range(40)]))


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda file: file.create_dataset("big", (2**20, 2**10), "f4", chunks=True), "take more than"),
        (lambda file: file.__setitem__("link", h5py.ExternalLink("/etc/passwd", "/")), "point somewhere else"),
        (lambda file: file.__setitem__("link", h5py.SoftLink("/layers")), "point somewhere else"),
        (
            lambda file: file.create_dataset("raw", (8,), "u1", external=[("/etc/passwd", 0, 8)]),
            "are not in the file",
        ),
        (lambda file: file.create_dataset("text", data="x", dtype=h5py.string_dtype()), "are not in the file"),
    ],
)
def test_weights_that_are_none_are_refused(rebuilt, write, reason):
    assert reason in refusal(rebuilt(with_weights(write)))


def test_weights_that_hold_themselves_are_refused(rebuilt):
    def knot(file):
        file["layers/knot"] = file["layers"]

    assert "cannot be loaded by Keras" in refusal(rebuilt(with_weights(knot)))
