"""Folds by source: who is apart from whom, which recordings are the same, and what is refused."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from deepfake_audio.corpus.clips import Clip
from deepfake_audio.errors import CorpusError
from deepfake_audio.training.folds import everything_split, fold_splits, near_duplicates


def corpus(sources=12, each=4):
    """Make clips of both classes in every source; the first two sources share a speaker."""
    clips = []
    for source in range(sources):
        for label in ("Real", "Fake"):
            for number in range(each):
                name = f"set/page{source}/{label}{number}.flac"
                speaker = "anna" if source < 2 and label == "Real" else f"voice {source}"
                family = f"engine {source % 3}" if label == "Fake" else ""
                clips.append(Clip(name, Path(name), label, speaker, family, f"page{source}", family=family))
    return clips


def stored(spectrograms):
    """Return a store of spectrograms by the names of clips."""
    return SimpleNamespace(
        extents=spectrograms, read=spectrograms.__getitem__, frames=lambda name: len(spectrograms[name])
    )


def test_every_source_is_tested_once_and_shares_nothing_with_its_training():
    clips = corpus()
    hybrid = dataclasses.replace(clips[0], name="set/page0/h.flac", label="Hybrid")
    twin = {clips[-1].name: {clips[20].name}, clips[20].name: {clips[-1].name}}
    folds = fold_splits([*clips, hybrid], 3, twin)
    tested = [clip.name for fold in folds for clip in fold.sets["test"]]
    assert sorted(tested) == sorted(clip.name for clip in [*clips, hybrid])
    for fold in folds:
        sources = {split: {clip.source for clip in members} for split, members in fold.sets.items()}
        assert not sources["train"] & sources["validation"] and not sources["test"] & sources["train"]
        assert not sources["test"] & sources["validation"] and len(sources["validation"]) == 1
        learnt = fold.sets["train"] + fold.sets["validation"]
        assert all(clip.label != "Hybrid" for clip in learnt)
        for test in fold.sets["test"]:
            assert not any(test.speaker == clip.speaker or clip.name in twin.get(test.name, ()) for clip in learnt)
        families = [{clip.family for clip in members if clip.label == "Fake"} for members in fold.sets.values()]
        assert families[0] & families[2], "generators may be in both"
    reasons = {reason for fold in folds for _, reason in fold.left_out}
    assert "the same recording stands in the test set" in reasons and "hybrids by others never train" in reasons


def test_a_tenth_of_the_sources_calibrates_what_all_others_train():
    clips = corpus(20)
    splits = everything_split(clips, {})
    held = {clip.source for clip in splits.sets["validation"]}
    assert len(held) == 2 and not splits.sets["test"]
    kept = {clip.source for clip in splits.sets["train"]}
    assert not kept & held and len(kept) >= 17


def test_the_same_recording_is_found_across_sources_whatever_was_done_to_it():
    rng = np.random.default_rng(0)
    sound = rng.normal(-40, 12, (60, 80)).repeat(5, axis=0)
    clips = [Clip(f"set/{n}", Path(str(n)), "Real", source=source) for n, source in enumerate("aabbb")]
    louder = sound + np.linspace(3, 9, 80) + rng.normal(0, 0.5, sound.shape)
    other = rng.normal(-40, 12, (60, 80)).repeat(5, axis=0)
    store = stored(dict(zip((clip.name for clip in clips), (sound, sound, louder, other, sound[:200]), strict=True)))
    assert near_duplicates(clips, store) == {
        "set/0": {"set/2"},
        "set/1": {"set/2"},
        "set/2": {"set/0", "set/1"},
    }, "copies within a source stay together anyway, and another length is another recording"
    placed = [dataclasses.replace(clip, split="train" if clip.source == "a" else "test") for clip in clips]
    with pytest.raises(CorpusError, match=r"set/0 \(train\) and set/2 \(test\) hold the same recording: put both"):
        near_duplicates(placed, store)


@pytest.mark.parametrize(
    ("clips", "words"),
    [
        (corpus(3), "names 3 sources, too few for 5 folds"),
        ([clip for clip in corpus(6) if clip.label == "Real"], "too few Real or Fake clips"),
        (
            [clip for clip in corpus(6, 8) if clip.label == "Real" or clip.source == "page0"],
            r"Fold \d of 5 would have no Fake clip",
        ),
    ],
)
def test_a_corpus_that_cannot_be_folded_says_why(clips, words):
    with pytest.raises(CorpusError, match=words):
        fold_splits(clips, 5, {})
