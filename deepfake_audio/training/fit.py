"""Batches, callbacks, fit: an interrupted run goes on from its last finished epoch.

Keras is imported at the top, so import this module only once the command line has been understood.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..console import say
from ..corpus.split import LONG_SECONDS
from ..errors import RunError
from ..examples.channels import augment_window
from ..examples.example import BOUNDARY_REACH, UNKNOWN, Example, FeatureStore, boundaries_of, labels_of, window_label
from ..features.windows import cut_window, normalise_window, window_starts
from ..files import atomic_path
from ..model.backend import keras
from ..model.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from ..model.export import try_export
from ..model.network import BOUNDARIES, TIMELINE, VERDICT, build_network
from ..settings import CLASS_NAMES, Settings, TrainingSettings
from .calibrate import fit_decision, scan_examples

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

BOUNDARY_WEIGHT = 8.0
"""Weight of a frame at a boundary in the loss, against one elsewhere: there are few."""

CONTROL_SHARE = 0.2
"""Share of the windows of splices that come from real+real, and from fake+fake."""


class TrainingWindows(keras.utils.PyDataset):
    """Random windows, drawn even-handedly: see :func:`drawing_shares`.

    Every epoch has its own seed: the same run, interrupted or not, sees the same windows.

    Parameters
    ----------
    examples : sequence of Example
        Training set.
    store : FeatureStore
        Their spectrograms.
    settings : Settings
        Of the run.
    first_epoch : int
        Epoch that the first pass is.
    """

    def __init__(self, examples: Sequence[Example], store: FeatureStore, settings: Settings, first_epoch: int = 0):
        super().__init__()
        self.store = store
        self.settings = settings
        self.epoch = first_epoch
        self.examples = [example for example in examples if example.name in store.extents]
        self.labels = {example.name: labels_of(example, store, settings) for example in self.examples}
        self.boundaries = {example.name: boundaries_of(example, store, settings) for example in self.examples}
        clean = {example.name: example for example in self.examples if not example.channel_seed}
        self.originals = [clean.get(example.name.split("#")[0], example) for example in self.examples]
        lengths = np.array([store.extents[example.name].seconds for example in self.examples])
        self.edges = np.cumsum(drawing_shares(self.examples, lengths, settings.training))
        windows = max(settings.training.windows_per_epoch, len(clean) // 2)
        self.batches = max(1, round(windows / settings.training.batch_size))

    def __len__(self) -> int:
        return self.batches

    def on_epoch_end(self):
        """Move on to the next epoch's seed."""
        self.epoch += 1

    @property
    def ramp(self) -> float:
        """How much of the channels is heard, 0 to 1: learning starts with clean speech."""
        rising = self.settings.training.ramp_share * self.settings.training.epochs
        return min(1.0, (self.epoch + 1) / rising) if rising else 1.0

    def draw(self, rng: np.random.Generator) -> tuple[Example, int, np.ndarray]:
        """Draw one window: its example, first spectrogram frame and frame labels."""
        window = self.settings.window
        index = int(np.searchsorted(self.edges[:-1], rng.random() * self.edges[-1], side="right"))
        example = (self.examples if rng.random() < self.ramp else self.originals)[index]
        labels = self.labels[example.name]
        latest = max(0, len(labels) - window.label_frames)
        start = int(rng.integers(latest + 1))
        return example, start * window.frames_per_label, cut_window(labels, start, window.label_frames)

    def __getitem__(self, index: int):
        rng = np.random.default_rng([self.settings.training.seed, self.epoch, index])
        windows, labels, boundaries = [], [], []
        for _ in range(self.settings.training.batch_size):
            example, start, frame_labels = self.draw(rng)
            window = self.store.read(example.name, start, self.settings.window.frames)
            window = cut_window(window, 0, self.settings.window.frames)
            if rng.random() < self.ramp:
                window = augment_window(window, self.settings.augment, self.settings.features, rng)
            windows.append(normalise_window(window, self.settings.features))
            labels.append(frame_labels)
            boundaries.append(cut_boundaries(self.boundaries[example.name], start, self.settings))
        return _batch(windows, labels, boundaries, self.settings)


