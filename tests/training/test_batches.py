"""What is drawn for training and validation: how often, with which labels, and the same again for the same epoch."""

import dataclasses
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import tiny

from deepfake_audio.examples.example import UNKNOWN, Example, window_label
from deepfake_audio.examples.features import FeatureStore, labels_of
from deepfake_audio.features.windows import window_starts
from deepfake_audio.settings import CLASS_NAMES
from deepfake_audio.training.batches import (
    CONTROL_SHARE,
    FixedWindows,
    TrainingWindows,
    class_weights,
    cut_boundaries,
    drawing_shares,
    drawing_sizes,
)

SETTINGS = tiny.settings()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("corpus"), SETTINGS)


def test_windows_are_the_same_for_the_same_epoch_and_others_in_the_next(corpus):
    train, _, store = corpus
    noisy = tiny.with_noise(SETTINGS)
    first, again = TrainingWindows(train, store, noisy), TrainingWindows(train, store, noisy)
    for left, right in zip(first[1][:1], again[1][:1], strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(first[1][1]["timeline"], again[1][1]["timeline"])
    again.on_epoch_end()
    assert not np.array_equal(first[1][0], again[1][0])
    np.testing.assert_array_equal(again[1][0], TrainingWindows(train, store, noisy, first_epoch=1)[1][0])
    assert not np.array_equal(first[0][0], first[1][0])
    other_seed = dataclasses.replace(noisy, training=dataclasses.replace(noisy.training, seed=6))
    assert not np.array_equal(first[1][0], TrainingWindows(train, store, other_seed)[1][0])


def test_a_batch_has_inputs_targets_and_weights_of_the_announced_shapes(corpus):
    train, _, store = corpus
    inputs, targets, weights = TrainingWindows(train, store, SETTINGS)[0]
    size, window = SETTINGS.training.batch_size, SETTINGS.window
    assert inputs.shape == (size, window.frames, SETTINGS.features.mel_bands)
    assert targets["verdict"].shape == (size, len(CLASS_NAMES))
    assert targets["timeline"].shape == (size, window.label_frames, 1)
    assert weights["verdict"].shape == (size,) and weights["timeline"].shape == (size, window.label_frames)
    for verdict, timeline in zip(targets["verdict"], targets["timeline"], strict=True):
        assert verdict.sum() == 1
        assert verdict.argmax() == window_label(timeline[:, 0].astype(np.int8), window)


def test_labels_lie_where_the_sound_is(corpus):
    # The high half of the bands is loud exactly where the made-up voice is fake.
    train, _, store = corpus
    inputs, targets, _ = TrainingWindows(train, store, SETTINGS)[0]
    hybrids = targets["verdict"].argmax(axis=1) == CLASS_NAMES.index("Hybrid")
    assert hybrids.sum() >= 2
    tilt = inputs[:, :, -5:].mean(axis=2) - inputs[:, :, :5].mean(axis=2)
    per_label = tilt.reshape(len(tilt), SETTINGS.window.label_frames, -1).mean(axis=2)
    for row, labels in zip(per_label[hybrids], targets["timeline"][hybrids, :, 0], strict=True):
        assert row[labels == 1].mean() > row[labels == 0].mean() + 0.3


def drawn_shares(windows, what, count=4000):
    """Draw windows and return how often each value of an attribute came."""
    rng = np.random.default_rng(0)
    values = Counter(what(windows.draw(rng)[0]) for _ in range(count))
    return {value: times / count for value, times in values.items()}


def examples_from(table):
    """Make examples from rows of (label, source, speaker or generator family, clips)."""
    examples = []
    for label, source, voice, clips in table:
        who = {"speaker": voice} if label == "Real" else {"family": voice}
        for number in range(clips):
            name = f"{source}/{label}/{voice}/{number}"
            examples.append(Example(name, Path(name), label, label.lower(), f"source:{source}", source=source, **who))
    return examples


def test_pages_with_both_classes_are_drawn_half_and_half_and_sources_by_the_root_of_their_size():
    examples = examples_from(
        [
            ("Real", "page", "anna", 4),
            ("Fake", "page", "vits", 36),
            ("Real", "small page", "bert", 1),
            ("Fake", "small page", "vits", 1),
            ("Real", "corpus", "carl", 16),
            ("Fake", "engine", "flite", 9),
            ("Fake", "other engine", "festival", 1),
        ]
    )
    training = dataclasses.replace(SETTINGS.training, splice_share=0.0, page_share=0.7)
    shares = drawing_shares(examples, np.full(len(examples), 3.0), training)
    of = defaultdict(float)
    for example, share in zip(examples, shares, strict=True):
        of[example.source, example.label] += share
    for label in ("Real", "Fake"):
        assert of["page", label] == pytest.approx(0.35 * 2 / 3) and of["small page", label] == pytest.approx(0.35 / 3)
    assert of["corpus", "Real"] == pytest.approx(0.15)
    assert of["engine", "Fake"] == pytest.approx(0.15 * 3 / 4) and of["other engine", "Fake"] == pytest.approx(0.15 / 4)


def test_families_and_speakers_count_within_a_source_by_the_root_of_their_size():
    examples = examples_from(
        [("Real", "a", "anna", 16), ("Real", "a", "bert", 1), ("Fake", "b", "x", 9), ("Fake", "b", "y", 1)]
    )
    shares = drawing_shares(examples, np.full(len(examples), 3.0), SETTINGS.training)
    assert shares[:16].sum() / shares[:17].sum() == pytest.approx(4 / 5)
    assert shares[17:26].sum() / shares[17:].sum() == pytest.approx(3 / 4)
    assert shares[:17].sum() == pytest.approx(shares[17:].sum())


def test_splices_and_their_controls_get_their_share(corpus):
    train, _, store = corpus
    train = [dataclasses.replace(e, kind="real+real") if e.name.endswith("real-0.flac") else e for e in train]
    windows = TrainingWindows(train, store, SETTINGS)
    share = SETTINGS.training.splice_share
    kinds = drawn_shares(windows, lambda example: example.kind)
    assert kinds["hybrid"] / kinds["real+real"] == pytest.approx((1 - 2 * CONTROL_SHARE) / CONTROL_SHARE, rel=0.3)
    assert kinds["hybrid"] + kinds["real+real"] == pytest.approx(share, abs=0.04)
    assert kinds["real"] == pytest.approx((1 - share) / 2, abs=0.04)
    assert kinds["fake"] == pytest.approx((1 - share) / 2, abs=0.04)


def test_a_class_is_drawn_as_often_however_few_clips_it_has(corpus):
    train, _, store = corpus
    few_fakes = [e for e in train if e.kind != "fake"] + [e for e in train if e.kind == "fake"][:1]
    kinds = drawn_shares(TrainingWindows(few_fakes, store, SETTINGS), lambda example: example.kind)
    assert kinds["fake"] == pytest.approx(kinds["real"], abs=0.04)


def test_channels_come_in_slowly(corpus):
    train, _, store = corpus
    copies = [dataclasses.replace(e, name=f"{e.name}#channel-0", channel_seed=(1,)) for e in train]
    both = FeatureStore(store.cache)
    both.extents = dict(store.extents) | {copy.name: store.extents[copy.name.split("#")[0]] for copy in copies}
    slow = dataclasses.replace(SETTINGS, training=dataclasses.replace(SETTINGS.training, ramp_share=1.0, epochs=4))
    windows, seen = TrainingWindows(train + copies, both, slow), []
    for _ in range(4):
        seen.append(drawn_shares(windows, lambda example: bool(example.channel_seed), 2000)[True])
        windows.on_epoch_end()
    assert seen == pytest.approx([0.125, 0.25, 0.375, 0.5], abs=0.04)


def test_long_recordings_count_as_several_clips_but_a_voice_only_up_to_its_limit():
    examples = examples_from([("Real", "a", "anna", 2), ("Real", "a", "", 1), ("Real", "a", "bert", 2)])
    copy = dataclasses.replace(examples[-1], name="copy", channel_seed=(1,))
    seconds = np.array([3000.0, 6000.0, 300.0, 60.0, 1.0, 1.0])
    # In clips of 30 s: 150 minutes of one voice count as 15, those of nobody in particular as they are.
    sizes = drawing_sizes([*examples, copy], seconds, most_minutes=15.0)
    assert sizes == pytest.approx([10.0, 20.0, 10.0, 2.0, 1.0, 1.0])


def test_frames_of_hybrids_with_unknown_spans_teach_the_verdict_only(corpus):
    train, _, store = corpus
    unknown = [dataclasses.replace(e, spans=None) for e in train if e.label == "Hybrid"]
    assert (labels_of(unknown[0], store, SETTINGS) == UNKNOWN).all()
    _, targets, weights = TrainingWindows(unknown, store, SETTINGS)[0]
    assert weights["timeline"].sum() == 0 and weights["verdict"].min() == 1
    assert set(targets["timeline"].ravel()) == {0.0}
    assert (targets["verdict"].argmax(axis=1) == CLASS_NAMES.index("Hybrid")).all()


def test_clips_without_features_are_passed_over(corpus):
    train, validation, store = corpus
    unknown = Example("no such clip", train[0].path, "Real", "real", "g")
    assert unknown not in TrainingWindows([unknown, *train], store, SETTINGS).examples
    windows = FixedWindows([unknown, *validation], store, SETTINGS).windows
    assert "no such clip" not in {name for name, *_ in windows}


def test_validation_windows_are_fixed_complete_and_not_augmented(corpus):
    _, validation, store = corpus
    noisy = tiny.with_noise(SETTINGS)
    windows = FixedWindows(validation, store, noisy)
    wanted = [(e.name, start) for e in validation for start in window_starts(store.frames(e.name), SETTINGS.window)]
    assert [(name, start) for name, start, *_ in windows.windows] == wanted
    first = [windows[i][0] for i in range(len(windows))]
    windows.on_epoch_end()
    second = [windows[i][0] for i in range(len(windows))]
    plain = FixedWindows(validation, store, SETTINGS)
    assert sum(map(len, first)) == len(wanted)
    for index, (one, other) in enumerate(zip(first, second, strict=True)):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, plain[index][0])


