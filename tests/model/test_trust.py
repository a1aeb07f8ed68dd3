"""Checkpoints that attack whoever loads them are refused with the reason, before anything in them runs."""

import dataclasses
import io
import json
import struct
import zipfile
from pathlib import Path

import h5py
import pytest
import tiny

from deepfake_audio.errors import CheckpointError
from deepfake_audio.model import trust
from deepfake_audio.model.checkpoint import FORMAT, read_checkpoint

NETWORK, WEIGHTS = trust.NETWORK_MEMBER, trust.WEIGHTS_MEMBER
BUNDLED = Path(__file__).resolve().parents[2] / "outputs" / "pretrained" / "model.keras"


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
    told = str(caught.value)
    assert len(told) < len(str(path)) + 400 and "\n" not in told
    return told


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


def test_what_this_project_wrote_is_let_through(good, tmp_path):
    assert read_checkpoint(good).network() is not None
    for path in (good, BUNDLED):
        with zipfile.ZipFile(path) as archive:
            assert not trust.suspicious_members(archive)
            assert not trust.suspicious_network(archive)
            assert not trust.suspicious_weights(archive.extract(WEIGHTS, tmp_path))
        assert not trust.suspicious_settings(read_checkpoint(path).settings)


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


def piece_larger_than_all(file):
    file.create_dataset("piece", (8,), "f4", maxshape=(None,), chunks=(900_000_000,), compression="gzip")


def many_parts(file):
    for number in range(trust.MOST_PARTS):
        file.create_group(f"part-{number}")


def knot(file):
    file["layers/knot"] = file["layers"]


def two_ways_each(file):
    group = file.create_group("layers/a")
    for _ in range(40):
        child = group.create_group("a")
        group["b"] = child
        group = child


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (piece_larger_than_all, "take more than"),
        (many_parts, "parts, more than any network here"),
        (knot, "are in it twice"),
        (two_ways_each, "are in it twice"),
    ],
)
def test_weights_that_cost_more_than_they_hold_are_refused(rebuilt, write, reason):
    assert reason in refusal(rebuilt(with_weights(write)))


def test_a_network_as_large_as_is_let_through_has_room():
    units, bands = trust.MOST_UNITS, 80
    recurrent = 2 * 4 * (units + units // 2) * units // 2 + 2 * (2 * units + units // 2) * units // 2
    weights = bands * units * units + 3 * 9 * units**2 + bands // 16 * units**2 + recurrent
    seen = 13 * 200_000
    assert 4 * weights + seen + 2 * trust.MOST_BYTES_OF[".json"] < trust.MOST_BYTES
    assert seen < trust.MOST_BYTES_OF[".txt"]


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_members_packed_in_another_way_are_refused(good, tmp_path, compression):
    path = tmp_path / "packed.keras"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w", compression) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert "packed in a way that is not used here" in refusal(path)


def test_encrypted_members_are_refused(good, tmp_path):
    content = bytearray(good.read_bytes())
    entry = content.index(b"PK\x01\x02")  # of the directory at the end
    content[entry + 8] |= 1
    path = tmp_path / "encrypted.keras"
    path.write_bytes(content)
    assert "is encrypted" in refusal(path)


def test_members_that_overlap_are_refused(good, tmp_path):
    """The directory says of every member that it is where the first one is."""
    content = bytearray(good.read_bytes())
    entry = content.index(b"PK\x01\x02")
    while content[entry : entry + 4] == b"PK\x01\x02":
        content[entry + 42 : entry + 46] = bytes(4)
        name, extra, comment = struct.unpack_from("<HHH", content, entry + 28)
        entry += 46 + name + extra + comment
    path = tmp_path / "overlapping.keras"
    path.write_bytes(content)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("name", [NETWORK, "deepfake_audio.json", "metadata.json", "seen.txt"])
def test_text_that_is_too_long_is_refused_before_it_is_read(rebuilt, name):
    spaces = b" " * (trust.MOST_BYTES_OF[Path(name).suffix] + 1)
    assert f"member {name} unpacks to more than" in refusal(rebuilt({name: lambda _: spaces}))


def test_nothing_that_a_file_says_makes_a_message_long(rebuilt):
    def shout(content):
        return json.dumps(json.loads(content) | {"classes": ["A" * 100_000], "format": FORMAT})

    assert "was trained for the classes" in refusal(rebuilt({"deepfake_audio.json": shout}))
    assert "none of the layers" in refusal(rebuilt(with_layer(class_name="A" * 100_000, module="keras")))
    nested = b"[" * 100_000
    assert "damaged" in refusal(rebuilt({"deepfake_audio.json": lambda _: nested}))
    assert "cannot be loaded by Keras" in refusal(rebuilt({NETWORK: lambda _: nested}))


@pytest.mark.parametrize(
    ("part", "changes", "reason"),
    [
        ("network", {"convolution_filters": (1,) * 2000}, "larger network"),
        ("window", {"frames": 4096, "frames_per_step": 1, "labels_per_step": 1}, "larger network"),
        ("features", {"mel_bands": 512}, "larger network"),
        ("features", {"hop_samples": 4096}, "timeline frames have"),
        ("features", {"sample_rate": 17_000}, "hears at 17000 Hz"),
    ],
)
def test_settings_that_are_too_much_together_are_refused(part, changes, reason):
    wide = dataclasses.replace(tiny.settings().network, convolution_filters=(512, 512))
    window = dataclasses.replace(tiny.settings().window, frames=1024, labels_per_step=1)
    some = dataclasses.replace(tiny.settings(), network=wide, window=window)
    assert not trust.suspicious_settings(some)
    some = dataclasses.replace(some, **{part: dataclasses.replace(getattr(some, part), **changes)})
    assert reason in trust.suspicious_settings(some)