def drawing_shares(examples: Sequence[Example], seconds: np.ndarray, training: TrainingSettings) -> np.ndarray:
    """Say how often each example is drawn, so that no corpus, engine or page outweighs the others.

    Splices make ``training.splice_share`` of all windows. Of the others ``training.page_share`` come from sources that
    hold both classes, half and half within the source: same speakers, same channel, so that nothing but the synthesis
    tells them apart. The rest come from sources of one class, half Real and half Fake. Sources, and families of
    generators or speakers within a source, count by the root of their size.

    Parameters
    ----------
    examples : sequence of Example
        Training set.
    seconds : ndarray, shape (examples,)
        Their lengths.
    training : TrainingSettings
        Shares.

    Returns
    -------
    ndarray of float64, shape (examples,)
        Sums to one.
    """
    sizes = drawing_sizes(examples, np.asarray(seconds, dtype=float), training.most_minutes_per_speaker)
    shares = np.zeros(len(examples))
    own: dict[tuple[str, str], list[int]] = defaultdict(list)
    spliced: dict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        if example.label == "Hybrid" or "+" in example.kind:
            spliced[example.kind].append(index)
        else:
            own[example.source or example.group, example.label].append(index)
    for kind, members in spliced.items():
        share = 1.0 - 2 * CONTROL_SHARE if kind == "hybrid" else CONTROL_SHARE
        shares[members] = share * sizes[members] / sizes[members].sum()
    both = {source for source, label in own if label == "Real" and (source, "Fake") in own}
    for (source, label), members in own.items():
        if source in both:  # the same for both classes of a page
            share = training.page_share * np.sqrt(min(len(own[source, name]) for name in ("Real", "Fake")))
            total = sum(np.sqrt(min(len(own[page, "Real"]), len(own[page, "Fake"]))) for page in both)
        else:
            share = (1.0 - training.page_share) * np.sqrt(sizes[members].sum())
            total = sum(np.sqrt(sizes[own[key]].sum()) for key in own if key[1] == label and key[0] not in both)
        _spread(shares, members, examples, sizes, share / total)
    # What a part has too little of, or nothing, the rest of its class or kind makes up for.
    parts = [([index for members in spliced.values() for index in members], training.splice_share)]
    for label in ("Real", "Fake"):
        members = [index for key, indices in own.items() if key[1] == label for index in indices]
        parts.append((members, (1.0 - training.splice_share) / 2))
    for members, share in parts:
        if total := shares[members].sum():
            shares[members] *= share / total
    return shares / shares.sum()


def drawing_sizes(examples: Sequence[Example], seconds: np.ndarray, most_minutes: float) -> np.ndarray:
    """Say as how many clips each example counts: a long recording as several, one of an abundant voice as less.

    Parameters
    ----------
    examples : sequence of Example
        Training set.
    seconds : ndarray, shape (examples,)
        Their lengths.
    most_minutes : float
        Minutes of a voice in a class that count; its channel copies don't add to them.

    Returns
    -------
    ndarray of float64, shape (examples,)
    """
    voices = [(example.label, example.kind, example.speaker) if example.speaker else None for example in examples]
    totals: dict = defaultdict(float)
    for example, voice, length in zip(examples, voices, seconds, strict=True):
        if voice and not example.channel_seed:
            totals[voice] += length
    kept = [1.0 if voice is None else min(1.0, 60 * most_minutes / max(totals[voice], 1e-9)) for voice in voices]
    return np.maximum(1.0, seconds / LONG_SECONDS) * kept


def _spread(shares: np.ndarray, members: list[int], examples: Sequence[Example], sizes, part: float) -> None:
    """Spread the share of one source and class over families of generators, or speakers, by the root of their size."""
    families: dict[str, list[int]] = defaultdict(list)
    for index in members:
        example = examples[index]
        families[example.speaker if example.label == "Real" else example.family].append(index)
    weights = {name: np.sqrt(sizes[indices].sum()) for name, indices in families.items()}
    total = sum(weights.values())
    for name, indices in families.items():
        shares[indices] = part * weights[name] / total * sizes[indices] / sizes[indices].sum()