def test_class_weights_have_mean_one_and_favour_what_is_rarely_drawn(corpus):
    train, _, store = corpus
    windows = TrainingWindows(train, store, SETTINGS)
    weights = class_weights(windows)
    assert np.mean(weights) == pytest.approx(1.0)
    rng = np.random.default_rng(9)
    drawn = np.bincount([window_label(windows.draw(rng)[2], SETTINGS.window) for _ in range(4000)])
    products = np.array(weights) * drawn
    np.testing.assert_allclose(products, products.mean(), rtol=0.15)


def test_a_class_that_is_never_drawn_takes_no_weight_from_the_others(corpus):
    train, _, store = corpus
    weights = class_weights(TrainingWindows([e for e in train if e.label != "Hybrid"], store, SETTINGS))
    assert weights[CLASS_NAMES.index("Hybrid")] == 0
    assert weights[:2] == pytest.approx([1.5, 1.5], abs=0.1)


def test_a_window_that_repeats_a_short_clip_has_boundaries_where_it_does():
    wanted = SETTINGS.window.label_frames
    length = wanted // 2 - 3
    boundaries = np.zeros(length, dtype=np.int8)
    cut = cut_boundaries(boundaries, 0, SETTINGS)
    repeats = [start for start in (length, 2 * length) if start < wanted]
    expected = sorted({frame for start in repeats for frame in (start - 1, start, start + 1) if frame < wanted})
    assert np.flatnonzero(cut).tolist() == expected
    assert not boundaries.any(), "the labels of the clip itself stay as they were"
    long = np.zeros(2 * wanted, dtype=np.int8)
    long[5] = 1
    assert np.flatnonzero(cut_boundaries(long, 0, SETTINGS)).tolist() == [5]
