"""From clips to labelled windows: labels to the frame, features as fresh ones."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections import Counter, namedtuple
from pathlib import Path

import numpy as np
import pytest

from deepfake_audio.corpus.clips import SPLITS
from deepfake_audio.corpus.recognise import find_clips
from deepfake_audio.corpus.split import split_corpus
from deepfake_audio.errors import RunError
from deepfake_audio.examples import features as dataset
from deepfake_audio.examples.channels import through_channel
from deepfake_audio.examples.example import (
    UNKNOWN,
    Example,
    examples_of_clips,
    examples_of_splices,
    split_examples,
    window_label,
)
from deepfake_audio.examples.features import FeatureStore, extract_features, labels_of
from deepfake_audio.examples.splices import SplicePlan
from deepfake_audio.features.log_mel import log_mel
from deepfake_audio.features.speech import speech_seconds
from deepfake_audio.features.store import FeatureCache, Spectrogram
from deepfake_audio.features.windows import cut_window, window_starts
from deepfake_audio.settings import (
    SAMPLE_RATE,
    AugmentSettings,
    FeatureSettings,
    HybridSettings,
    Settings,
    TrainingSettings,
)
from deepfake_audio.settings import WindowSettings as Window
from deepfake_audio.sound.reading import read_audio

FEATURES = FeatureSettings()
REAL, FAKE, HYBRID = range(3)


def example(label="Hybrid", spans=(), **labels):
    return Example("x", Path("x.wav"), label, label.lower(), "group", spans=spans, **labels)


# Frame labels


def test_boundaries_are_labelled_with_their_neighbours():
    boundaries = dataclasses.replace(example(spans=((0.1, 0.2),)), boundaries=(0.101, 0.2)).boundary_labels(20, 0.02)
    assert np.flatnonzero(boundaries).tolist() == [4, 5, 6, 9, 10, 11]
    assert example(spans=None).boundary_labels(3, 0.02).tolist() == [UNKNOWN] * 3
    at_the_ends = dataclasses.replace(example("Real"), boundaries=(0.0, 0.4)).boundary_labels(20, 0.02)
    assert np.flatnonzero(at_the_ends).tolist() == [0, 1, 19]


@pytest.mark.parametrize(
    ("span", "frames"),
    [
        ((0.10, 0.20), range(5, 10)),  # on the edges of frames
        ((0.11, 0.21), range(5, 10)),  # from one centre up to another, which is not in it any more
        ((0.1101, 0.2101), range(6, 11)),
        ((0.0, 0.4), range(20)),
        ((0.35, 9.0), range(17, 20)),  # beyond the end
        ((0.1001, 0.1099), range(0)),  # between two centres
    ],
)
def test_a_frame_is_fake_when_its_centre_is(span, frames):
    labels = example(spans=(span,)).frame_labels(20, 0.02)
    assert labels.dtype == np.int8
    assert np.flatnonzero(labels).tolist() == list(frames)


def test_several_spans_no_span_and_unknown_spans():
    labels = example(spans=((0.0, 0.04), (0.1, 0.14))).frame_labels(8, 0.02)
    assert labels.tolist() == [1, 1, 0, 0, 0, 1, 1, 0]
    assert example("Real").frame_labels(3, 0.02).tolist() == [0, 0, 0]
    assert example("Fake").frame_labels(3, 0.02).tolist() == [1, 1, 1]
    assert example("Fake", spans=None).frame_labels(3, 0.02).tolist() == [1, 1, 1]
    assert example("Hybrid", spans=None).frame_labels(3, 0.02).tolist() == [UNKNOWN] * 3


# Window labels


@pytest.mark.parametrize(
    ("fake", "label"),
    [(0, REAL), (4, REAL), (5, HYBRID), (75, HYBRID), (145, HYBRID), (146, FAKE), (150, FAKE)],
)
def test_a_small_rest_does_not_make_a_window_hybrid(fake, label):
    labels = np.zeros(150, dtype=np.int8)
    labels[:fake] = 1
    window = Window(minority_frames=5)
    assert window_label(labels, window) == window_label(labels[::-1], window) == label


def test_windows_of_a_hybrid_are_named_by_what_is_in_them():
    window = Window(frames=300, frames_per_step=4, labels_per_step=2, overlap=0.0, minority_frames=5)
    labels = example(spans=((3.0, 7.0),)).frame_labels(600, 0.02)
    starts = window_starts(1200, window) // window.frames_per_label
    named = [window_label(cut_window(labels, start, window.label_frames), window) for start in starts]
    assert named == [REAL, FAKE, HYBRID, REAL]


def test_a_window_of_unknown_spans_is_hybrid():
    labels = np.zeros(150, dtype=np.int8)
    labels[-1] = UNKNOWN
    assert window_label(labels, Window()) == HYBRID
    assert window_label(np.full(150, UNKNOWN, dtype=np.int8), Window()) == HYBRID


# Examples


@pytest.fixture(scope="module")
def splits(starter):
    """A few clips of every set of the starter corpus."""
    whole = split_corpus(find_clips([starter]), 0)
    few = {
        split: [clip for label in ("Real", "Fake") for clip in [c for c in clips if c.label == label][:7]]
        for split, clips in whole.sets.items()
    }
    return dataclasses.replace(whole, sets=few)


SETTINGS = Settings(hybrid=HybridSettings(most_per_split=4), training=TrainingSettings(seed=9))
SETTINGS = dataclasses.replace(SETTINGS, augment=AugmentSettings(channel_copies=0))


@pytest.fixture(scope="module")
def sets(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("splices")
    return {split: split_examples(split, splits, SETTINGS, folder) for split in SPLITS}, folder


def test_clips_keep_their_labels(splits):
    clips = splits.sets["test"]
    hybrid = dataclasses.replace(clips[0], name="h", label="Hybrid", spans=((0.5, 1.0),))
    unknown = dataclasses.replace(clips[0], name="u", label="Hybrid", spans=None)
    stray = dataclasses.replace(clips[0], name="s", spans=((0.5, 1.0),))
    groups = splits.groups | {"h": "g1", "u": "g2", "s": "g3"}
    made = examples_of_clips([*clips, hybrid, unknown, stray], groups)
    for clip, new in zip([*clips, hybrid, unknown, stray], made, strict=True):
        for key in ("name", "path", "label", "speaker", "generator", "source", "language"):
            assert getattr(new, key) == getattr(clip, key)
        assert new.kind == clip.label.lower()
        assert new.group == groups[clip.name]
    assert [e.spans for e in made[-3:]] == [((0.5, 1.0),), None, ()]
    assert {e.spans for e in made[:-3]} == {()}


def test_splices_carry_what_is_known_of_their_parents(sets, splits):
    made, folder = sets
    for split in SPLITS:
        lines = (folder / split / "splices.jsonl").read_text(encoding="utf-8").splitlines()
        plans = [SplicePlan.from_json(line) for line in lines]
        splices = [e for e in made[split] if e.path.parent == folder / split]
        parents = {e.name: e for e in made[split] if e not in splices}
        assert Counter(e.kind for e in splices) == {"hybrid": 4, "real+real": 2, "fake+fake": 2}
        for plan, splice in zip(plans, splices, strict=True):
            assert splice.path == folder / split / plan.name
            assert (splice.label, splice.kind) == (plan.label, plan.kind)
            assert splice.group == f"{plan.kind}, mostly {plan.parts[0].label}"
            assert splice.speaker == parents[plan.parts[0].clip].speaker
            fakes = {parents[part.clip].generator for part in plan.parts if part.label == "Fake"}
            assert splice.generator in (fakes or {""})
            assert [(round(s * SAMPLE_RATE), round(e * SAMPLE_RATE)) for s, e in splice.spans] == list(plan.fake_spans)


def test_training_hears_every_clip_through_channels_too_and_calibration_once_but_never_the_test(splits, tmp_path):
    settings = dataclasses.replace(
        SETTINGS, hybrid=HybridSettings(most_per_split=2), augment=AugmentSettings(channel_copies=2)
    )
    made = split_examples("train", splits, settings, tmp_path)
    plain = [e for e in made if not e.channel_seed]
    coded = [e for e in made if e.channel_seed]
    assert len(coded) == 2 * len(plain)
    assert Counter(e.label for e in coded) == {label: 2 * n for label, n in Counter(e.label for e in plain).items()}
    assert len({e.channel_seed for e in coded}) == len(coded)
    assert not any(e.channel_seed for e in split_examples("test", splits, settings, tmp_path))
    calibrating = Counter(
        (e.kind, bool(e.channel_seed)) for e in split_examples("validation", splits, settings, tmp_path)
    )
    for kind in ("real", "fake"):
        assert calibrating[kind, True] == calibrating[kind, False] > 0
    assert {kind for kind, sent in calibrating if sent} == {"real", "fake"}

    store = extract_features([plain[0], coded[0]], tmp_path / "features", FEATURES)
    samples = through_channel(read_audio(coded[0].path), np.random.default_rng(coded[0].channel_seed))
    assert np.array_equal(store.read(coded[0].name), log_mel(samples, FEATURES))
    assert not np.array_equal(store.read(coded[0].name), store.read(plain[0].name))


def test_no_splice_has_a_parent_of_another_set(sets, splits):
    _, folder = sets
    for split in SPLITS:
        own = {clip.name for clip in splits.sets[split]}
        for line in (folder / split / "splices.jsonl").read_text(encoding="utf-8").splitlines():
            assert {part.clip for part in SplicePlan.from_json(line).parts} <= own


def test_names_are_never_shared_and_sets_differ(sets):
    made, _ = sets
    names = [example.name for split in SPLITS for example in made[split]]
    assert len(set(names)) == len(names)
    contents = [e.path.read_bytes() for split in SPLITS for e in made[split] if e.name.startswith(f"{split}/")]
    assert len(set(contents)) == len(contents) == 24


def test_frame_labels_of_a_splice_follow_its_plan(sets):
    made, _ = sets
    for splice in [e for split in SPLITS for e in made[split] if e.kind == "hybrid"]:
        frames = round(len(read_audio(splice.path)) / SAMPLE_RATE / SETTINGS.label_seconds)
        labels = splice.frame_labels(frames, SETTINGS.label_seconds)
        fake = sum(end - start for start, end in splice.spans)
        assert labels.sum() * SETTINGS.label_seconds == pytest.approx(fake, abs=0.02 * len(splice.spans))
        edges = np.flatnonzero(np.diff(labels)) + 1
        wanted = [t for span in splice.spans for t in span if 0 < t < frames * SETTINGS.label_seconds - 0.01]
        assert np.abs(edges * SETTINGS.label_seconds - wanted).max() <= SETTINGS.label_seconds / 2 + 1e-9


def test_splices_of_unknown_parents_cannot_happen(sets, splits):
    _, folder = sets
    lines = (folder / "train" / "splices.jsonl").read_text(encoding="utf-8").splitlines()
    with pytest.raises(KeyError):
        examples_of_splices([(SplicePlan.from_json(lines[0]), Path("x"))], splits.sets["test"])


# The feature store


@pytest.fixture
def clips(tone_corpus):
    found = find_clips([tone_corpus])[::6]
    return examples_of_clips(found, {clip.name: "" for clip in found})


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded."""
    seen = []

    def read(path, *rest):
        seen.append(path.name)
        return read_audio(path, *rest)

    monkeypatch.setattr(dataset, "read_audio", read)
    return seen


