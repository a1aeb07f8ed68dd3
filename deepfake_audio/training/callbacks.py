"""What accompanies an epoch: which network is kept, when training ends, and what a resumed run needs.

Keras is imported at the top, so import this module only once the command line has been understood.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..files import atomic_path
from ..model.backend import keras
from .batches import TrainingWindows

MACRO_F1 = "val_verdict_macro_f1"
MONITOR = "val_smoothed_macro_f1"
SMOOTHED_EPOCHS = 5
"""Epochs over which the validation metric is averaged before the best one is chosen: on a few dozen clips by unseen
generators a single epoch can be lucky."""
BEST_NAME = "best.keras"
WRITTEN_NAME = "best.tmp-.keras"
"""What becomes the best network once it is written to its end: Keras writes straight into a file."""
LAST_NAME = "last.keras"
ROLLED_NAME = "rolled-up.keras"
LOG_NAME = "log.csv"
FRESH_BATCHES = 20
"""Training batches from which the statistics of averaged weights are estimated before an epoch is validated."""


class SmoothedMetric(keras.callbacks.Callback):
    """Add ``MONITOR`` to the metrics of an epoch; epochs before the first count as zero."""

    def __init__(self, past: Sequence[dict[str, float]]):
        super().__init__()
        self.values = [row[MACRO_F1] for row in past]

    def on_epoch_end(self, epoch, logs=None):
        self.values.append(logs[MACRO_F1])
        logs[MONITOR] = float(sum(self.values[-SMOOTHED_EPOCHS:]) / SMOOTHED_EPOCHS)


class Diverged(Exception):  # noqa: N818 - says what became of the training
    """The loss is not a number any more."""


class StopOnDivergence(keras.callbacks.Callback):
    """End the training before a network that was spoilt takes the place of a good one."""

    def on_train_batch_end(self, batch, logs=None):
        if not np.isfinite(logs["loss"]):
            raise Diverged

    def on_epoch_end(self, epoch, logs=None):
        # A rectifier makes zero of what is not a number, so that the loss need not show it.
        if not all(np.isfinite(values).all() for values in (logs["val_loss"], *self.model.get_weights())):
            raise Diverged


class KeepState(keras.callbacks.Callback):
    """After every epoch, keep the best network in a folder, if it is a new one, and all that is needed to go on.

    `averages` put the average of the weights and its statistics in their place; training goes on with the weights.
    """

    def __init__(self, folder: Path, averages: Sequence[keras.callbacks.Callback]):
        super().__init__()
        self.folder = folder
        self.averages = averages

    def on_epoch_end(self, epoch, logs=None):
        # The best one first: an epoch whose state is not kept is repeated.
        if (self.folder / WRITTEN_NAME).is_file():
            (self.folder / WRITTEN_NAME).replace(self.folder / BEST_NAME)
        for average in self.averages:
            average.on_epoch_begin(epoch + 1)
        with atomic_path(self.folder / LAST_NAME) as temporary:
            self.model.save(temporary)


class SeededEpochs(keras.callbacks.Callback):
    """Give every epoch its own dropout masks: Keras does not keep the random states of layers in a file."""

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        kept = {id(variable) for variable in self.model.weights}
        rng = np.random.default_rng([self.seed, epoch])
        for variable in self.model.variables:
            if id(variable) not in kept:
                variable.assign(rng.integers(2**31, size=variable.shape))


class ResumableEarlyStopping(keras.callbacks.EarlyStopping):
    """Early stopping that remembers the epochs before an interruption."""

    def __init__(self, past: Sequence[dict[str, float]], **options):
        super().__init__(**options)
        self.past = past

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        for epoch, row in enumerate(self.past):
            self.on_epoch_end(epoch, row)

    def is_over(self) -> bool:
        """Whether the past alone ends the training; Keras would still run one batch and log it as an epoch."""
        values = [row[self.monitor] for row in self.past]
        return len(values) > 1 and len(values) - 1 - values.index(max(values)) >= self.patience


def refresh_statistics(network, windows: TrainingWindows, batches: int) -> None:
    """Estimate the batch statistics of a network anew: those that training gathers belong to the weights of each step.

    The plain mean over batches, without dropout; averaged weights answer far worse with any other.
    """
    normalising = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    # All of them come before the recurrence, which is most of the work.
    front = keras.Model(network.input, [layer.output for layer in normalising])
    with _held(normalising, "momentum"), _held(network.layers, "rate"):
        for layer in network.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
        for number in range(batches):
            for layer in normalising:
                layer.momentum = number / (number + 1)
            front(windows[number % len(windows)][0], training=True)


@contextlib.contextmanager
def _held(layers: Sequence, name: str) -> Iterator[None]:
    """Let the block change an attribute of the layers that have it."""
    values = [(layer, getattr(layer, name)) for layer in layers if hasattr(layer, name)]
    try:
        yield
    finally:
        for layer, value in values:
            setattr(layer, name, value)


class FreshStatistics(keras.callbacks.Callback):
    """Give averaged weights batch statistics of their own while they are validated and kept.

    Behind :class:`keras.callbacks.SwapEMAWeights`, which puts the average in place at the same moments.
    """

    def __init__(self, windows: TrainingWindows):
        super().__init__()
        self.windows = windows
        self._others, self._fresh = [], False

    def _swap(self) -> None:
        variables = self.model.non_trainable_weights
        mine = [variable.numpy() for variable in variables]
        for variable, value in zip(variables, self._others, strict=True):
            variable.assign(value)
        self._others, self._fresh = mine, not self._fresh

    def on_test_begin(self, logs=None):
        self._others, self._fresh = [variable.numpy() for variable in self.model.non_trainable_weights], True
        refresh_statistics(self.model, self.windows, FRESH_BATCHES)

    def on_test_end(self, logs=None):
        self._swap()

    def on_epoch_end(self, epoch, logs=None):
        self._swap()

    def on_epoch_begin(self, epoch, logs=None):
        if self._fresh:
            self._swap()
