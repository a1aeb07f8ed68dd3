"""Windows in batches: random ones to learn from, drawn even-handedly, and fixed ones to be validated by.

Keras is imported at the top, so import this module only once the command line has been understood.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ..corpus.split import LONG_SECONDS
from ..examples.channels import augment_window
from ..examples.example import BOUNDARY_REACH, UNKNOWN, Example, window_label
from ..examples.features import FeatureStore, boundaries_of, labels_of
from ..features.windows import cut_window, normalise_window, window_starts
from ..model.backend import keras
from ..model.network import BOUNDARIES, TIMELINE, VERDICT
from ..settings import CLASS_NAMES, Settings, TrainingSettings

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
    # A page with both classes weighs the same in either.
    both = {
        source: min(len(own[source, "Real"]), len(own[source, "Fake"]))
        for source, label in own
        if label == "Real" and (source, "Fake") in own
    }
    weights = {key: np.sqrt(both.get(key[0], sizes[members].sum())) for key, members in own.items()}
    totals: dict[tuple[bool, str], float] = defaultdict(float)
    for (source, label), weight in weights.items():
        totals[source in both, label] += weight
    for (source, label), members in own.items():
        part = training.page_share if source in both else 1.0 - training.page_share
        _spread(shares, members, examples, sizes, part * weights[source, label] / totals[source in both, label])
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
