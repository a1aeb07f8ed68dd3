"""The fit of a network: an interrupted run goes on from its last finished epoch.

Keras is imported at the top, so import this module only once the command line has been understood.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ..console import say
from ..errors import RunError
from ..examples.example import Example
from ..examples.features import FeatureStore
from ..files import atomic_path
from ..model.backend import keras
from ..model.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from ..model.export import try_export
from ..model.network import BOUNDARIES, TIMELINE, VERDICT, build_network
from ..settings import Settings, to_dict
from .batches import FixedWindows, TrainingWindows, class_weights
from .calibrate import fit_decision, scan_examples
from .callbacks import (
    BEST_NAME,
    LAST_NAME,
    LOG_NAME,
    MONITOR,
    ROLLED_NAME,
    WRITTEN_NAME,
    Diverged,
    FreshStatistics,
    KeepState,
    ResumableEarlyStopping,
    SeededEpochs,
    SmoothedMetric,
    StopOnDivergence,
    refresh_statistics,
)

SETTINGS_NAME = "settings.json"
KEPT_BATCHES = 100
"""Training batches from which the statistics of averaged weights are estimated before they are shipped."""


def compile_network(network, settings: Settings, alpha: Sequence[float], steps: int) -> None:
    """Attach focal loss, Adam with its learning-rate schedule, and metrics; `steps` is the whole run's."""
    training = settings.training
    warm_up = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=training.learning_rate / 10,
        decay_steps=max(1, steps - warm_up),
        alpha=0.1,  # of warmup_target: the last steps are small, not idle
        warmup_target=training.learning_rate,
        warmup_steps=warm_up,
    )
    network.compile(
        optimizer=keras.optimizers.Adam(
            schedule,
            weight_decay=training.weight_decay or None,
            clipnorm=1.0,
            use_ema=training.weight_averaging > 0,
            ema_momentum=training.weight_averaging,
        ),
        loss={
            VERDICT: keras.losses.CategoricalFocalCrossentropy(
                alpha=list(alpha), gamma=training.focal_gamma, label_smoothing=training.label_smoothing
            ),
            TIMELINE: keras.losses.BinaryCrossentropy(),
            BOUNDARIES: keras.losses.BinaryCrossentropy(),
        },
        loss_weights={
            VERDICT: 1.0,
            TIMELINE: training.frame_loss_weight,
            BOUNDARIES: training.boundary_loss_weight,
        },
        metrics={
            VERDICT: [
                keras.metrics.CategoricalAccuracy(name="accuracy"),
                keras.metrics.F1Score(average="macro", name="macro_f1"),
            ]
        },
        jit_compile=False,  # many times slower for convolutions on a CPU
    )


@dataclasses.dataclass(frozen=True)
class Fit:
    """What :func:`fit` leaves behind."""

    best: Path
    log: Path
    epochs: int
    parameters: int