def test_stored_features_are_those_of_the_file(clips, tmp_path):
    ticks = []
    store = extract_features(clips, tmp_path / "f", FEATURES, jobs=2, progress=lambda *t: ticks.append(t))
    assert ticks == [(n, len(clips)) for n in range(1, len(clips) + 1)]
    assert store.failures == {}
    for reopened in (store, extract_features(clips, tmp_path / "f", FEATURES)):
        assert list(reopened.extents) == [clip.name for clip in clips]
        for clip in clips:
            samples = read_audio(clip.path)
            fresh = log_mel(samples, FEATURES)
            assert np.array_equal(reopened.read(clip.name), fresh)
            assert reopened.read(clip.name).dtype == np.float16
            assert reopened.frames(clip.name) == len(fresh)
            extent = reopened.extents[clip.name]
            assert extent.seconds == len(samples) / SAMPLE_RATE
            assert extent.speech_seconds == speech_seconds(samples, SAMPLE_RATE)


def test_parts_are_read_by_offset(clips, tmp_path):
    store = extract_features(clips, tmp_path, FEATURES)
    for clip in clips[1:3]:
        whole = store.read(clip.name)
        assert np.array_equal(store.read(clip.name, 20, 30), whole[20:50])
        assert np.array_equal(store.read(clip.name, len(whole) - 5, 300), whole[-5:])
        assert np.array_equal(store.read(clip.name, 7), whole[7:])
        assert store.read(clip.name, len(whole), 10).shape == (0, FEATURES.mel_bands)


