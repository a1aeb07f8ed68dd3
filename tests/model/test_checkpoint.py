"""Checkpoints: what goes in comes out, and every wrong file is named in one sentence."""

import dataclasses
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tiny

from deepfake_audio import places
from deepfake_audio.corpus.clips import Clip
from deepfake_audio.errors import CheckpointError
from deepfake_audio.files import file_sha256
from deepfake_audio.judging.detector import Detector
from deepfake_audio.model import checkpoint as checkpoint_module
from deepfake_audio.model.checkpoint import (
    FILTERS_MEMBER,
    FORMAT,
    MEMBER,
    SEEN_MEMBER,
    Checkpoint,
    choose_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from deepfake_audio.settings import DecisionSettings, Settings, to_dict

SETTINGS = tiny.settings()
DECIDED = dataclasses.replace(
    SETTINGS,
    decision=DecisionSettings(accusation_thresholds=(0.9, 0.8, 0.7), assurance_threshold=0.31, fake_threshold=0.6),
)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return tiny.save_untrained(tmp_path_factory.mktemp("good") / "model.keras", DECIDED, ["ab" * 32, "cd" * 32])


@pytest.fixture
def changed(good, tmp_path):
    """Return a function that writes a copy of the good file with some members changed or left out."""

    def write(members=(), without=(), **about):
        path = tmp_path / "changed.keras"
        with zipfile.ZipFile(good.path) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                content = source.read(name)
                if name == MEMBER:
                    content = json.dumps(json.loads(content) | about)
                if name not in without:
                    target.writestr(name, dict(members).get(name, content))
        return path

    return write


def refusal(path, load=False):
    """Return the message with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        read = read_checkpoint(path)
        if load:
            read.network()
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and message.endswith((".", "python CNNRNNLSTM.py"))
    return message


def test_everything_comes_back(good):
    back = read_checkpoint(good.path)
    assert back == good
    assert back.settings == DECIDED
    assert (back.trained, back.seed, back.manifest) == ("2026-01-02T03:04:05+00:00", DECIDED.training.seed, "manifest")
    assert back.version == checkpoint_module.__version__
    assert set(back.packages) >= {"tensorflow", "keras", "librosa", "numpy"} and all(back.packages.values())
    assert back.seen() == {"ab" * 6, "cd" * 6}


def test_weights_come_back(good, tmp_path):
    import keras

    network = good.network()
    network.save(tmp_path / "again.keras")
    again = save_checkpoint(tmp_path / "model.keras", tmp_path / "again.keras", DECIDED, "now", "m", [])
    for one, other in zip(network.get_weights(), again.network().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.seen() == frozenset()
    assert keras.models.load_model(good.path, compile=False).count_params() == network.count_params()


@pytest.mark.parametrize(("frames", "mel_bands"), [(64, 20), (48, 31), (100, 12)])
def test_other_windows_and_bands_just_work(frames, mel_bands, tmp_path):
    some = dataclasses.replace(
        SETTINGS,
        features=dataclasses.replace(SETTINGS.features, mel_bands=mel_bands),
        window=dataclasses.replace(SETTINGS.window, frames=frames),
    )
    detector = Detector(tiny.save_untrained(tmp_path / "model.keras", some))
    judgement = detector.judge(tiny.voice("Hybrid", 1.3, np.random.default_rng(0)), 16_000)
    assert judgement.seconds == pytest.approx(1.3)
    assert sum(judgement.probabilities.values()) == pytest.approx(1.0, abs=1e-5)


def test_reading_loads_neither_tensorflow_nor_keras(good):
    code = (
        "import sys; from deepfake_audio.model.checkpoint import read_checkpoint\n"
        "print(read_checkpoint(sys.argv[1]).trained)\n"
        "print(sorted({'tensorflow', 'keras', 'librosa', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(good.path)],
        capture_output=True,
        text=True,
        cwd=Path(checkpoint_module.__file__).parents[2],
        env=os.environ | {"PYTHONPATH": ""},
        timeout=60,
    )
    assert done.stdout.splitlines() == [good.trained, "[]"], done.stderr


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    assert "no checkpoint" in refusal(tmp_path / "nothing.keras")
    assert "no checkpoint" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"just some text\n", b"PK\x03\x04 but no archive"])
def test_a_file_that_is_no_archive_is_named(content, tmp_path):
    path = tmp_path / "text.keras"
    path.write_bytes(content)
    assert "is no checkpoint or is damaged" in refusal(path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(good, share, tmp_path):
    path = tmp_path / "cut.keras"
    content = good.path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "damaged" in refusal(path)


def test_a_flipped_byte_is_noticed_or_harmless(good, tmp_path):
    content = good.path.read_bytes()
    path = tmp_path / "flipped.keras"
    rng = np.random.default_rng(0)
    refused = 0
    # Every part of the archive is hit: packed members, headers between them, the directory at the end.
    positions = [*rng.integers(len(content), size=150), *range(len(content) - 300, len(content))]
    for position in positions:
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            assert read_checkpoint(path).settings == DECIDED
        except CheckpointError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 0.3 * len(positions)


def test_a_flipped_byte_in_the_weights_is_named(good, tmp_path):
    with zipfile.ZipFile(good.path) as archive:
        weights = archive.getinfo("model.weights.h5")
    for offset in (weights.compress_size // 3, weights.compress_size // 2):
        content = bytearray(good.path.read_bytes())
        content[weights.header_offset + 60 + offset] ^= 0xFF
        path = tmp_path / "flipped.keras"
        path.write_bytes(content)
        assert "damaged" in refusal(path)


def test_a_plain_keras_file_is_named(good, tmp_path):
    path = tmp_path / "plain.keras"
    good.network().save(path)
    assert "no checkpoint of this project" in refusal(path)


@pytest.mark.parametrize(("name", "use"), [(SEEN_MEMBER, Checkpoint.seen), (FILTERS_MEMBER, Checkpoint.mel_filters)])
def test_a_member_that_is_missing_or_does_not_fit_is_named(changed, name, use):
    for path in (changed(without=[name]), changed({name: b"\xff\xfe"})):
        with pytest.raises(CheckpointError, match=r"; (copy it again|use another checkpoint)|, or use another"):
            use(read_checkpoint(path))


def test_another_format_asks_for_another_version(changed):
    message = refusal(changed(format=FORMAT + 1))
    assert str(FORMAT + 1) in message and "version" in message
    assert "format None" in refusal(changed(format=None))
    assert f"format 3 and this version reads format {FORMAT}" in refusal(changed(format=3))


def test_another_kind_of_file_is_named(changed):
    assert "not a checkpoint of this project" in refusal(changed(kind="something else"))
    assert "not a checkpoint of this project" in refusal(changed({MEMBER: "[1, 2]"}))
    assert "damaged" in refusal(changed({MEMBER: "{"}))
    assert "damaged" in refusal(changed({MEMBER: b"\xff\xfe\xff"}))


@pytest.mark.parametrize("classes", [["Fake", "Real", "Hybrid"], ["Real", "Fake"], [], None, 3])
def test_other_classes_are_refused(classes, changed):
    assert "classes" in refusal(changed(classes=classes))


def test_training_options_of_another_version_do_not_matter(changed):
    right = to_dict(DECIDED)
    other = {**right, "augment": {"vinyl_chance": 0.5}, "training": {"seed": 77}}
    read = read_checkpoint(changed(settings=other)).settings
    assert (read.features, read.window, read.decision) == (DECIDED.features, DECIDED.window, DECIDED.decision)
    assert read.training.seed == 77


def test_unknown_missing_and_wrong_settings_are_named(changed):
    right = to_dict(DECIDED)
    unknown = right | {"window": right["window"] | {"windiness": 3}}
    assert "windiness" in refusal(changed(settings=unknown))
    missing = right | {"features": {k: v for k, v in right["features"].items() if k != "mel_bands"}}
    assert "mel_bands" in refusal(changed(settings=missing))
    assert "'eighty'" in refusal(changed(settings=right | {"features": right["features"] | {"mel_bands": "eighty"}}))
    assert "settings" in refusal(changed(settings=right | {"window": right["window"] | {"frames_per_step": 0}}))
    assert "settings" in refusal(changed(settings=None))
    assert "settings" in refusal(changed(trained="now", packages=7))


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("window", {"overlap": float("nan")}),
        ("window", {"frames": 4_000_000}),
        ("features", {"hop_samples": 0}),
        ("features", {"fft_samples": 10**9}),
        ("decision", {"assurance_threshold": 0.7}),
        ("decision", {"shortest_segment_seconds": float("inf")}),
        ("network", {"texture_steps": 10**12}),
        ("network", {"convolution_filters": [1] * 2000}),
        ("hybrid", {"hybrids_per_clip": 1e12}),
        ("training", {"seed": -1}),
        ("features", {"hop_samples": "A" * 100_000}),
    ],
)
def test_settings_beyond_all_bounds_are_refused_in_one_short_sentence(part, changes, changed):
    right = to_dict(DECIDED)
    path = changed(settings=right | {part: right[part] | changes})
    assert len(refusal(path)) < len(str(path)) + 300


@pytest.mark.parametrize(
    ("part", "changes"),
    [("features", {"mel_bands": 21}), ("window", {"labels_per_step": 4}), ("network", {"lstm_units": 10})],
)
def test_settings_that_contradict_the_weights_are_named(part, changes, changed):
    right = to_dict(DECIDED)
    path = changed(settings=right | {part: right[part] | changes})
    read_checkpoint(path)
    assert "cannot be loaded by Keras" in refusal(path, load=True)


def test_a_network_that_keras_cannot_load_is_named(changed):
    assert "cannot be loaded by Keras" in refusal(changed({"model.weights.h5": b"nothing"}), load=True)


def test_a_network_of_another_kind_is_named(good, tmp_path):
    import keras

    window, bands = SETTINGS.window, SETTINGS.features.mel_bands
    other = keras.Sequential([keras.Input((window.frames, bands)), keras.layers.GlobalMaxPooling1D()])
    other.save(tmp_path / "other.keras")
    made = save_checkpoint(tmp_path / "model.keras", tmp_path / "other.keras", SETTINGS, "now", "m", [])
    assert "cannot be loaded by Keras" in refusal(made.path, load=True)


def test_a_failing_save_leaves_the_old_file_and_nothing_else(good, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(good.path.read_bytes())
    broken = tmp_path / "broken.keras"
    broken.write_bytes(good.path.read_bytes()[:2000])
    with pytest.raises(zipfile.BadZipFile):
        save_checkpoint(path, broken, Settings(), "now", "m", [])

    def failing_hashes():
        yield "ab" * 32
        raise OSError("disk is full")

    with pytest.raises(OSError, match="disk is full"):
        save_checkpoint(path, good.path, Settings(), "now", "m", failing_hashes())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.keras", "model.keras"]
    assert read_checkpoint(path).settings == DECIDED


def test_newest_checkpoint_is_the_one_written_last(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "bundled", lambda: tmp_path / "none")
    for number, (name, when) in enumerate([("run-b", 300), ("run-c", 200), ("run-a", 400), ("run-d", 400)]):
        path = tmp_path / name / "model.keras"
        path.parent.mkdir()
        path.write_bytes(bytes(number))
        os.utime(path, (when, when))
    (tmp_path / "run-z").mkdir()  # unfinished
    assert choose_checkpoint(tmp_path)[0] == tmp_path / "run-d" / "model.keras"


def test_the_bundled_checkpoint_is_used_unless_a_report_says_that_an_own_one_errs_less(tmp_path, monkeypatch):
    bundled = tmp_path / "pretrained" / "model.keras"
    bundled.parent.mkdir()
    bundled.write_bytes(b"")
    monkeypatch.setattr(places, "bundled", lambda: bundled)
    assert choose_checkpoint(tmp_path) == (bundled, "bundled model, as there is none of your own")
    own = tmp_path / "run-1" / "model.keras"
    own.parent.mkdir()
    own.write_bytes(b"")
    os.utime(own, (1, 1))  # a fresh clone gives the bundled one today's date
    for text in (
        None,
        "no JSON",
        "[]",
        "{}",
        '{"choice": {"own": true}}',
        '{"choice": {"own": false, "why": "EER 9 %"}}',
    ):
        if text:
            (own.parent / "metrics.json").write_text(text, encoding="utf-8")
        path, why = choose_checkpoint(tmp_path)
        assert path == bundled and why.startswith("bundled model rather than run-1/model.keras: ")
    assert why.endswith(": EER 9 %")
    (own.parent / "metrics.json").write_text('{"choice": {"own": true, "why": "EER 5 %"}}', encoding="utf-8")
    assert choose_checkpoint(tmp_path) == (own, "your newest one: EER 5 %")


def test_clips_are_known_again_by_content(good, tmp_path):
    clips = [Clip(name, tmp_path / name, "Real") for name in ("seen.wav", "new.wav")]
    for clip in clips:
        clip.path.write_bytes(clip.name.encode())
    base = tiny.save_untrained(tmp_path / "model.keras", SETTINGS, [file_sha256(clips[0].path)])
    clips[0].path.rename(tmp_path / "renamed.wav")
    renamed = dataclasses.replace(clips[0], path=tmp_path / "renamed.wav")
    assert base.unseen([renamed, clips[1]]) == [clips[1]]


def test_going_on_keeps_what_the_network_hears_and_learns_more_slowly(good):
    asked = Settings()
    going_on = good.to_go_on_from(asked)
    own = good.settings
    assert (going_on.features, going_on.window, going_on.network) == (own.features, own.window, own.network)
    assert going_on.hybrid == asked.hybrid and going_on.training.epochs == asked.training.epochs
    assert going_on.training.learning_rate < asked.training.learning_rate


def test_no_checkpoint_at_all_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "bundled", lambda: tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"python CNNRNNLSTM\.py"):
        choose_checkpoint(tmp_path / "outputs")
