"""Training: what is learned, what is kept, and that an interruption changes nothing."""

import csv
import dataclasses
import errno
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny

from deepfake_audio.errors import RunError
from deepfake_audio.examples.example import Example
from deepfake_audio.files import file_sha256
from deepfake_audio.model.checkpoint import read_checkpoint
from deepfake_audio.model.engines import load_engine
from deepfake_audio.training import fit as training
from deepfake_audio.training.batches import FixedWindows, TrainingWindows
from deepfake_audio.training.callbacks import FRESH_BATCHES
from deepfake_audio.training.fit import ResumableEarlyStopping, fit

SETTINGS = tiny.settings()

pytestmark = pytest.mark.usefixtures("forget_graphs")


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


# Loss


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
    assert load_engine(checkpoint).name == "onnx"  # it was written, and fits
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


def test_an_interrupted_run_ends_like_an_undisturbed_one_and_stdout_stays_free(
    corpus, undisturbed, interrupt_after, tmp_path, monkeypatch, capsys
):
    train, validation, store = corpus
    interrupt_after(1, kept=False)  # the second epoch is in the log, but its state was not written any more
    with pytest.raises(KeyboardInterrupt):
        fit(train, validation, store, NOISY, tmp_path, verbose=2)
    before = read_log(tmp_path / training.LOG_NAME)
    assert len(before) == 2
    assert_same_log(before, read_log(undisturbed.log)[:2])
    monkeypatch.undo()
    keras.utils.set_random_seed(99)  # another process starts with other random states
    resumed = fit(train, validation, store, NOISY, tmp_path, verbose=2)
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("val_verdict_macro_f1") == 4, "each epoch is told once"
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


def test_averaging_changes_what_is_judged_but_not_the_steps(corpus, undisturbed, tmp_path):
    train, validation, store = corpus
    plain = dataclasses.replace(NOISY, training=dataclasses.replace(NOISY.training, weight_averaging=0.0))
    logs = [read_log(fit(train, validation, store, plain, tmp_path, verbose=0).log), read_log(undisturbed.log)]
    steps, judged = (
        [[row[name] for row in log for name in row if name.startswith("val_") == wanted] for log in logs]
        for wanted in (False, True)
    )
    assert steps[0] == pytest.approx(steps[1], abs=1e-5)
    assert judged[0] != pytest.approx(judged[1], abs=1e-3)


def first_normalisation(network):
    """Return what comes into the first batch normalisation of a network, as a network, and what it takes for usual."""
    into = network.get_layer("convolution_1").output
    layer = next(each for each in network.layers[1:] if each.input is into)
    return keras.Model(network.input, into), layer.moving_mean.numpy()


def test_statistics_that_are_kept_belong_to_the_averaged_weights(corpus, tmp_path, monkeypatch):
    train, validation, store = corpus
    some = tiny.settings(epochs=1, weight_averaging=0.9, learning_rate=0.1)
    fitted = fit(train, validation, store, some, tmp_path, verbose=0)
    front, kept = first_normalisation(keras.models.load_model(fitted.best, compile=False))

    def plain_mean(epoch, batches):
        windows = TrainingWindows(train, store, some, epoch)
        found = [front(windows[i % len(windows)][0]).numpy().mean(axis=(0, 1, 2)) for i in range(batches)]
        return pytest.approx(np.mean(found, axis=0), abs=1e-5)

    # Keras says more often than once that an epoch has ended.
    assert any(kept == plain_mean(epoch, FRESH_BATCHES) for epoch in range(4)), "through the weights that are kept"
    _, gathered = first_normalisation(keras.models.load_model(tmp_path / training.LAST_NAME, compile=False))
    assert np.abs(kept - gathered).max() > 1e-3, "training goes on with those of its own weights"

    # What ships has seen more of them.
    monkeypatch.setattr(training, "KEPT_BATCHES", FRESH_BATCHES + 3)
    sets = {"train": train, "validation": validation}
    shipped = training.finish(fitted, sets, store, some, tmp_path / "model.keras", "manifest")
    assert first_normalisation(shipped.network())[1] == plain_mean(some.training.epochs, FRESH_BATCHES + 3)


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
    base = tiny.save_untrained(tmp_path / "base.keras", tiny.settings(seed=77), ["12" * 32])
    still = tiny.settings(epochs=1, learning_rate=1e-12)
    done = fit(train, validation, store, still, tmp_path / "on", verbose=0, init_from=base.path)
    kept = keras.models.load_model(done.best, compile=False).trainable_weights
    for ours, theirs in zip(kept, base.network().trainable_weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-4)
    fresh = fit(train, validation, store, still, tmp_path / "fresh", verbose=0)
    first = keras.models.load_model(fresh.best, compile=False).trainable_weights[0].numpy()
    assert np.abs(first - kept[0].numpy()).max() > 0.01
    # What the first training has seen, the second has seen, too.
    sets = {"train": train, "validation": validation}
    made = training.finish(done, sets, store, still, tmp_path / "model.keras", "manifest", base.path)
    assert base.seen() < made.seen() and len(made.seen()) > len(train)


def test_weights_of_another_network_are_refused(corpus, tmp_path):
    train, validation, store = corpus
    some = tiny.settings()
    wide = dataclasses.replace(some, network=dataclasses.replace(some.network, rnn_units=16))
    base = tiny.save_untrained(tmp_path / "base.keras", wide)
    with pytest.raises(RunError, match="weights of another network"):
        fit(train, validation, store, some, tmp_path / "on", verbose=0, init_from=base.path)
