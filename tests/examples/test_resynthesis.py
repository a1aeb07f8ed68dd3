"""Pseudo-fakes: the same words at the same time and level, but not the same sound."""

from __future__ import annotations

import numpy as np
import pytest

from deepfake_audio.corpus.recognise import find_clips
from deepfake_audio.examples.resynthesis import RECIPES, make_copies
from deepfake_audio.features.log_mel import log_mel
from deepfake_audio.settings import SAMPLE_RATE, FeatureSettings
from deepfake_audio.sound.reading import read_audio

ALL = pytest.mark.parametrize("recipe", list(RECIPES))


@pytest.fixture(scope="module")
def speech(starter):
    return read_audio(min((starter / "real").glob("*.flac")))[: 2 * SAMPLE_RATE]


def copy_of(recipe, samples, seed=0):
    return RECIPES[recipe](samples, np.random.default_rng(seed))


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


def envelope(samples, offset=0):
    frames = samples[offset : offset + (len(samples) - 1600) // 400 * 400].reshape(-1, 400)
    return np.log10(np.mean(np.square(frames, dtype=np.float64), axis=1) + 1e-8)


@ALL
@pytest.mark.parametrize("seed", range(3))
def test_a_copy_has_length_level_and_timing_of_its_source(recipe, seed, speech):
    copy = copy_of(recipe, speech, seed)
    assert copy.shape == speech.shape
    assert np.isfinite(copy).all()
    assert level_db(copy) == pytest.approx(level_db(speech), abs=3.0)
    likeness = {
        offset: np.corrcoef(envelope(speech, 800), envelope(copy, offset))[0, 1] for offset in range(0, 1601, 400)
    }
    assert max(likeness, key=likeness.get) == 800
    assert likeness[800] > 0.9


@ALL
def test_a_copy_keeps_the_spectrum_but_not_the_waveform(recipe, speech):
    copy = copy_of(recipe, speech)
    assert np.abs(np.corrcoef(copy, speech)[0, 1]) < 0.9
    assert level_db(copy - speech) > level_db(speech) - 6
    there, here = (log_mel(samples, FeatureSettings()).astype(float) for samples in (copy, speech))
    loud = here > here.max() - 40
    assert np.abs(there - here)[loud].mean() < 8
    assert np.abs(there - here)[loud].mean() > 0.5


@ALL
def test_the_seed_chooses_the_copy(recipe, speech):
    short = speech[:SAMPLE_RATE]
    assert np.array_equal(copy_of(recipe, short, 3), copy_of(recipe, short, 3))
    assert not np.array_equal(copy_of(recipe, short, 3), copy_of(recipe, short, 4))


@ALL
@pytest.mark.filterwarnings("ignore:n_fft")
@pytest.mark.parametrize("samples", [np.zeros(8000), np.r_[np.zeros(8000), np.ones(200)], np.full(300, 0.1), [0.5]])
def test_silence_and_very_short_clips_stay_finite(recipe, samples):
    samples = np.asarray(samples, dtype=np.float32)
    copy = copy_of(recipe, samples)
    assert copy.shape == samples.shape
    assert np.isfinite(copy).all()
    assert np.abs(copy).max() <= 4.0
    if not samples.any():
        assert np.abs(copy).max() < 1e-4


def test_every_real_clip_is_copied_by_every_recipe_and_keeps_its_labels(tone_corpus, tmp_path):
    clips = find_clips([tone_corpus])
    clips = [c for c in clips if c.label == "Fake"][:3] + [c for c in clips if c.label == "Real"][::7]
    real = {clip.name: clip for clip in clips if clip.label == "Real"}
    ticks = []
    copies = make_copies(clips, tmp_path / "copies", [1], progress=lambda *t: ticks.append(t))
    assert [(copy.copy_of, copy.generator) for copy in copies] == [
        (name, recipe) for name in real for recipe in RECIPES
    ]
    assert ticks == [(n, len(copies)) for n in range(1, len(copies) + 1)]
    assert len({copy.name for copy in copies}) == len({copy.path for copy in copies}) == len(copies) == 6
    for copy in copies:
        original = real[copy.copy_of]
        assert copy.label == "Fake"
        assert (copy.speaker, copy.source, copy.language) == (original.speaker, original.source, original.language)
        assert copy.name == f"copies/{copy.path.name}"
        assert len(read_audio(copy.path)) == len(read_audio(original.path))


def test_copies_are_not_made_again_and_do_not_depend_on_threads(tone_corpus, tmp_path):
    clips = [clip for clip in find_clips([tone_corpus]) if clip.label == "Real"][:2]
    copies = make_copies(clips, tmp_path / "a" / "copies", [1])
    before = {copy.path: (copy.path.stat().st_mtime_ns, copy.path.read_bytes()) for copy in copies}
    copies[1].path.unlink()
    assert make_copies(clips, tmp_path / "a" / "copies", [1]) == copies
    after = {copy.path: (copy.path.stat().st_mtime_ns, copy.path.read_bytes()) for copy in copies}
    assert {path: content for path, (_, content) in after.items()} == {p: content for p, (_, content) in before.items()}
    assert [path for path in before if before[path][0] != after[path][0]] == [copies[1].path]
    threaded = make_copies(clips, tmp_path / "b" / "copies", [1], jobs=2)
    assert [copy.path.read_bytes() for copy in threaded] == [after[copy.path][1] for copy in copies]
    other = make_copies(clips, tmp_path / "c" / "copies", [2])
    assert all(copy.path.read_bytes() != after[same.path][1] for copy, same in zip(other, copies, strict=True))


def test_a_broken_original_has_no_copy(tone_corpus, tmp_path):
    clips = [clip for clip in find_clips([tone_corpus]) if clip.label == "Real"][:2]
    clips[0].path.write_bytes(b"no audio")
    assert {copy.copy_of for copy in make_copies(clips, tmp_path / "copies", [1])} == {clips[1].name}
    assert make_copies([], tmp_path / "none", [1]) == []
