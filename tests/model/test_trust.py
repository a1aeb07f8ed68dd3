"""Checkpoints that attack whoever loads them: nothing in them runs, and nothing grows beyond what the file has."""

import dataclasses
import io
import json
import tracemalloc
import zipfile

import h5py
import pytest
import tiny

from deepfake_audio.errors import CheckpointError
from deepfake_audio.model import trust
from deepfake_audio.model.checkpoint import FORMAT, WEIGHTS_MEMBER, read_checkpoint
from deepfake_audio.settings import MOST_UNITS


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return tiny.save_untrained(tmp_path_factory.mktemp("good") / "model.keras", tiny.settings()).path


@pytest.fixture
def rebuilt(good, tmp_path):
    """Return a function that writes the good checkpoint with members changed by functions, and others added."""

    def write(changes=(), added=(), packed=zipfile.ZIP_DEFLATED):
        path = tmp_path / "hostile.keras"
        with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w", packed) as target:
            for name in source.namelist():
                content = source.read(name)
                target.writestr(name, dict(changes)[name](content) if name in dict(changes) else content)
            for name, content in added:
                target.writestr(name, content)
        return path

    return write


def refusal(path):
    """Return why a file is refused, in one sentence and with no more memory than a small network takes."""
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as caught:
            read_checkpoint(path).network()
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()
    told = str(caught.value)
    assert len(told) < len(str(path)) + 400 and "\n" not in told
    return told


def with_weights(write):
    """Return what hands the weights, open as HDF5, to a function."""

    def change(content):
        data = io.BytesIO(content)
        with h5py.File(data, "r+") as file:
            write(file)
        return data.getvalue()

    return {WEIGHTS_MEMBER: change}


@pytest.mark.parametrize(
    "layer",
    [
        {"class_name": "Lambda", "module": "keras.layers", "config": {"function": "evil"}},
        {"class_name": "Evil", "module": "evil", "registered_name": "Custom>Evil"},
        {"class_name": "function", "module": "builtins", "config": "eval"},
        {"class_name": "Dense", "module": "keras.layers", "config": {"units": 10**9}},
    ],
)
def test_what_a_file_says_of_its_network_is_not_even_read(rebuilt, monkeypatch, tmp_path, layer):
    (tmp_path / "evil.py").write_text("from pathlib import Path\nPath('ran').touch()\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def change(content):
        network = json.loads(content)
        network["config"]["layers"].insert(0, {"name": "evil", "inbound_nodes": [], **layer})
        return json.dumps(network)

    outside = [("../../evil.py", "x"), ("/tmp/evil", "x")]
    assert read_checkpoint(rebuilt({"config.json": change}, outside)).network().count_params() < 10**6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.py", "hostile.keras"]


def test_archives_that_swell_are_refused(rebuilt, monkeypatch):
    monkeypatch.setattr(trust, "MOST_BYTES", 2**25)
    path = rebuilt(added=[("zeros.bin", bytes(2**26))])
    assert path.stat().st_size < 2**20 and "unpacks to" in refusal(path)
    assert "unpacks to" in refusal(rebuilt(added=[(f"{number}.txt", bytes(2**23)) for number in range(5)]))
    spaces = b" " * (trust.MOST_BYTES_OF[".json"] + 1)
    assert "unpacks to more than" in refusal(rebuilt({"deepfake_audio.json": lambda _: spaces}))
    assert "packed in a way that is not used here" in refusal(rebuilt(packed=zipfile.ZIP_LZMA))


def piece_larger_than_all(file):
    file.create_dataset("piece", (8,), "f4", maxshape=(None,), chunks=(900_000_000,), compression="gzip")


def left_out(file):
    late = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    late.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    h5py.h5d.create(file.id, b"late", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((2**20, 2**12)), late)


def two_ways_each(file):
    group = file.create_group("layers/a")
    for _ in range(40):
        child = group.create_group("a")
        group["b"] = child
        group = child
    left_out(file)


@pytest.mark.parametrize(
    "write",
    [
        lambda file: file.create_dataset("big", (2**20, 2**10), "f4", chunks=True),
        piece_larger_than_all,
        left_out,
        two_ways_each,
        lambda file: file.__setitem__("link", h5py.ExternalLink("/etc/passwd", "/")),
        lambda file: file.__setitem__("link", h5py.SoftLink("/layers")),
        lambda file: file.create_dataset("raw", (8,), "u1", external=[("/etc/passwd", 0, 8)]),
        lambda file: file.create_dataset("text", data="x", dtype=h5py.string_dtype()),
    ],
)
def test_weights_that_are_not_in_the_file_as_they_are_are_refused(rebuilt, write):
    assert "is refused because its weights" in refusal(rebuilt(with_weights(write)))


def test_a_network_as_large_as_is_let_through_has_room():
    units, bands = MOST_UNITS, 80
    recurrent = 2 * 4 * (units + units // 2) * units // 2 + 2 * (2 * units + units // 2) * units // 2
    weights = bands * units * units + 3 * 9 * units**2 + bands // 16 * units**2 + recurrent
    seen = 13 * 200_000
    assert 2 * 4 * weights + seen + 2 * trust.MOST_BYTES_OF[".json"] < trust.MOST_BYTES
    assert seen < trust.MOST_BYTES_OF[".txt"]


def test_nothing_that_a_file_says_makes_a_message_long(rebuilt):
    def shout(content):
        return json.dumps(json.loads(content) | {"classes": ["A" * 100_000], "format": FORMAT})

    assert "was trained for the classes" in refusal(rebuilt({"deepfake_audio.json": shout}))
    assert "damaged" in refusal(rebuilt({"deepfake_audio.json": lambda _: b"[" * 100_000}))


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
