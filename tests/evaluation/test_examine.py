"""The report: one pass over the test set, and which clips a foreign checkpoint may be tested on."""

import dataclasses
import json

import pytest
import tiny

from deepfake_audio.corpus.recognise import find_clips
from deepfake_audio.corpus.split import Splits
from deepfake_audio.errors import CorpusError, RunError
from deepfake_audio.evaluation.card import Card
from deepfake_audio.evaluation.examine import describe_data, evaluate_checkpoint, examine, only_unseen
from deepfake_audio.evaluation.metrics import evaluate
from deepfake_audio.evaluation.scores import read_scores
from deepfake_audio.files import file_sha256
from deepfake_audio.settings import CLASS_NAMES

SETTINGS = tiny.settings()


def card_of(checkpoint):
    return Card(
        checkpoint=checkpoint,
        data=["made-up bursts of noise"],
        split={split: dict.fromkeys(CLASS_NAMES, 4) for split in ("train", "validation", "test")},
        warnings=["this is a test"],
        command="python CNNRNNLSTM.py",
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("corpus"), SETTINGS, per_class=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a dataset of four speakers and four generators, two clips each, in folders named after classes."""
    root = tmp_path_factory.mktemp("data") / "unseen"
    for example in tiny.examples(root / "made", per_class=8, seed=3):
        if example.label != "Hybrid":
            home = root / example.kind / f"voice-{example.path.stem[-1]}"
            home.mkdir(parents=True)
            example.path.rename(home / example.path.name)
        else:
            example.path.unlink()
    (root / "made").rmdir()
    return root


def test_only_what_the_base_has_not_heard_is_left_to_judge_by(folder, tmp_path):
    clips = find_clips([folder])
    real, fake = ([c for c in clips if c.label == label] for label in ("Real", "Fake"))
    sets = {"train": [], "validation": real[:2] + fake[:2], "test": real[2:] + fake[2:]}
    splits = Splits(sets, {}, [], [])
    seen = [file_sha256(clip.path) for clip in (real[2], fake[2], real[0])]
    base = tiny.save_untrained(tmp_path / "model.keras", SETTINGS, seen)
    left = only_unseen(splits, base)
    assert left.sets["validation"] == [real[1], *fake[:2]]
    assert left.sets["test"] == real[3:] + fake[3:]
    assert {clip.name for clip, _ in left.left_out} == {real[2].name, fake[2].name, real[0].name}
    assert any("3 clips" in warning for warning in left.warnings)
    everything = tiny.save_untrained(tmp_path / "all.keras", SETTINGS, [file_sha256(clip.path) for clip in clips])
    with pytest.raises(CorpusError, match="trained on every Real clip of the validation set"):
        only_unseen(splits, everything)


def test_a_report_is_written_from_the_scores_file(corpus, tmp_path, capsys):
    _, test, store = corpus
    checkpoint = tiny.save_untrained(tmp_path / "model.keras", SETTINGS)
    report = examine(tmp_path, test, store, card_of(checkpoint))
    assert capsys.readouterr().out == "", "what is printed comes after all is written"
    report.tell()
    scores = read_scores(tmp_path / "scores.csv")
    assert [score.path for score in scores] == [example.name for example in test]
    stored = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(report.metrics)) == json.loads(json.dumps(evaluate(scores)))
    card = (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "made-up bursts of noise" in card and "this is a test" in card
    told = capsys.readouterr().out
    for path in [tmp_path / "scores.csv", tmp_path / "metrics.json", *sorted((tmp_path / "plots").glob("*.png"))]:
        assert str(path) in told.splitlines()
    assert not (tmp_path / "plots" / "learning_curves.png").exists(), "there was no log"
    assert not list(tmp_path.rglob("*.tmp-*"))


def test_a_test_set_without_a_readable_clip_is_an_error(corpus, tmp_path):
    _, test, store = corpus
    unseen = [dataclasses.replace(example, name=f"unknown {example.name}") for example in test]
    checkpoint = tiny.save_untrained(tmp_path / "model.keras", SETTINGS)
    with pytest.raises(RunError, match="No test clip could be read"):
        examine(tmp_path, unseen, store, card_of(checkpoint))
    assert not (tmp_path / "metrics.json").exists()


def test_data_is_described_in_one_sentence_per_folder(folder):
    lines = describe_data(find_clips([folder]))
    assert len(lines) == 1
    assert lines[0].startswith("unseen: 8 Real, 8 Fake clips, 8 named speakers, 8 named generators")


def test_what_was_heard_in_training_is_not_counted(folder, tmp_path, capsys):
    clips = find_clips([folder])
    seen = [file_sha256(clip.path) for clip in clips[::2]]
    checkpoint = tiny.save_untrained(tmp_path / "model.keras", SETTINGS, seen)
    evaluate_checkpoint(checkpoint.path, clips, tmp_path / "outputs", tmp_path / "cache", jobs=1)
    (report,) = (tmp_path / "outputs").iterdir()
    scores = read_scores(report / "scores.csv")
    assert {s.path for s in scores if s.kind in ("real", "fake")} == {clip.name for clip in clips[1::2]}
    assert "8 of 16 clips were seen in training" in capsys.readouterr().err


def test_an_evaluation_that_fails_leaves_no_folder(folder, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    checkpoint = tiny.save_untrained(tmp_path / "model.keras", SETTINGS)
    arguments = find_clips([folder]), tmp_path / "outputs", tmp_path / "cache"
    monkeypatch.setattr("deepfake_audio.evaluation.examine.write_metrics", stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate_checkpoint(checkpoint.path, *arguments, jobs=1)
    assert list((tmp_path / "outputs").iterdir()) == []


def test_a_corpus_of_real_clips_alone_can_be_judged(folder, tmp_path):
    clips = [clip for clip in find_clips([folder]) if clip.label == "Real"]
    checkpoint = tiny.save_untrained(tmp_path / "model.keras", SETTINGS)
    evaluate_checkpoint(checkpoint.path, clips, tmp_path / "outputs", tmp_path / "cache", jobs=1)
    (report,) = (tmp_path / "outputs").iterdir()
    assert {s.kind for s in read_scores(report / "scores.csv")} == {"real"}
    assert "no hybrids were spliced" in (report / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_nothing_is_left_when_training_heard_it_all(folder, tmp_path):
    clips = find_clips([folder])
    checkpoint = tiny.save_untrained(tmp_path / "model.keras", SETTINGS, [file_sha256(c.path) for c in clips])
    with pytest.raises(RunError, match="Every clip was seen in training"):
        evaluate_checkpoint(checkpoint.path, clips, tmp_path / "outputs", tmp_path / "cache", jobs=1)
    assert not (tmp_path / "outputs").exists()