def fit(
    train: Sequence[Example],
    validation: Sequence[Example],
    store: FeatureStore,
    settings: Settings,
    folder: Path,
    verbose: int | None = None,
    init_from: Path | None = None,
) -> Fit:
    """Train the network, or go on with the training that `folder` holds.

    Parameters
    ----------
    train, validation, store
        The two sets that training may see, and their spectrograms.
    folder : Path
        Where the best network, the last state and the log are kept.
    verbose : int, optional
        As in Keras; by default a progress bar where stderr is a terminal, otherwise a line per epoch.
    init_from : Path, optional
        Checkpoint whose weights the network starts with.

    Raises
    ------
    RunError
        If a set holds nothing that can be read, if the weights of `init_from` are of another network, or if the loss
        was never a number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WRITTEN_NAME).unlink(missing_ok=True)  # of an epoch that did not come to its end
    best, log = folder / BEST_NAME, folder / LOG_NAME
    keras.utils.set_random_seed(settings.training.seed)

    windows = TrainingWindows(train, store, settings)
    held_out = FixedWindows(validation, store, settings)
    if not windows.examples or not held_out.windows:
        raise RunError("No training clip, or no validation clip, could be read; see the warnings above.")
    network, past = _first_or_last(windows, settings, folder, init_from)
    windows.epoch = len(past)
    stopping = ResumableEarlyStopping(past, monitor=MONITOR, mode="max", patience=settings.training.patience_epochs)
    if len(past) < settings.training.epochs and not stopping.is_over():
        callbacks = _callbacks(windows, folder, past, stopping)
        _make_variables(network, windows)
        try:
            # Keras prints to stdout, which is kept for results.
            with contextlib.redirect_stdout(sys.stderr):
                network.fit(
                    windows,
                    validation_data=held_out,
                    epochs=settings.training.epochs,
                    initial_epoch=len(past),
                    callbacks=callbacks,
                    verbose=(1 if sys.stderr.isatty() else 2) if verbose is None else verbose,
                    shuffle=False,
                )
        except Diverged:
            next(each for each in callbacks if isinstance(each, keras.callbacks.CSVLogger)).on_train_end()
            epoch = len(_read_log(log)) + 1
            say(
                f"warning: the loss was not a number any more in epoch {epoch}: training ends with the best one "
                "before; try a smaller --batch-size, or check the data with --check-data."
            )
    if not best.is_file():
        raise RunError(
            "Training produced no usable network (loss was not a number from the first epoch on); "
            "try a smaller --batch-size, or check the data with --check-data."
        )
    return Fit(best, log, len(_read_log(log)), network.count_params())


def _first_or_last(windows: TrainingWindows, settings: Settings, folder: Path, init_from: Path | None):
    """Return the network to go on with, and the log of the epochs that it has behind it."""
    last, log = folder / LAST_NAME, folder / LOG_NAME
    if last.is_file():
        network = keras.models.load_model(last)
        return network, _truncate_log(log, int(network.optimizer.iterations.numpy()) // len(windows))
    network = build_network(settings.network, settings.window, settings.features, unroll=True)
    if init_from is not None:
        try:
            network.set_weights(read_checkpoint(init_from).network().get_weights())
        except ValueError as error:
            raise RunError(f"{init_from} holds weights of another network; train without --init-from.") from error
    compile_network(network, settings, class_weights(windows), len(windows) * settings.training.epochs)
    log.unlink(missing_ok=True)
    return network, []


def _make_variables(network, windows: TrainingWindows) -> None:
    """Let optimizer, losses and metrics make what they keep: TensorFlow writes a graph that does so a second time."""
    inputs, truth, weights = windows[0]
    told = network(inputs)
    network.optimizer.build(network.trainable_variables)
    network.compute_loss(inputs, truth, told, weights)
    network.compute_metrics(inputs, truth, told, weights)
    network.reset_metrics()


def _callbacks(windows: TrainingWindows, folder: Path, past: list[dict[str, float]], stopping: ResumableEarlyStopping):
    """Return what accompanies an epoch; each relies on those before it."""
    training = windows.settings.training
    averages = []
    if training.weight_averaging:
        averages = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True), FreshStatistics(windows)]
    return [
        StopOnDivergence(),  # first: nothing of such an epoch is kept
        SeededEpochs(training.seed),
        SmoothedMetric(past),
        *averages,
        # The best on validation is what ships; the test set is never looked at here.
        keras.callbacks.ModelCheckpoint(
            folder / WRITTEN_NAME,
            monitor=MONITOR,
            mode="max",
            save_best_only=True,
            initial_value_threshold=max((row[MONITOR] for row in past), default=None),
        ),
        keras.callbacks.CSVLogger(folder / LOG_NAME, append=True),
        stopping,
        # Last: once this file stands, the epoch is over in all others.
        KeepState(folder, averages),
    ]


def _read_log(log: Path) -> list[dict[str, float]]:
    if not log.is_file():
        return []
    with log.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def _truncate_log(log: Path, epochs: int) -> list[dict[str, float]]:
    """Forget rows of an epoch that was logged but whose state was not kept any more."""
    # Keras ends lines with \r\n, which Windows makes two line ends of; the rows that follow will be like that, too.
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    with atomic_path(log) as temporary:
        temporary.write_text("".join(f"{line}\r\n" for line in lines[: epochs + 1]), encoding="utf-8")
    return _read_log(log)


def rolled_up(best: Path, settings: Settings):
    """Return the network that :func:`fit` trained unrolled, step by step, as loops again: the same, fast to load."""
    network = build_network(settings.network, settings.window, settings.features)
    network.set_weights(keras.models.load_model(best, compile=False).get_weights())
    return network


def finish(
    fitted: Fit,
    examples: dict[str, Sequence[Example]],
    store: FeatureStore,
    settings: Settings,
    path: Path,
    manifest: str,
    init_from: Path | None = None,
) -> Checkpoint:
    """Fit the decision on the validation set; write the checkpoint, ONNX included, and its settings beside it.

    Parameters
    ----------
    fitted : Fit
        What :func:`fit` returned.
    examples, store
        All sets, of which only ``train`` and ``validation`` are used, and their spectrograms.
    path : Path
        Checkpoint to write.
    manifest : str
        Fingerprint of the training manifest.
    init_from : Path, optional
        Checkpoint that the training started from: what it has seen, this one has seen too.
    """
    network = rolled_up(fitted.best, settings)
    if settings.training.weight_averaging:
        windows = TrainingWindows(examples["train"], store, settings, first_epoch=settings.training.epochs)
        refresh_statistics(network, windows, KEPT_BATCHES)
    file = fitted.best.with_name(ROLLED_NAME)
    with atomic_path(file) as temporary:
        network.save(temporary)
    scans = list(scan_examples(examples["validation"], store, settings, network.predict_on_batch))
    settings = dataclasses.replace(settings, decision=fit_decision(scans, settings))
    used = [
        example for split in ("train", "validation") for example in examples[split] if example.name in store.extents
    ]
    own = [e.path for e in used if e.kind in ("real", "fake", "hybrid") and not e.channel_seed]
    seen = [content for content in store.cache.contents(own) if content]
    if init_from is not None:
        seen += read_checkpoint(init_from).seen()
    trained = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    checkpoint = save_checkpoint(path, file, settings, trained, manifest, seen)
    with atomic_path(path.with_name(SETTINGS_NAME)) as temporary:
        temporary.write_text(json.dumps(to_dict(settings), indent=1) + "\n", encoding="utf-8")
    try_export(checkpoint)
    return checkpoint