class FixedWindows(keras.utils.PyDataset):
    """The windows by which validation clips are judged, in order and without augmentation."""

    def __init__(self, examples: Sequence[Example], store: FeatureStore, settings: Settings):
        super().__init__()
        self.store = store
        self.settings = settings
        self.windows = []
        for example in examples:
            if example.name not in store.extents:
                continue
            labels, boundaries = labels_of(example, store, settings), boundaries_of(example, store, settings)
            for start in window_starts(store.frames(example.name), settings.window):
                first = start // settings.window.frames_per_label
                here = cut_window(labels, first, settings.window.label_frames)
                self.windows.append((example.name, int(start), here, cut_boundaries(boundaries, start, settings)))
        most = settings.training.validation_windows
        if len(self.windows) > most:
            self.windows = [self.windows[i] for i in np.linspace(0, len(self.windows) - 1, most).astype(int)]

    def __len__(self) -> int:
        return -(-len(self.windows) // self.settings.training.batch_size)

    def __getitem__(self, index: int):
        size = self.settings.training.batch_size
        rows = self.windows[index * size : (index + 1) * size]
        frames = self.settings.window.frames
        windows = [
            normalise_window(cut_window(self.store.read(name, start, frames), 0, frames), self.settings.features)
            for name, start, *_ in rows
        ]
        labels, boundaries = zip(*(row[2:] for row in rows), strict=True)
        return _batch(windows, labels, boundaries, self.settings)


def cut_boundaries(boundaries: np.ndarray, start: int, settings: Settings) -> np.ndarray:
    """Cut the boundary labels of the window at spectrogram frame `start`; where it repeats is a boundary, too."""
    wanted = settings.window.label_frames
    rest = boundaries[start // settings.window.frames_per_label :]
    cut = cut_window(rest, 0, wanted)
    if 0 < len(rest) < wanted:
        cut = cut.copy()
        for boundary in range(len(rest), wanted, len(rest)):
            cut[boundary - BOUNDARY_REACH : boundary + BOUNDARY_REACH + 1] = 1
    return cut


def _batch(windows, labels, boundaries, settings: Settings):
    labels, boundaries = np.stack(labels), np.stack(boundaries)
    verdicts = [window_label(row, settings.window) for row in labels]
    known = (labels != UNKNOWN).astype(np.float32)
    targets = {
        VERDICT: np.eye(len(CLASS_NAMES), dtype=np.float32)[verdicts],
        TIMELINE: np.maximum(labels, 0).astype(np.float32)[..., None],
        BOUNDARIES: np.maximum(boundaries, 0).astype(np.float32)[..., None],
    }
    # Frames of hybrids whose spans are unknown teach the verdict only.
    weights = {
        VERDICT: np.ones(len(labels), dtype=np.float32),
        TIMELINE: known,
        BOUNDARIES: known * np.where(boundaries == 1, BOUNDARY_WEIGHT, 1.0).astype(np.float32),
    }
    return np.stack(windows), targets, weights


def class_weights(windows: TrainingWindows) -> list[float]:
    """Weigh the classes of the focal loss against how often their windows are drawn.

    A scalar alpha would only scale the loss; one per class balances it. The weights have mean one.
    """
    rng = np.random.default_rng(windows.settings.training.seed)
    drawn = [window_label(windows.draw(rng)[2], windows.settings.window) for _ in range(2000)]
    counts = np.bincount(drawn, minlength=len(CLASS_NAMES))
    # A class that is never drawn needs no weight, and must not take it from the others.
    weights = np.divide(1.0, counts, out=np.zeros(len(counts)), where=counts > 0)
    return [float(weight) for weight in weights / weights.mean()]


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
        if not np.isfinite(logs["val_loss"]):
            raise Diverged


class KeepState(keras.callbacks.Callback):
    """After every epoch, keep the best network, if it is a new one, and all that is needed to go on.

    Parameters
    ----------
    folder : Path
        Where both are written anew.
    averages : list of keras.callbacks.SwapEMAWeights
        What put the average of the weights in their place; training goes on with the weights.
    """

    def __init__(self, folder: Path, averages: Sequence[keras.callbacks.SwapEMAWeights]):
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
    train, validation : sequence of Example
        The two sets that training may see.
    store : FeatureStore
        Spectrograms of both.
    settings : Settings
        Of the run.
    folder : Path
        Where the best network, the last state and the log are kept.
    verbose : int, optional
        As in Keras; by default a progress bar where stderr is a terminal, otherwise a line per epoch.
    init_from : Path, optional
        Checkpoint whose weights the network starts with.

    Returns
    -------
    Fit

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
        callbacks = _callbacks(settings, folder, past, stopping)
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


def _callbacks(settings: Settings, folder: Path, past: list[dict[str, float]], stopping: ResumableEarlyStopping):
    """Return what accompanies an epoch; each relies on those before it."""
    averages = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if settings.training.weight_averaging else []
    return [
        StopOnDivergence(),  # first: nothing of such an epoch is kept
        SeededEpochs(settings.training.seed),
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
    """Load the network that :func:`fit` trained step by step unrolled, as loops again: the same answers, fast to load.

    Parameters
    ----------
    best : Path
        From :func:`fit`.
    settings : Settings
        Of the run.

    Returns
    -------
    keras.Model
    """
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
    """Fit the decision on the validation set and write the checkpoint, and its ONNX twin beside it.

    Parameters
    ----------
    fitted : Fit
        What :func:`fit` returned.
    examples : dict of str to sequence of Example
        All sets; only ``train`` and ``validation`` are used.
    store : FeatureStore
        Their spectrograms.
    settings : Settings
        Of the run.
    path : Path
        Checkpoint to write.
    manifest : str
        Fingerprint of the training manifest.
    init_from : Path, optional
        Checkpoint that the training started from: what it has seen, this one has seen too.

    Returns
    -------
    Checkpoint
    """
    network = rolled_up(fitted.best, settings)
    file = fitted.best.with_name(ROLLED_NAME)
    with atomic_path(file) as temporary:
        network.save(temporary)
    scans = list(scan_examples(examples["validation"], store, settings, network.predict_on_batch))
    settings = dataclasses.replace(settings, decision=fit_decision(scans, store, settings))
    used = [
        example for split in ("train", "validation") for example in examples[split] if example.name in store.extents
    ]
    own = [e.path for e in used if e.kind in ("real", "fake", "hybrid") and not e.channel_seed]
    seen = [content for content in store.cache.contents(own) if content]
    if init_from is not None:
        seen += read_checkpoint(init_from).seen()
    trained = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    checkpoint = save_checkpoint(path, file, settings, trained, manifest, seen)
    try_export(checkpoint)
    return checkpoint