def test_reading_a_part_does_not_hold_the_whole(tmp_path):
    import tracemalloc

    store = FeatureStore(FeatureCache(tmp_path, FEATURES))
    values = (np.arange(100_000) % 1000).astype(np.float16)[:, np.newaxis].repeat(FEATURES.mel_bands, axis=1)
    store.extents["long"] = store.cache.add(b"long", Spectrogram(values, 1000.0, 1000.0))
    tracemalloc.start()
    part = store.read("long", 1000, 50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(part, values[1000:1050])
    assert peak < 500_000


def test_a_broken_file_is_noted_and_the_others_are_kept(clips, tmp_path):
    clips[1].path.write_bytes(b"RIFF not audio")
    clips[2].path.unlink()
    store = extract_features(clips, tmp_path / "f", FEATURES)
    assert list(store.failures) == [clips[1].name, clips[2].name]
    assert str(clips[1].path) in store.failures[clips[1].name]
    assert "does not exist" in store.failures[clips[2].name]
    assert list(store.extents) == [clip.name for clip in clips if clip.name not in store.failures]
    assert np.array_equal(store.read(clips[3].name), log_mel(read_audio(clips[3].path), FEATURES))
    assert extract_features(clips, tmp_path / "f", FEATURES).failures == store.failures


def test_nothing_readable_is_an_error(clips, tmp_path):
    for clip in clips:
        clip.path.write_bytes(b"")
    with pytest.raises(RunError, match=rf"None of the {len(clips)} clips could be read; the first says: .*0 bytes"):
        extract_features(clips, tmp_path / "f", FEATURES)


def test_a_second_run_decodes_nothing(clips, tmp_path, decoded):
    coded = dataclasses.replace(clips[0], name="coded", channel_seed=(1, 2))
    before = extract_features([*clips, coded], tmp_path / "f", FEATURES, jobs=2)
    assert sorted(decoded) == sorted([clip.path.name for clip in clips] + [coded.path.name])
    decoded.clear()
    ticks = []
    after = extract_features([*clips, coded], tmp_path / "f", FEATURES, progress=lambda *t: ticks.append(t))
    assert decoded == [] and after.extents == before.extents
    assert ticks == [(len(clips) + 1, len(clips) + 1)]


def test_only_what_is_new_is_decoded_whatever_it_is_called(clips, tmp_path, decoded):
    extract_features(clips[:2], tmp_path / "f", FEATURES)
    moved = clips[0].path.rename(tmp_path / "another name.flac")
    shutil.copyfile(clips[3].path, clips[1].path)  # another content under a known name
    decoded.clear()
    renamed = [dataclasses.replace(clips[0], name="renamed", path=moved), *clips[1:3]]
    store = extract_features(renamed, tmp_path / "f", FEATURES)
    assert sorted(decoded) == sorted(clip.path.name for clip in clips[1:3])
    for example in renamed:
        assert np.array_equal(store.read(example.name), log_mel(read_audio(example.path), FEATURES))


def test_other_settings_are_other_features_but_what_enters_later_is_not(clips, tmp_path, decoded):
    extract_features(clips, tmp_path / "f", FEATURES)
    decoded.clear()
    extract_features(clips, tmp_path / "f", dataclasses.replace(FEATURES, dynamic_range_db=60.0))
    assert decoded == []
    for change in ({"mel_bands": 40}, {"hop_samples": 200}, {"lowest_hz": 50.0}, {"sample_rate": 22_050}):
        settings = dataclasses.replace(FEATURES, **change)
        store = extract_features(clips[:1], tmp_path / "f", settings)
        fresh = log_mel(read_audio(clips[0].path, settings.sample_rate), settings)
        assert np.array_equal(store.read(clips[0].name), fresh)
    assert len(decoded) == 4


def test_an_interruption_keeps_what_was_finished(clips, tmp_path, decoded):
    def stop(done, wanted):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(clips, tmp_path / "f", FEATURES, progress=stop)
    decoded.clear()
    store = extract_features(clips, tmp_path / "f", FEATURES)
    assert sorted(decoded) == sorted(clip.path.name for clip in clips[3:])
    assert list(store.extents) == [clip.name for clip in clips]


def test_room_is_announced_before_it_is_taken(clips, tmp_path, capsys):
    store = extract_features(clips, tmp_path / "f", FEATURES)
    size = sum(store.frames(clip.name) for clip in clips) * FEATURES.mel_bands * 2
    said = capsys.readouterr().err
    assert f"Features of {len(clips)} new clips: about {size / 1e6:,.0f} MB in {tmp_path / 'f'}, where " in said
    extract_features(clips, tmp_path / "f", FEATURES)
    assert capsys.readouterr().err == ""


def test_a_header_that_promises_years_does_not_stop_the_others(clips, tmp_path, capsys):
    content = bytearray(clips[0].path.read_bytes())
    content[21:26] = bytes([content[21] | 0x0F]) + b"\xff" * 4  # the number of samples in a FLAC header
    clips[0].path.write_bytes(content)
    size = clips[0].path.stat().st_size
    store = extract_features(clips, tmp_path / "f", FEATURES)
    assert {clip.name for clip in clips[1:]} <= set(store.extents)
    megabytes = float(re.search(r"about ([\d,.]+) MB", capsys.readouterr().err)[1].replace(",", ""))
    assert megabytes < len(clips) * size / dataset.LEAST_BYTES_PER_SECOND * 0.016 + 1


def test_what_will_not_fit_is_refused_before_anything_is_decoded(clips, tmp_path, decoded, monkeypatch):
    free = namedtuple("Usage", "free")(1000)
    monkeypatch.setattr(dataset.shutil, "disk_usage", lambda folder: free)
    with pytest.raises(RunError, match=rf"no room for the features of {len(clips)} new clips: about . MB in .*--cache"):
        extract_features(clips, tmp_path / "f", FEATURES)
    assert decoded == []


def test_two_examples_of_one_name_are_refused(clips, tmp_path):
    with pytest.raises(ValueError, match="the same name"):
        extract_features([*clips, dataclasses.replace(clips[0], path=clips[1].path)], tmp_path, FEATURES)


def test_labels_cover_the_stored_frames(clips, tmp_path):
    store = extract_features(clips, tmp_path, FEATURES)
    for clip in clips:
        labels = labels_of(clip, store, Settings())
        per_label = Settings().window.frames_per_label
        assert len(labels) == (store.frames(clip.name) + per_label - 1) // per_label
        assert set(labels.tolist()) == {int(clip.label == "Fake")}
