"""Training: what is drawn, what is learned, and that an interruption changes nothing."""

import csv
import dataclasses
import errno
from collections import Counter, defaultdict
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny

from deepfake_audio.errors import RunError
from deepfake_audio.examples.example import UNKNOWN, Example, FeatureStore, labels_of, window_label
from deepfake_audio.features.windows import window_starts
from deepfake_audio.files import file_sha256
from deepfake_audio.model.checkpoint import read_checkpoint
from deepfake_audio.model.engines import load_engine
from deepfake_audio.settings import CLASS_NAMES
from deepfake_audio.training import fit as training
from deepfake_audio.training.fit import (
    CONTROL_SHARE,
    FixedWindows,
    ResumableEarlyStopping,
    TrainingWindows,
    class_weights,
    drawing_shares,
    drawing_sizes,
    fit,
)

SETTINGS = tiny.settings()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("corpus"), SETTINGS)


def read_log(path):
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def assert_same_log(first, second):
    assert [row["epoch"] for row in first] == [row["epoch"] for row in second]
    for one, other in zip(first, second, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def assert_same_weights(first, second):
    one, other = (keras.models.load_model(path, compile=False).get_weights() for path in (first, second))
    for left, right in zip(one, other, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


# Windows


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


# Loss and weights


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


def test_loss_is_focal_crossentropy_with_one_alpha_per_class():
    network = training.build_network(SETTINGS.network, SETTINGS.window, SETTINGS.features)
    training.compile_network(network, SETTINGS, [0.5, 1.0, 1.5], steps=100)
    loss = network.loss["verdict"]
    assert type(loss) is keras.losses.CategoricalFocalCrossentropy
    assert list(loss.alpha) == [0.5, 1.0, 1.5]
    assert loss.gamma == SETTINGS.training.focal_gamma
    truth, told = np.eye(3, dtype=np.float32), np.full((3, 3), [0.6, 0.3, 0.1], dtype=np.float32)
    by_hand = [
        -alpha * (1 - p) ** loss.gamma * np.log(p) for alpha, p in zip([0.5, 1.0, 1.5], [0.6, 0.3, 0.1], strict=True)
    ]
    assert float(loss(truth, told)) == pytest.approx(np.mean(by_hand), rel=1e-4)


def test_learning_rate_warms_up_and_decays():
    network = training.build_network(SETTINGS.network, SETTINGS.window, SETTINGS.features)
    training.compile_network(network, SETTINGS, [1.0, 1.0, 1.0], steps=100)
    schedule = keras.optimizers.schedules.deserialize(network.optimizer.get_config()["learning_rate"])
    rates = [float(schedule(step)) for step in range(101)]
    assert max(rates) == pytest.approx(SETTINGS.training.learning_rate)
    assert rates[0] == pytest.approx(0.1 * max(rates)) and rates.index(max(rates)) in (4, 5, 6)
    assert rates[-1] == pytest.approx(0.1 * max(rates))


# Fit


def test_a_handful_of_clips_is_learned_by_heart(corpus, tmp_path):
    train, validation, store = corpus
    some = tiny.settings(epochs=24)
    fitted = fit(train, validation, store, some, tmp_path, verbose=0)
    rows = read_log(fitted.log)
    assert max(row["verdict_accuracy"] for row in rows) > 0.9
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert max(row[training.MONITOR] for row in rows) > 0.9

    # What ships is the best epoch on validation.
    held_out = FixedWindows(validation, store, some)
    network = keras.models.load_model(fitted.best, compile=False)
    told = np.concatenate([network.predict_on_batch(held_out[i][0])["verdict"] for i in range(len(held_out))])
    truth = np.concatenate([held_out[i][1]["verdict"] for i in range(len(held_out))])
    f1 = keras.metrics.F1Score(average="macro")
    f1.update_state(truth, told)
    assert float(f1.result()) == pytest.approx(max(row[training.MONITOR] for row in rows), abs=1e-5)
    assert fitted.epochs == len(rows) and fitted.parameters == network.count_params()

    # The test set is not there at all, neither as files nor as features: nothing may ask for it.
    gone = Example("2/gone.flac", tmp_path / "gone.flac", "Real", "real", "g")
    sets = {"train": train, "validation": validation, "test": [gone]}
    checkpoint = training.finish(fitted, sets, store, some, tmp_path / "model.keras", "fingerprint")
    assert load_engine(checkpoint).name == "onnx"  # the twin was written, and fits
    assert checkpoint == read_checkpoint(tmp_path / "model.keras")
    assert checkpoint.manifest == "fingerprint" and checkpoint.seed == some.training.seed
    assert checkpoint.seen() == {file_sha256(e.path)[:12] for e in train + validation}
    decision = checkpoint.settings.decision
    assert decision != some.decision and 0 < decision.fake_threshold < 1
    assert dataclasses.replace(checkpoint.settings, decision=some.decision) == some


NOISY = tiny.with_noise(tiny.settings(epochs=4, weight_averaging=0.9))
"""Dropout and augmentation draw from random states, which an interruption must not lose, nor the average weights."""


@pytest.fixture(scope="module")
def undisturbed(corpus, tmp_path_factory):
    train, validation, store = corpus
    return fit(train, validation, store, NOISY, tmp_path_factory.mktemp("undisturbed"), verbose=0)


def test_the_same_seed_gives_the_same_log_and_stdout_stays_free(corpus, undisturbed, tmp_path, capsys):
    train, validation, store = corpus
    again = fit(train, validation, store, NOISY, tmp_path, verbose=2)
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("val_verdict_macro_f1") == 4
    assert [row["epoch"] for row in read_log(again.log)] == [0, 1, 2, 3]
    assert_same_log(read_log(again.log), read_log(undisturbed.log))
    assert_same_weights(again.best, undisturbed.best)


def test_a_log_that_is_cut_keeps_the_line_ends_of_keras(tmp_path):
    log, logger = tmp_path / "log.csv", keras.callbacks.CSVLogger(tmp_path / "log.csv")
    logger.set_model(keras.Sequential())
    logger.on_train_begin()
    before = []
    for epoch in range(3):
        logger.on_epoch_end(epoch, {"loss": 0.5, "val_loss": 0.6})
        before.append(log.read_bytes())
    logger.on_train_end()
    assert [row["epoch"] for row in training._truncate_log(log, 2)] == [0, 1]
    assert log.read_bytes() == before[1]


@pytest.fixture
def interrupt_after(monkeypatch):
    """Return a function that makes the next fit end as by Ctrl-C once an epoch is over."""
    real = training.KeepState

    def arrange(epoch, kept):
        class Interrupting(real):
            def on_epoch_end(self, number, logs=None):
                if number < epoch or kept:
                    super().on_epoch_end(number, logs)
                if number == epoch:
                    raise KeyboardInterrupt

        monkeypatch.setattr(training, "KeepState", Interrupting)

    yield arrange
    monkeypatch.setattr(training, "KeepState", real)


def test_an_interrupted_run_ends_like_an_undisturbed_one(corpus, undisturbed, interrupt_after, tmp_path, monkeypatch):
    train, validation, store = corpus
    interrupt_after(1, kept=False)  # the second epoch is in the log, but its state was not written any more
    with pytest.raises(KeyboardInterrupt):
        fit(train, validation, store, NOISY, tmp_path, verbose=0)
    assert len(read_log(tmp_path / training.LOG_NAME)) == 2
    monkeypatch.undo()
    keras.utils.set_random_seed(99)  # another process starts with other random states
    resumed = fit(train, validation, store, NOISY, tmp_path, verbose=0)
    assert [row["epoch"] for row in read_log(resumed.log)] == [0, 1, 2, 3]
    assert_same_log(read_log(resumed.log), read_log(undisturbed.log))
    assert_same_weights(resumed.best, undisturbed.best)
    assert_same_weights(tmp_path / training.LAST_NAME, undisturbed.best.with_name(training.LAST_NAME))
    assert not list(tmp_path.glob("*.tmp-*"))


def test_a_disk_that_fills_up_under_a_better_network_keeps_the_best_one(corpus, undisturbed, tmp_path, monkeypatch):
    train, validation, store = corpus
    save = keras.Model.save

    def cut_off(network, path, **options):
        save(network, path, **options)
        if (tmp_path / training.LAST_NAME).is_file():
            Path(path).write_bytes(Path(path).read_bytes()[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", cut_off)
    with pytest.raises(OSError, match="No space left"):
        fit(train, validation, store, NOISY, tmp_path, verbose=0)
    monkeypatch.undo()
    keras.models.load_model(tmp_path / training.BEST_NAME)
    resumed = fit(train, validation, store, NOISY, tmp_path, verbose=0)
    assert_same_log(read_log(resumed.log), read_log(undisturbed.log))
    assert_same_weights(resumed.best, undisturbed.best)
    assert not list(tmp_path.glob("*.tmp-*"))


def test_averaging_changes_what_is_judged_but_not_the_steps(corpus, tmp_path):
    train, validation, store = corpus
    logs = []
    for momentum in (0.0, 0.9):
        some = tiny.settings(epochs=3, weight_averaging=momentum)
        fitted = fit(train, validation, store, some, tmp_path / str(momentum), verbose=0)
        logs.append(read_log(fitted.log))
    steps, judged = (
        [[row[name] for row in log for name in row if name.startswith("val_") == wanted] for log in logs]
        for wanted in (False, True)
    )
    assert steps[0] == pytest.approx(steps[1], abs=1e-5)
    assert judged[0] != pytest.approx(judged[1], abs=1e-3)


def test_a_finished_fit_is_not_trained_again(corpus, undisturbed):
    train, validation, store = corpus
    before = read_log(undisturbed.log), file_sha256(undisturbed.best)
    again = fit(train, validation, store, NOISY, undisturbed.log.parent, verbose=0)
    assert again == undisturbed
    assert before == (read_log(undisturbed.log), file_sha256(undisturbed.best))


def test_early_stopping_counts_the_epochs_before_an_interruption(corpus, interrupt_after, tmp_path, monkeypatch):
    train, validation, store = corpus
    some = tiny.settings(epochs=9, patience_epochs=2)
    interrupt_after(1, kept=True)
    with pytest.raises(KeyboardInterrupt):
        fit(train, validation, store, some, tmp_path, verbose=0)
    monkeypatch.undo()
    # A first epoch that nothing can surpass: the second was in vain already, the third ends the run.
    log = tmp_path / training.LOG_NAME
    rows = list(csv.reader(log.read_text(encoding="utf-8").splitlines()))
    column = rows[0].index(training.MONITOR)
    rows[1][column] = rows[2][column] = "1.0"
    log.write_text("\n".join(map(",".join, rows)) + "\n", encoding="utf-8")
    best = file_sha256(tmp_path / training.BEST_NAME)
    assert fit(train, validation, store, some, tmp_path, verbose=0).epochs == 3
    assert file_sha256(tmp_path / training.BEST_NAME) == best, "a worse epoch must not replace the best"
    # Resumed once more, after early stopping had ended it: nothing is left to do.
    assert fit(train, validation, store, some, tmp_path, verbose=0).epochs == 3


@pytest.mark.parametrize(
    ("values", "over"), [([0.5], False), ([0.5, 0.4], False), ([0.5, 0.4, 0.5], True), ([0.1, 0.2, 0.1], False)]
)
def test_early_stopping_is_over_when_patience_is_used_up(values, over):
    past = [{training.MONITOR: value} for value in values]
    stopping = ResumableEarlyStopping(past, monitor=training.MONITOR, mode="max", patience=2)
    assert stopping.is_over() is over
    stopping.set_model(keras.Sequential())
    stopping.model.stop_training = False
    stopping.on_train_begin()
    assert stopping.model.stop_training is over, "Keras' own count agrees"


def test_a_set_without_a_readable_clip_is_an_error(corpus, tmp_path):
    train, validation, store = corpus
    gone = [dataclasses.replace(train[0], name="gone")]
    for sets in ((gone, validation), (train, gone)):
        with pytest.raises(RunError, match="could be read"):
            fit(*sets, store, SETTINGS, tmp_path, verbose=0)


def test_training_without_a_usable_network_says_so(corpus, tmp_path, monkeypatch):
    train, validation, store = corpus
    monkeypatch.setattr(training.keras.Model, "fit", lambda *_, **__: None)
    with pytest.raises(RunError, match="no usable network"):
        fit(train, validation, store, SETTINGS, tmp_path, verbose=0)


def test_training_goes_on_from_the_weights_of_a_checkpoint(corpus, tmp_path):
    train, validation, store = corpus
    base = tiny.save_untrained(tmp_path / "base.keras", tiny.settings(seed=77))
    still = tiny.settings(epochs=1, learning_rate=1e-12)
    done = fit(train, validation, store, still, tmp_path / "on", verbose=0, init_from=base.path)
    kept = keras.models.load_model(done.best, compile=False).trainable_weights
    for ours, theirs in zip(kept, base.network().trainable_weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-4)
    fresh = fit(train, validation, store, still, tmp_path / "fresh", verbose=0)
    first = keras.models.load_model(fresh.best, compile=False).trainable_weights[0].numpy()
    assert np.abs(first - kept[0].numpy()).max() > 0.01


def test_weights_of_another_network_are_refused(corpus, tmp_path):
    train, validation, store = corpus
    some = tiny.settings()
    wide = dataclasses.replace(some, network=dataclasses.replace(some.network, rnn_units=16))
    base = tiny.save_untrained(tmp_path / "base.keras", wide)
    with pytest.raises(RunError, match="weights of another network"):
        fit(train, validation, store, some, tmp_path / "on", verbose=0, init_from=base.path)


def test_what_the_first_training_heard_the_second_has_heard_too(corpus, tmp_path):
    train, validation, store = corpus
    some = tiny.settings(epochs=1)
    base = tiny.save_untrained(tmp_path / "base.keras", some, ["12" * 32])
    done = fit(train, validation, store, some, tmp_path / "on", verbose=0, init_from=base.path)
    sets = {"train": train, "validation": validation}
    made = training.finish(done, sets, store, some, tmp_path / "model.keras", "manifest", base.path)
    assert base.seen() < made.seen() and len(made.seen()) > len(train)


def test_a_window_that_repeats_a_short_clip_has_boundaries_where_it_does():
    wanted = SETTINGS.window.label_frames
    length = wanted // 2 - 3
    boundaries = np.zeros(length, dtype=np.int8)
    cut = training.cut_boundaries(boundaries, 0, SETTINGS)
    boundaries = [boundary for boundary in (length, 2 * length) if boundary < wanted]
    expected = sorted({f for boundary in boundaries for f in (boundary - 1, boundary, boundary + 1) if f < wanted})
    assert np.flatnonzero(cut).tolist() == expected
    assert not boundaries.any(), "the labels of the clip itself stay as they were"
    long = np.zeros(2 * wanted, dtype=np.int8)
    long[5] = 1
    assert np.flatnonzero(training.cut_boundaries(long, 0, SETTINGS)).tolist() == [5]
