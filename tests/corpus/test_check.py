"""What --check-data tells about a corpus, and what it finds wrong."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import trees
from commands import STARTER, TRAIN, python

import CNNRNNLSTM
from deepfake_audio.corpus import check
from deepfake_audio.corpus.check import (
    check_data,
    contradictions,
    describe_report,
    inspect,
    probe,
)
from deepfake_audio.corpus.clips import Corpus, Ignored
from deepfake_audio.corpus.doubles import ENDS_BYTES, same_content
from deepfake_audio.corpus.manifest import fingerprint, report_skipped
from deepfake_audio.corpus.recognise import find_datasets
from deepfake_audio.corpus.split import split_corpus
from deepfake_audio.errors import CorpusError
from deepfake_audio.text import counted


@pytest.fixture
def grow(tmp_path):
    return trees.Grower(tmp_path / "set")


def write(path: Path, seconds: float, rate: int = 16_000, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).normal(0.0, 0.1, round(seconds * rate)), rate)


def report_of(root, **options):
    """Return the only report on a folder that is split as it can be."""
    datasets = find_datasets([root])
    splits = (
        split_corpus([clip for dataset in datasets for clip in dataset.clips]) if options.pop("split", True) else None
    )
    (report,) = inspect(datasets, splits, **options)
    return report


def test_a_report_counts_what_is_there(grow):
    trees.fake_or_real(grow, each=3)
    folder = grow.root / "for-norm/for-norm/training/real"
    for number in range(3):
        write(folder / f"long{number}.wav", 1.0 + number, rate=8000, seed=number)
    report = report_of(grow.root)
    assert report.warnings == []
    assert report.counts() == {
        (split, label): 6 if (split, label) == ("train", "Real") else 3
        for split in ("train", "validation", "test")
        for label in ("Real", "Fake")
    }
    assert report.hours()["train", "Real"] == pytest.approx((6 + 3 * 0.01) / 3600, rel=1e-3)
    text = describe_report(report)
    assert "layout        Fake-or-Real (for-norm) (folders for-norm/training|validation|testing/real|fake)" in text
    assert "16000 Hz (18), 8000 Hz (3)" in text and "WAV PCM_16 (21)" in text
    assert "decoded       21 of 21 (all)" in text and "languages: en" in text


def test_a_large_dataset_is_sampled_from_every_cell_unless_all_is_asked_for(grow, monkeypatch):
    monkeypatch.setattr(check, "SAMPLE_CLIPS", 12)
    trees.fake_or_real(grow, each=5)
    report = report_of(grow.root)
    assert len(report.probes) == 12 and "about " in describe_report(report)
    cells = {(report.splits[n], report.dataset.clips[n].label) for n in report.probes}
    assert len(cells) == 6
    assert report_of(grow.root).probes.keys() == report.probes.keys()
    assert report_of(grow.root, seed=1).probes.keys() != report.probes.keys()
    complete = report_of(grow.root, everything=True, jobs=2)
    assert len(complete.probes) == 30
    assert "about " not in describe_report(complete)
    assert report.hours() == pytest.approx(complete.hours())


def test_recordings_that_cannot_be_decoded_are_named(grow):
    trees.fake_or_real(grow, each=3)
    folder = grow.root / "for-norm/for-norm/testing/fake"
    (folder / "broken.wav").write_bytes(b"not a sound")
    (folder / "empty.wav").write_bytes(b"")
    report = report_of(grow.root)
    (warning,) = report.warnings
    assert warning.startswith("2 of 20 recordings that were tried cannot be decoded, such as: ")
    assert "broken.wav" in warning and "decoded       18 of 20" in describe_report(report)


def test_formats_that_only_ffmpeg_opens_have_no_rate(monkeypatch, tmp_path):
    write(tmp_path / "a.flac", 0.5, rate=22_050)
    assert (probe(tmp_path / "a.flac").kind, probe(tmp_path / "a.flac").rate) == ("FLAC PCM_16", 22_050)
    assert probe(tmp_path / "a.flac").seconds == pytest.approx(0.5, abs=1e-3)

    monkeypatch.setattr("deepfake_audio.corpus.check.about_audio", lambda path: None)
    assert (probe(tmp_path / "a.flac").kind, probe(tmp_path / "a.flac").rate) == ("flac", 0)


# The same content twice


def test_the_same_content_in_two_sets_is_found(grow):
    trees.fake_or_real(grow, each=3)
    top = grow.root / "for-norm/for-norm"
    shutil.copyfile(next((top / "training/real").iterdir()), top / "testing/real/copy.wav")
    shutil.copyfile(next((top / "training/fake").iterdir()), top / "training/fake/copy.wav")
    (dataset,) = find_datasets([grow.root])
    splits = split_corpus(dataset.clips)
    (warning,) = splits.warnings
    assert warning.startswith("1 clip of validation or test is left out: its recording stands in another set, too, ")
    assert re.search(r"testing/real/copy\.wav, the same recording as .*training/real/file\S+ in train\.", warning)
    assert [clip.path.name for clip, _ in splits.left_out] == ["copy.wav"]
    assert splits.counts()["test"] == {"Real": 3, "Fake": 3, "Hybrid": 0} and splits.counts()["train"]["Fake"] == 4
    assert fingerprint(split_corpus(dataset.clips)) == fingerprint(splits)
    for clip in dataset.clips:
        if clip.split == "test" and clip.label == "Real":
            shutil.copyfile(next((top / "training/real").iterdir()), clip.path)
    with pytest.raises(CorpusError, match=r"4 clips of validation or test are left out.* 0 Real clips would be left"):
        split_corpus(dataset.clips)


def test_the_same_content_under_two_labels_is_found(grow):
    trees.fake_or_real(grow, each=3)
    top = grow.root / "for-norm/for-norm"
    shutil.copyfile(next((top / "training/real").iterdir()), top / "training/fake/copy.wav")
    with pytest.raises(CorpusError, match=r"2 of 19 clips are the same recording under two labels, more than 1%, such"):
        find_datasets([grow.root])
    (dataset,) = find_datasets([grow.root], allow_conflicts=True)
    assert len(dataset.clips) == 17 and {clip.label for clip, _ in dataset.left_out} == {"Real", "Fake"}
    (line,) = Corpus([dataset]).remarks
    assert (
        "left aside 2 clips that are the same recording under two labels (" in line and "copy.wav is Fake, and" in line
    )
    assert report_skipped(dataset.clips, {}, grow.root, dataset.left_out) == []
    assert "copy.wav" in (grow.root / "skipped.csv").read_text(encoding="utf-8")


def test_a_clip_that_is_listed_as_real_and_as_fake_is_left_out(grow):
    """Up to one in a hundred does not stop a run."""
    names = [f"{n}.wav" for n in range(100)]
    grow.clips(*names)
    grow.text("clips.csv", "path,label", *(f"{name},real" for name in names), "5.wav,fake", "6.wav,real")
    (dataset,) = find_datasets([grow.root], allow_conflicts=True)
    assert {clip.path.name for clip in dataset.clips} == {*names} - {"5.wav"} and len(dataset.clips) == 99
    assert [reason for _, reason in dataset.left_out] == ["Real, and Fake", "Fake, and Real"]
    assert {reason: entry.count for reason, entry in dataset.ignored.items()} == {
        "clips that are listed already": 1,
        "clips that are the same recording under two labels": 2,
    }
    grow.clips(*(f"more/{n}.wav" for n in range(100)))
    grow.text(
        "clips.csv",
        "path,label",
        *(f"{n},real" for n in names),
        "5.wav,fake",
        *(f"more/{n}.wav,fake" for n in range(100)),
    )
    (dataset,) = find_datasets([grow.root])
    assert len(dataset.clips) == 199


def test_files_are_told_apart_at_their_ends_and_in_the_middle(grow):
    trees.fake_or_real(grow, each=1)
    clips = find_datasets([grow.root])[0].clips
    middle = bytearray(10 * ENDS_BYTES)
    for clip, change in zip(clips, (None, None, 0, -1, len(middle) // 2, 20), strict=True):
        content = bytearray(middle)
        if change is not None:
            content[change] = 1
        clip.path.write_bytes(content)
    clips[5].path.write_bytes(b"")
    kinds = range(6)
    assert same_content(clips, kinds) == [[0, 1]]
    clips[4].path.write_bytes(b"")  # empty files are no two copies of a recording
    clips[1].path.unlink()
    assert same_content(clips, kinds) == []
    assert same_content(clips[2:4], ["train", "train"]) == []


# Labels that look swapped


def test_names_that_contradict_the_label_are_pointed_out(grow):
    grow.clips("real/anna/spoof_1.wav", "real/anna/2.wav", "real/bert/3.wav", "fake/xtts/fake_4.wav")
    grow.clips("fake/xtts/original-5.wav", "fake/xtts/real.6.wav")
    (dataset,) = find_datasets([grow.root])
    assert contradictions(dataset) == [
        "1 of 3 Real clips have fake in their own file or folder name, such as set/real/anna/spoof_1.wav.",
        "2 of 3 Fake clips have real in their own file or folder name, such as set/fake/xtts/original-5.wav, "
        "set/fake/xtts/real.6.wav. The labels look swapped.",
    ]


def test_a_list_that_contradicts_the_folders_is_pointed_out(grow):
    trees.in_the_wild(grow, ("real/0.wav", "fake/1.wav", "fake/2.wav"))
    (dataset,) = find_datasets([grow.root])
    real, fake = contradictions(dataset)
    assert real.startswith("1 of 1 Real clips have fake in") and real.endswith("The labels look swapped.")
    assert fake.startswith("1 of 2 Fake clips have real in") and "release_in_the_wild/real/0.wav" in fake


def test_what_all_clips_have_above_them_says_nothing(tmp_path):
    grow = trees.Grower(tmp_path / "deepfake" / "ai")
    grow.clips("real/anna/1.wav", "fake/xtts/2.wav")
    trees.deep_voice(grow)
    for dataset in find_datasets([tmp_path / "deepfake"]):
        assert contradictions(dataset) == []


# Real speech that is not real


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize(
    ("rate", "hop", "warned"),
    [(22_050, 256, 256), (24_000, 300, 300), (16_000, 512, 512), (24_000, 240, 0), (24_000, 601, 0)],
)
def test_real_clips_of_whole_hops_are_suspected(grow, rate, hop, warned, suffix):
    rng = np.random.default_rng(hop)
    for number in range(8):
        for label, samples in (("real", (11 + 2 * number) * hop), ("fake", (12 + number) * 256)):
            path = grow.root / label / f"voice{number}" / f"a.{suffix}"
            path.parent.mkdir(parents=True)
            soundfile.write(path, rng.normal(0.0, 0.1, samples + (number > 5 and label == "real")), rate)
    warnings = report_of(grow.root, split=False).warnings
    assert len(warnings) == bool(warned)
    said = f"75% of 8 different lengths of Real clips of an unnamed source at {rate} Hz are multiples of {warned}"
    assert all(
        warning.startswith(f"{said} samples, where chance gives {1 / warned:.1%}: a vocoder") for warning in warnings
    )
    assert all("frames of 10 ms and recorders' buffers do the same" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("kind", "lengths", "suspected"), [("WAV/PCM_16", 6, True), ("MP3", 6, False), ("FLAC", 4, False)]
)
def test_lengths_of_originals_count_where_clips_were_cut(grow, kind, lengths, suspected):
    names = [f"{n}.wav" for n in range(20)]
    grow.clips(*names)
    rows = [f"{name},real,demo page,22050.0,{kind},{256 * (100 + n % lengths)}" for n, name in enumerate(names)]
    grow.text("clips.csv", "path,label,source,original_sample_rate,original_format,original_samples", *rows)
    found = [line for line in report_of(grow.root, split=False).warnings if "vocoder" in line]
    assert len(found) == suspected
    assert all(line.startswith("100% of 6 different lengths of Real clips of demo page at 22050 Hz") for line in found)


# What is printed

MEASURES = ("left_out", "hours", "speakers", "generators")


def test_the_json_answer_has_the_agreed_form(tmp_path, capsys):
    one, two = trees.Grower(tmp_path / "one"), trees.Grower(tmp_path / "two")
    trees.fake_or_real(one, each=10)
    trees.llama_partial_spoof(two)
    datasets = find_datasets([one.root, two.root])
    check_data(datasets, seed=0, everything=False, jobs=1, as_json=True)
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == ["schema", "datasets", "shortcuts", "warnings", "refusal"]
    assert answer["refusal"] is None
    assert set(answer["shortcuts"]) == {"level", "silence", "noise floor", "bandwidth", "length", "format"}
    assert all(0 <= area <= 1 for area in answer["shortcuts"].values())
    first, second = answer["datasets"]
    assert list(first) == ["root", "layout", "clips", "splits", *MEASURES, "warnings"]
    assert first["left_out"] == {"Real": 0, "Fake": 0, "Hybrid": 0}
    assert first["root"] == str((one.root / "for-norm/for-norm").resolve())
    assert first["clips"] == {"Real": 30, "Fake": 30, "Hybrid": 0}
    assert first["splits"]["validation"] == {"Real": 10, "Fake": 10, "Hybrid": 0}
    assert first["hours"] == pytest.approx(60 * 0.01 / 3600, abs=1e-4)
    assert (second["layout"], second["speakers"], second["generators"]) == ("LlamaPartialSpoof", 2, 1)
    assert sum(second["clips"].values()) == 3


def test_what_cannot_be_split_is_described_all_the_same(grow, capsys):
    trees.wavefake(grow)
    grow.clips("readme/x.wav")
    with pytest.raises(CorpusError, match="0 Real clips"):
        check_data(find_datasets([grow.root]), seed=0, everything=False, jobs=1, as_json=False)
    text = capsys.readouterr().out
    with pytest.raises(CorpusError):
        check_data(find_datasets([grow.root]), seed=0, everything=False, jobs=1, as_json=True)
    assert json.loads(capsys.readouterr().out)["refusal"].startswith("The corpus has 0 Real clips")
    assert "no set        4 Fake" in text and "pair it with LJSpeech" in text
    assert "ignored       1 recording without a folder named after a class (readme/x.wav)" in text


def test_a_run_passes_nothing_over_in_silence(grow):
    trees.wavefake(grow)
    grow.clips(*(f"notes/{n}.wav" for n in range(5)))
    said = Corpus(find_datasets([grow.root])).remarks
    assert said[0].startswith("WaveFake: WaveFake has only Fake clips")
    assert said[1].startswith("WaveFake: left aside 5 recordings without a folder named after a class (notes/0.wav, ")
    assert said[1].endswith(", notes/2.wav, ...)") and len(said) == 2
    trees.ljspeech(grow)
    said = Corpus(find_datasets([grow.root])).remarks
    assert said[-1].startswith("none: left aside 5 recordings without"), "it belongs to neither"


def test_the_command_answers_in_json_or_says_what_is_wrong(grow, tmp_path):
    done = python(TRAIN, "--data", STARTER, "--check-data", "--json", "--decode-all", "--outputs", tmp_path / "outputs")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    (dataset,) = answer["datasets"]
    assert dataset["layout"] == "clips.csv" and dataset["clips"] == {"Real": 146, "Fake": 146, "Hybrid": 0}
    assert sum(dataset["left_out"].values()) == 10
    assert any(warning.startswith("10 of 292 clips are left out") for warning in answer["warnings"])
    assert not (tmp_path / "outputs").exists()
    assert python(TRAIN, "--data", STARTER, "--json").returncode == 2
    grow.clips("somewhere/1.wav")
    done = python(TRAIN, "--data", grow.root, "--check-data", "--json")
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert "\nLayouts that are recognised: ASVspoof 2017" in done.stderr
    assert done.stderr.endswith("are a beginning:\n    path,label\n    somewhere/1.wav,real\n")


def test_the_command_takes_the_words_that_its_refusals_ask_for(grow, capsys):
    grow.clips(*(f"takes/{folder}/{n}.wav" for folder in "01" for n in range(15)))
    grow.clips(*(f"takes/0/{n}/1.wav" for n in range(10)))
    command = ["--check-data", "--json", "--data", str(grow.root)]
    assert CNNRNNLSTM.main(command) == 1
    assert "--label 0=real or --label 0=fake" in capsys.readouterr().err
    shutil.copyfile(grow.root / "takes/0/0.wav", grow.root / "takes/1/0.wav")
    assert CNNRNNLSTM.main([*command, "--label", "1=fake"]) == 1
    told = capsys.readouterr()
    assert told.out == "" and "2 of 40 clips are the same recording under two labels" in told.err
    assert CNNRNNLSTM.main([*command, "--label", "1=fake", "--allow-conflicts"]) == 0
    (dataset,) = json.loads(capsys.readouterr().out)["datasets"]
    assert dataset["clips"] == {"Real": 24, "Fake": 14, "Hybrid": 0}
    with pytest.raises(SystemExit):
        CNNRNNLSTM.main([*command, "--label", "1=maybe"])
    assert "'1=maybe' is not NAME=real, NAME=fake or NAME=hybrid" in capsys.readouterr().err


def test_warnings_are_the_same_in_json_and_in_text(grow, capsys):
    trees.fake_or_real(grow, each=10)
    for number, path in enumerate((grow.root / "for-norm/for-norm").rglob("fake/*.wav")):
        write(path, 1.0, 8000, seed=number)  # a shortcut
    datasets = find_datasets([grow.root])
    check_data(datasets, seed=0, everything=False, jobs=1, as_json=True)
    answer = json.loads(capsys.readouterr().out)
    check_data(datasets, seed=0, everything=False, jobs=1, as_json=False)
    text = capsys.readouterr().out
    assert answer["warnings"] == [line.removeprefix("warning: ") for line in text.splitlines() if line[:3] == "war"]
    assert any("alone tells Real from Fake" in warning for warning in answer["warnings"])


def test_one_thing_is_not_several():
    reasons = {
        "recordings without a folder named after a class": "1 recording without a folder named after a class",
        "lines or files with segments that cannot be read": "1 line or file with segments that cannot be read",
        "clips that a list names but that are not there": "1 clip that a list names but that is not there",
        "hidden files and folders": "1 hidden file or folder",
        "links to nothing and special files": "1 link to nothing or special file",
        "lines that name a clip again": "1 line that names a clip again",
        "lines whose label contradicts their segments": "1 line whose label contradicts its segments",
        "not in clips.csv": "1 not in clips.csv",
    }
    for several, one in reasons.items():
        assert (Ignored(1).counted(several), Ignored(2).counted(several)) == (one, f"2 {several}")
    assert [counted(n, "clip", "is", "are") for n in (0, 1, 2)] == ["0 clips are", "1 clip is", "2 clips are"]
    assert counted(1, "clip") == "1 clip"


@pytest.mark.parametrize(("hours", "said"), [(2.5, "2.50 h"), (0.5, "30.0 min"), (0.001, "3.6 s"), (0.0, "0.0 s")])
def test_short_lengths_are_not_zero_hours(grow, hours, said, monkeypatch):
    trees.fake_or_real(grow, each=3)
    report = report_of(grow.root)
    monkeypatch.setattr(report, "hours", lambda: dict.fromkeys(report.counts(), hours))
    assert f"train         3 Real ({said}), 3 Fake ({said})" in describe_report(report)
