"""What happens to clips that cannot be decoded."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from commands import TRAIN, only, python

from deepfake_audio.corpus.clips import Clip
from deepfake_audio.corpus.manifest import SKIPPED_NAME, report_skipped
from deepfake_audio.corpus.recognise import find_datasets
from deepfake_audio.errors import AudioError, RunError
from deepfake_audio.examples.example import examples_of_clips
from deepfake_audio.examples.features import extract_features
from deepfake_audio.files import file_sha256
from deepfake_audio.model.checkpoint import SEEN_DIGITS, read_checkpoint
from deepfake_audio.settings import FeatureSettings
from deepfake_audio.sound.reading import read_audio


def clips(count: int) -> list[Clip]:
    return [Clip(f"set/real/{n}.wav", Path(f"/set/real/{n}.wav"), "Real") for n in range(count)]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / SKIPPED_NAME).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_nothing_is_written_where_nothing_failed(tmp_path):
    assert report_skipped(clips(3), {"hybrid-00001.flac": "a splice"}, tmp_path) == []
    assert not (tmp_path / SKIPPED_NAME).exists()


def test_up_to_five_in_a_hundred_are_named_and_left_out(tmp_path):
    failures = {f"set/real/{n}.wav": f"reason {n}, with a comma" for n in range(5)}
    (said,) = report_skipped(clips(100), failures | {"set/real/0.wav#channel-0": "again"}, tmp_path)
    assert said == "5 of 100 clips cannot be decoded and are left out; skipped.csv names them."
    found = rows(tmp_path)
    assert [(row["clip"], row["reason"]) for row in found] == list(failures.items())
    assert {row["label"] for row in found} == {"Real"} and found[0]["path"] == str(Path("/set/real/0.wav"))


def test_more_than_five_in_a_hundred_stop_the_run_with_the_reason(tmp_path):
    failures = {f"set/real/{n}.wav": "it is no sound." for n in range(6)}
    with pytest.raises(
        RunError, match=r"6 of 100 clips cannot be decoded, more than 5%, such as: it is no sound\. All"
    ):
        report_skipped(clips(100), failures, tmp_path)
    assert len(rows(tmp_path)) == 6


def test_broken_recordings_of_a_real_folder(tone_corpus, tmp_path):
    (tone_corpus / "real" / "voice0" / "0.flac").write_bytes(b"not a sound")
    (dataset,) = find_datasets([tone_corpus])
    with pytest.raises(AudioError):
        read_audio(dataset.clips[-20].path)
    examples = examples_of_clips(dataset.clips, {clip.name: clip.name for clip in dataset.clips})
    store = extract_features(examples, tmp_path / "features", FeatureSettings())
    (said,) = report_skipped(dataset.clips, store.failures, tmp_path)
    assert said.startswith("1 of 40 clips")
    assert rows(tmp_path)[0]["clip"] == "tones/real/voice0/0.flac"
    assert "0.flac" in rows(tmp_path)[0]["reason"]


def test_a_run_on_a_damaged_copy_stops_before_it_trains(tone_corpus, tmp_path):
    for number in (0, 4, 8):
        (tone_corpus / "real" / f"voice{number // 4}" / f"{number}.flac").write_bytes(b"no sound %d" % number)
    done = python(TRAIN, "--data", tone_corpus, "--outputs", tmp_path / "outputs", "--epochs", 1)
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert "error: 3 of 40 clips cannot be decoded, more than 5%, such as: " in done.stderr
    assert len(rows(only(tmp_path / "outputs", "run-*"))) == 3 and "Epoch" not in done.stderr


def test_the_model_card_tells_what_was_skipped_and_what_was_left_aside(tiny_run, tmp_path):
    tones, run = tiny_run
    broken, outputs = tones / "real" / "voice0" / "0.flac", tmp_path / "outputs"
    cache = ("--cache", run.parent / "features")
    done = python(TRAIN, "--evaluate", run / "model.keras", "--data", tones, "--outputs", outputs, *cache)
    assert done.returncode == 0, done.stderr
    again = done.stderr
    with (run / "manifest.csv").open(encoding="utf-8", newline="") as file:
        placed = list(csv.DictReader(file))
    (split,) = [row["split"] for row in placed if row["path"] == str(broken)]
    assert ("Features of " in again) == (split == "test"), "the broken one alone is tried again"
    card = (run / "MODEL_CARD.md").read_text(encoding="utf-8")
    for name in ("train", "validation", "test"):
        members = [row["label"] for row in placed if row["split"] == name and row["path"] != str(broken)]
        numbers = [str(members.count(label)) for label in ("Real", "Fake", "Hybrid")]
        assert re.search(rf"\| {name} +\| +" + r" +\| +".join([*numbers, str(len(members))]), card), card
    assert "1 of 40 clips cannot be decoded and are left out; skipped.csv names them." in card
    seen = read_checkpoint(run / "model.keras").seen()
    for row in placed:
        known = file_sha256(row["path"])[:SEEN_DIGITS] in seen
        assert known == (row["split"] in ("train", "validation") and row["path"] != str(broken))
    for told in (card, only(outputs, "evaluation-*/MODEL_CARD.md").read_text(encoding="utf-8")):
        assert re.search(r"left aside .*who knows\.flac", told), told
