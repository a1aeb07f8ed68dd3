"""From judged test clips to a scores file, and from the scores file to metrics with intervals.

Every metric is computed from what :func:`read_scores` returns, so ``scores.csv`` alone reproduces a report.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from sklearn.metrics import roc_curve

from ..errors import RunError
from ..files import atomic_path
from ..settings import CLASS_NAMES, NO_SPEECH, UNCERTAIN
from ..text import exact_cell, from_exact_cell

KIND_LABELS = {"real": "Real", "fake": "Fake", "hybrid": "Hybrid", "real+real": "Real", "fake+fake": "Fake"}
"""Label of each kind of clip; the last two are splices within one class, controls for "every cut is a fake"."""

ANSWERS = (*CLASS_NAMES, UNCERTAIN, NO_SPEECH)
"""What the user may be shown."""

CALIBRATION_BINS = 15
"""Equal-width bins of confidence between 0 and 1, as in Guo et al. (2017), "On calibration of modern networks"."""

SMALLEST_GROUP = 5
"""Generators, sources and languages with fewer clips than this are left out of the tables."""

_SCORE_STEPS = 1000
"""Frame scores are stored with three decimals, so this many steps (and one) make an exact histogram."""

_EDGE_SECONDS = 1e-3
"""A boundary nearer than this to an end of the clip is that end, only rounded."""

_RESAMPLES_AT_ONCE = 100
"""Bounds the memory of the bootstrap."""

_REAL, _FAKE, _HYBRID = range(len(CLASS_NAMES))

Spans = tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True)
class ClipScore:
    """What is true of one test clip, and what the detector said about it.

    Raises
    ------
    ValueError
        When a value is impossible: an unknown label, kind or verdict, a label that the kind cannot have, a
        probability outside 0-1, a span that ends before it starts, a number that is not finite.
    """

    path: str
    label: str
    """One of `CLASS_NAMES`."""
    kind: str
    """One of `KIND_LABELS`."""
    speaker: str
    generator: str
    source: str
    language: str
    """May be empty."""
    seconds: float
    verdict: str
    """What the user was shown: one of `ANSWERS`."""
    confidence: float
    probabilities: tuple[float, ...]
    """In the order of `CLASS_NAMES`; equal ones where no speech was found and the network was not asked."""
    true_spans: Spans
    """Start and end in seconds of what is fake: nothing in a Real clip, the whole of a Fake one. Nothing in a Hybrid
    means that nobody knows; it then counts for the verdict but not for the timeline."""
    predicted_spans: Spans
    """Fake segments of the timeline that the user was shown, in seconds."""
    frame_seconds: float
    frame_probabilities: tuple[float, ...]
    """Probability of fake for each timeline frame; frame i covers i to i + 1 times `frame_seconds`. A file keeps those
    of Hybrids whose true spans are known; no metric needs the others."""

    def __post_init__(self):
        for name in ("seconds", "confidence", "frame_seconds"):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("probabilities", "frame_probabilities"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        for name in ("true_spans", "predicted_spans"):
            object.__setattr__(self, name, tuple((float(start), float(end)) for start, end in getattr(self, name)))

        if self.kind not in KIND_LABELS:
            raise ValueError(f"kind {self.kind!r} is not one of {', '.join(KIND_LABELS)}")
        if self.label != KIND_LABELS[self.kind]:
            raise ValueError(f"label {self.label!r} does not fit kind {self.kind!r}")
        if self.verdict not in ANSWERS:
            raise ValueError(f"verdict {self.verdict!r} is not one of {', '.join(ANSWERS)}")
        if len(self.probabilities) != len(CLASS_NAMES):
            raise ValueError(f"{len(self.probabilities)} class probabilities instead of {len(CLASS_NAMES)}")
        for value in (self.confidence, *self.probabilities, *self.frame_probabilities):
            if not -1e-6 <= value <= 1 + 1e-6:  # also refuses NaN; float32 softmax may miss 1 by a hair
                raise ValueError(f"probability {value} is not between 0 and 1")
        for name in ("seconds", "frame_seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} {getattr(self, name)} is not a length")
        for start, end in (*self.true_spans, *self.predicted_spans):
            if not 0 <= start <= end < math.inf:
                raise ValueError(f"span {start}-{end} s does not start before it ends, within the recording")


_FREE_COLUMNS = ("path", "speaker", "generator", "source", "language")
"""What a dataset names as it likes."""
_PROBABILITY_COLUMNS = tuple(f"p_{name.lower()}" for name in CLASS_NAMES)
_COLUMNS = tuple(
    column
    for field in dataclasses.fields(ClipScore)
    for column in (_PROBABILITY_COLUMNS if field.name == "probabilities" else (field.name,))
)


def write_scores(path: str | os.PathLike, scores: Sequence[ClipScore]) -> None:
    """Write one CSV line per clip (UTF-8); spans as ``0.5120-1.2340 2.0000-2.5000``, frames as ``0.012 0.934``.

    Names are written so that a spreadsheet calculates nothing and a terminal obeys nothing, and are read back exactly.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for score in scores:
            row = {field.name: getattr(score, field.name) for field in dataclasses.fields(score)}
            row |= {name: exact_cell(row[name]) for name in _FREE_COLUMNS}
            row["seconds"] = f"{score.seconds:.4f}"
            row["frame_seconds"] = f"{score.frame_seconds:.6g}"
            row["confidence"] = f"{score.confidence:.9g}"  # nine digits give a float32 back exactly
            for column, value in zip(_PROBABILITY_COLUMNS, score.probabilities, strict=True):
                row[column] = f"{value:.9g}"
            for column in ("true_spans", "predicted_spans"):
                row[column] = " ".join(f"{start:.4f}-{end:.4f}" for start, end in row[column])
            frames = score.frame_probabilities if _has_timeline(score) else ()
            row["frame_probabilities"] = " ".join(f"{value:.3f}" for value in frames)
            writer.writerow([row[column] for column in _COLUMNS])


def read_scores(path: str | os.PathLike) -> list[ClipScore]:
    """Read what :func:`write_scores` wrote.

    Raises
    ------
    RunError
        When the file cannot be read, is no scores file, holds no clips, or a value in it is impossible.
    """
    path = pathlib.Path(path)
    # The csv module refuses fields over 131072 characters: seven minutes of frames. The limit is global, so restore it.
    limit = csv.field_size_limit(2**31 - 1)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            missing = [column for column in _COLUMNS if column not in header]
            if missing:
                raise RunError(f"{path} is not a scores file: it has no column {', '.join(missing)}")
            scores = [_read_row(path, reader.line_num, header, row) for row in reader if row]
    except OSError as error:
        raise RunError(f"cannot read the scores file {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path} is not a scores file: {error}") from error
    finally:
        csv.field_size_limit(limit)
    if not scores:
        raise RunError(f"{path} holds no clips; write it again with a test set that is not empty")
    return scores


def _read_row(path: pathlib.Path, line: int, header: list[str], row: list[str]) -> ClipScore:
    if len(row) != len(header):
        raise RunError(f"{path}, line {line}: {len(row)} fields instead of {len(header)}; was the file cut off?")
    cells = dict(zip(header, row, strict=True))
    values: dict = {field.name: cells.get(field.name) for field in dataclasses.fields(ClipScore)}
    values |= {name: from_exact_cell(cells[name]) for name in _FREE_COLUMNS}
    try:
        values["probabilities"] = [float(cells[column]) for column in _PROBABILITY_COLUMNS]
        values["frame_probabilities"] = [float(item) for item in cells["frame_probabilities"].split()]
        for column in ("true_spans", "predicted_spans"):
            values[column] = [_read_span(item) for item in cells[column].split()]
        return ClipScore(**values)
    except ValueError as error:
        raise RunError(f"{path}, line {line}: {error}") from error


def _read_span(text: str) -> tuple[float, float]:
    start, _, end = text.partition("-")
    try:
        return float(start), float(end)
    except ValueError:
        raise ValueError(f"span {text!r} is not written as start-end in seconds") from None


def span_frames(spans: Spans, frame_count: int, frame_seconds: float) -> np.ndarray:
    """Tell which timeline frames are fake.

    Parameters
    ----------
    spans
        Fake spans, in seconds.
    frame_count, frame_seconds
        Length of the timeline, and of one of its frames.

    Returns
    -------
    np.ndarray
        Shape (frame_count,), bool: true where the middle of the frame lies in a span.
    """
    middles = (np.arange(frame_count) + 0.5) * frame_seconds
    fake = np.zeros(frame_count, dtype=bool)
    for start, end in spans:
        fake |= (start <= middles) & (middles < end)
    return fake


def equal_error_rate(is_positive: Sequence[bool], scores: Sequence[float]) -> float | None:
    """Rate at which misses and false alarms are equally frequent.

    The ROC curve has one corner per distinct score, so equal scores are accepted or refused together, and runs
    straight between its corners; the rate is read off where it crosses ``miss rate = false alarm rate``.

    Parameters
    ----------
    is_positive
        Whether each item is of the class that high scores stand for.
    scores
        One finite number per item.

    Returns
    -------
    float or None
        Between 0 and 1 (0.5 is chance, more is worse than chance); None when one of the two classes is missing.
    """
    is_positive = np.asarray(is_positive, dtype=bool)
    if is_positive.all() or not is_positive.any():
        return None
    false_alarms, hits, _ = roc_curve(is_positive, np.asarray(scores, dtype=np.float64))
    return float(_crossing(false_alarms[np.newaxis], hits[np.newaxis])[0])


def _crossing(false_alarms: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """EER of each row of ROC curves, shapes (resamples, corners), that run from (0, 0) to (1, 1)."""
    gap = 1 - hits - false_alarms  # falls from 1 to -1
    after = np.argmax(gap <= 0, axis=1)
    rows = np.arange(len(gap))
    above, below = gap[rows, after - 1], gap[rows, after]
    share = above / (above - below)
    return false_alarms[rows, after - 1] * (1 - share) + false_alarms[rows, after] * share


def _area(false_alarms: np.ndarray, hits: np.ndarray) -> np.ndarray:
    return np.sum(np.diff(false_alarms, axis=1) * (hits[:, 1:] + hits[:, :-1]) / 2, axis=1)


def _roc(negatives: np.ndarray, positives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rates from counts accumulated from the highest score down, shapes (resamples, distinct scores)."""
    curves = []
    for counts in (negatives, positives):
        rates = counts / counts[:, -1:]  # NaN where a class is missing
        curves.append(np.concatenate([np.zeros_like(rates[:, :1]), rates], axis=1))
    return curves[0], curves[1]


# A measure takes weights of shape (resamples, clips), how often each clip was drawn, and gives one value per resample
# under each name: the value itself is the one for weights of 1, so value and interval cannot come from different code.
_Measure = Callable[[np.ndarray], dict]


def _columns(scores: Sequence[ClipScore]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True class, probabilities (clips, classes) and decided class of every clip."""
    truth = np.array([CLASS_NAMES.index(score.label) for score in scores])
    probabilities = np.array([score.probabilities for score in scores])
    return truth, probabilities, probabilities.argmax(axis=1)


def _class_measure(scores: Sequence[ClipScore]) -> tuple[dict, _Measure]:
    truth, _, decision = _columns(scores)
    classes = len(CLASS_NAMES)
    cells = np.eye(classes * classes)[truth * classes + decision]

    def measure(weights):
        confusion = (weights @ cells).reshape(-1, classes, classes)
        correct = np.diagonal(confusion, axis1=1, axis2=2)
        support, decided = confusion.sum(axis=2), confusion.sum(axis=1)
        f1 = np.where(support > 0, 2 * correct / (support + decided), np.nan)
        values = {"accuracy": correct.sum(axis=1) / support.sum(axis=1), "macro_f1": f1.mean(axis=1)}
        for index, name in enumerate(CLASS_NAMES):
            values[name, "precision"] = correct[:, index] / decided[:, index]
            values[name, "recall"] = correct[:, index] / support[:, index]
            values[name, "f1"] = f1[:, index]
        return values

    counts: dict = {"accuracy": len(scores), "macro_f1": len(scores)}
    for index, name in enumerate(CLASS_NAMES):
        counts[name, "precision"] = int(np.sum(decision == index))
        counts[name, "recall"] = counts[name, "f1"] = int(np.sum(truth == index))
    return counts, measure


def _ranking_measure(scores: Sequence[ClipScore], others: tuple[int, ...], names: dict) -> tuple[dict, _Measure]:
    """Real against the classes `others`; `names` maps "eer" and "auc" to the names of the metrics wanted."""
    truth, probabilities, _ = _columns(scores)
    used = np.flatnonzero(np.isin(truth, (_REAL, *others)))
    ranking = 1 - probabilities[used, _REAL]
    used = used[np.argsort(-ranking, kind="stable")]
    ranking = np.sort(ranking)[::-1]
    is_positive = truth[used] != _REAL
    corners = np.append(np.flatnonzero(np.diff(ranking)), len(ranking) - 1)  # last clip of each tie

    def measure(weights):
        if not len(used):
            return dict.fromkeys(names.values(), np.full(len(weights), np.nan))
        drawn = weights[:, used]
        curve = _roc(*(np.cumsum(drawn * side, axis=1)[:, corners] for side in (~is_positive, is_positive)))
        return {name: (_crossing if kind == "eer" else _area)(*curve) for kind, name in names.items()}

    return dict.fromkeys(names.values(), len(used)), measure


def _calibration_bin(confidence: np.ndarray) -> np.ndarray:
    """Bin of each confidence: bin k holds k / bins < confidence <= (k + 1) / bins."""
    return np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)


def _share_measure(scores: Sequence[ClipScore]) -> tuple[dict, _Measure]:
    """Everything that is a share of clips: false hybrids, verdicts given and withheld, and calibration."""
    truth, probabilities, decision = _columns(scores)
    verdicts = np.array([score.verdict for score in scores])
    labels = np.array([score.label for score in scores])
    controls = np.array(["+" in score.kind for score in scores])
    confidence = probabilities.max(axis=1)
    decided = np.isin(verdicts, CLASS_NAMES)
    everything = np.ones(len(scores), dtype=bool)
    shares = {  # name: (clips that count, those among them that are hits)
        "false_hybrid_rate": (controls, decision == _HYBRID),
        "uncertain_share": (everything, verdicts == UNCERTAIN),
        "no_speech_share": (everything, verdicts == NO_SPEECH),
        "decided_accuracy": (decided, verdicts == labels),
        "accusation_rate": (labels == "Real", np.isin(verdicts, ("Fake", "Hybrid"))),
        "fake_vouched_rate": (labels == "Fake", verdicts == "Real"),
        "hybrid_vouched_rate": (labels == "Hybrid", verdicts == "Real"),
        "hybrid_doubted_rate": (labels == "Hybrid", np.isin(verdicts, ("Fake", "Hybrid"))),
        "hybrid_named_rate": (labels == "Hybrid", verdicts == "Hybrid"),
        "confident_half_accuracy": (confidence >= np.median(confidence), decision == truth),
    }
    excess = np.eye(CALIBRATION_BINS)[_calibration_bin(confidence)] * ((decision == truth) - confidence)[:, np.newaxis]

    def measure(weights):
        values = {name: weights @ (of & hit) / (weights @ of) for name, (of, hit) in shares.items()}
        values["ece"] = np.abs(weights @ excess).sum(axis=1) / weights.sum(axis=1)
        return values

    return {name: int(of.sum()) for name, (of, _) in shares.items()} | {"ece": len(scores)}, measure


def _has_timeline(score: ClipScore) -> bool:
    """Whether the true timeline of a clip has both kinds of speech, and is known."""
    return score.label == "Hybrid" and bool(score.true_spans)


def _timeline(score: ClipScore, block_seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores and true labels of the blocks of one clip; empty where blocks would be shorter than its frames."""
    block = round(block_seconds / score.frame_seconds)
    frames = np.array(score.frame_probabilities, dtype=np.float64)
    # The last window of a clip is padded; frames that lie in the padding have no true label.
    frames = frames[: max(0, math.ceil(score.seconds / score.frame_seconds - 0.5 - 1e-9))]
    if not block or not len(frames):
        return np.zeros(0), np.zeros(0, dtype=bool)
    fake = span_frames(score.true_spans, len(frames), score.frame_seconds)
    starts = np.arange(0, len(frames), block)
    lengths = np.diff(np.append(starts, len(frames)))
    return np.add.reduceat(frames, starts) / lengths, np.add.reduceat(fake.astype(int), starts) * 2 >= lengths


def _frame_eer_measure(scores: Sequence[ClipScore], block_seconds: float, name: str) -> tuple[dict, _Measure]:
    hybrids = [index for index, score in enumerate(scores) if _has_timeline(score)]
    # Histograms per clip, highest score first: a resample of whole clips is then one small matrix product.
    histograms = np.zeros((2, len(hybrids), _SCORE_STEPS + 1), dtype=np.float32)
    used = 0
    for row, index in enumerate(hybrids):
        values, fake = _timeline(scores[index], block_seconds)
        used += bool(len(values))
        steps = np.clip(np.rint((1 - values) * _SCORE_STEPS).astype(int), 0, _SCORE_STEPS)
        for side in (False, True):
            histograms[int(side), row] = np.bincount(steps[fake == side], minlength=_SCORE_STEPS + 1)

    def measure(weights):
        drawn = weights[:, hybrids].astype(np.float32)
        counts = [np.cumsum(drawn @ histogram, axis=1, dtype=np.float64) for histogram in histograms]
        return {name: _crossing(*_roc(*counts))}

    return {name: used}, measure


def _frame_f1_measure(scores: Sequence[ClipScore]) -> tuple[dict, _Measure]:
    overlap, total = np.zeros(len(scores)), np.zeros(len(scores))
    hybrids = 0
    for index, score in enumerate(scores):
        if _has_timeline(score):
            count = max(1, math.ceil(score.seconds / score.frame_seconds - 0.5 - 1e-9))
            fake = span_frames(score.true_spans, count, score.frame_seconds)
            called = span_frames(score.predicted_spans, count, score.frame_seconds)
            overlap[index], total[index] = np.sum(fake & called), np.sum(fake) + np.sum(called)
            hybrids += 1

    def measure(weights):
        return {"frame_f1": 2 * (weights @ overlap) / (weights @ total)}

    return {"frame_f1": hybrids}, measure


def boundary_errors(score: ClipScore) -> np.ndarray:
    """Distance from each true boundary inside a clip to the nearest boundary of the predicted timeline.

    The two ends of the clip count as predicted boundaries too: a timeline that shows none is punished, but finitely.

    Returns
    -------
    np.ndarray
        Shape (true boundaries that are not an end of the clip,), seconds.
    """
    true = np.array([boundary for span in score.true_spans for boundary in span])
    true = true[(true > _EDGE_SECONDS) & (true < score.seconds - _EDGE_SECONDS)]
    predicted = np.array([0.0, score.seconds, *(boundary for span in score.predicted_spans for boundary in span)])
    return np.abs(true[:, np.newaxis] - predicted).min(axis=1)


def _boundary_measure(scores: Sequence[ClipScore]) -> tuple[dict, _Measure]:
    found = [boundary_errors(score) if _has_timeline(score) else np.zeros(0) for score in scores]
    owner = np.repeat(np.arange(len(scores)), [len(errors) for errors in found])
    errors = np.concatenate(found)
    owner, errors = owner[np.argsort(errors, kind="stable")], np.sort(errors)
    names = ("boundary_error_mean_seconds", "boundary_error_median_seconds")

    def measure(weights):
        if not len(errors):
            return dict.fromkeys(names, np.full(len(weights), np.nan))
        drawn = weights[:, owner]
        below = np.cumsum(drawn, axis=1)
        total = below[:, -1:]
        # The middle one, or the mean of the middle two, of errors that were drawn several times or not at all.
        middle = errors[np.argmax(below >= total / 2, axis=1)] + errors[np.argmax(below > total / 2, axis=1)]
        median = np.where(total[:, 0] > 0, middle / 2, np.nan)
        return dict(zip(names, (drawn @ errors / total[:, 0], median), strict=True))

    return dict.fromkeys(names, sum(len(errors) > 0 for errors in found)), measure


def _draws(scores: Sequence[ClipScore], resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Weights of 1, then of bootstrap samples in which every kind of clip keeps its number."""
    yield np.ones((1, len(scores)))
    rng = np.random.default_rng(seed)
    kinds = np.array([score.kind for score in scores])
    strata = [np.flatnonzero(kinds == kind) for kind in KIND_LABELS if kind in kinds]
    for start in range(0, resamples, _RESAMPLES_AT_ONCE):
        rows = min(_RESAMPLES_AT_ONCE, resamples - start)
        weights = np.zeros((rows, len(scores)))
        for members in strata:
            drawn = rng.integers(0, len(members), size=(rows, len(members)))
            drawn += np.arange(rows)[:, np.newaxis] * len(members)
            weights[:, members] = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(rows, -1)
        yield weights


def _with_interval(values: np.ndarray, count: int) -> dict:
    """First value, and the range of the middle 95 % of the others."""
    value, others = values[0], values[1:]
    others = others[np.isfinite(others)]
    if not np.isfinite(value):
        return {"value": None, "low": None, "high": None, "n": count}
    low, high = (float(edge) for edge in np.percentile(others, (2.5, 97.5))) if len(others) else (None, None)
    return {"value": float(value), "low": low, "high": high, "n": count}


def _measured(
    builders: Sequence[tuple[dict, _Measure]], scores: Sequence[ClipScore], resamples: int, seed: int
) -> tuple[dict, dict]:
    """Return all metrics with their intervals, those of single classes apart."""
    values: dict = {}
    with np.errstate(divide="ignore", invalid="ignore"):  # NaN is how a measure says that it cannot be computed
        for weights in _draws(scores, resamples, seed):
            for _, measure in builders:
                for name, found in measure(weights).items():
                    values.setdefault(name, []).append(found)
    metrics: dict = {}
    per_class: dict = {name: {} for name in CLASS_NAMES}
    for counts, _ in builders:
        for name, count in counts.items():
            entry = _with_interval(np.concatenate(values[name]), count)
            if isinstance(name, tuple):
                per_class[name[0]][name[1]] = entry
            else:
                metrics[name] = entry
    return metrics, per_class


def evaluate(scores: Sequence[ClipScore], resamples: int = 1000, seed: int = 0) -> dict:
    """Compute every metric of the report.

    Parameters
    ----------
    scores
        At least one judged clip. Classes may be missing.
    resamples
        Bootstrap samples behind each interval.
    seed
        Of the bootstrap.

    Returns
    -------
    dict
        JSON types only, never NaN. A metric is ``{"value", "low", "high", "n"}``: its value (None when it cannot be
        computed, say because a class is missing), the ends of its 95 % interval, and the number of clips behind it.
        The class decided for a clip is its most probable one, so that "Uncertain" verdicts hide no errors.

        - ``accuracy``; ``macro_f1``, the plain mean of the F1 of all three classes
        - ``roc_auc`` and ``eer`` of Real against everything else, ``eer_real_fake`` without the hybrids, all by the
          score ``1 - p_real``
        - ``false_hybrid_rate``: share of same-class splices (real in real, fake in fake) decided to be Hybrid
        - ``ece``: expected calibration error of the largest probability, over 15 equally wide bins of 0-1
        - ``uncertain_share``, ``no_speech_share``: verdicts withheld; ``decided_accuracy``: verdicts given that are
          right; ``accusation_rate``: share of Real clips whose verdict is Fake or Hybrid, neither Real nor withheld
        - ``fake_vouched_rate``, ``hybrid_vouched_rate``: share of Fake and of Hybrid clips whose verdict is Real;
          ``hybrid_doubted_rate``: share of Hybrid clips whose verdict is Fake or Hybrid; ``hybrid_named_rate``: Hybrid
        - ``confident_half_accuracy``: accuracy among the half of the clips with the largest probabilities
        - ``frame_eer_20ms``, ``frame_eer_160ms``: timeline frames of all hybrids pooled. A block of 160 ms scores the
          mean of its frames (to three decimals) and is fake when at least half of them are, which fits a mean;
          PartialSpoof calls a block fake when any part of it is, so figures are not interchangeable. The last block
          of a clip may be shorter. None when the timeline is coarser than the block.
        - ``frame_f1``: F1 of fake frames of hybrids, pooled, for the timeline that the user was shown
        - ``boundary_error_mean_seconds``, ``boundary_error_median_seconds``: see :func:`boundary_errors`; hybrids only
        - ``per_class``: name to ``precision``, ``recall``, ``f1`` (metrics) and ``support`` (a count)
        - ``confusion``: counts, a row per true class, a column per decided class
        - ``answers``: counts, a row per true class, a column for each of `ANSWERS`: the verdicts that users were shown
        - ``by_generator``, ``by_source``, ``by_language``: lists of ``{"name", "label", "n", "accuracy"}`` for groups
          of at least five clips; ``by_generator`` leaves out Real clips and adds ``eer``, all Real clips against the
          group
        - ``clips`` (class to number), ``resamples``, ``seed``

    Raises
    ------
    RunError
        When there is no clip at all.

    Notes
    -----
    Intervals are bootstrap percentiles (Efron & Tibshirani, 1993, chapter 13): clips are drawn with replacement within
    each kind, a clip always with all its frames. Clips that share a speaker or a generator are not independent, which
    this ignores: the intervals are a lower bound of the uncertainty. A rate of exactly 0 or 1 gets an interval without
    width; n clips without one error still allow a rate of about 3 / n. The calibration error of a small sample is
    biased upwards, and more so in a resample, so its interval may lie above its value.
    """
    if not scores:
        raise RunError("there are no scores to evaluate; the test set of the split is empty")
    builders = (
        _class_measure(scores),
        _ranking_measure(scores, (_FAKE, _HYBRID), {"auc": "roc_auc", "eer": "eer"}),
        _ranking_measure(scores, (_FAKE,), {"eer": "eer_real_fake"}),
        _share_measure(scores),
        _frame_eer_measure(scores, 0.02, "frame_eer_20ms"),
        _frame_eer_measure(scores, 0.16, "frame_eer_160ms"),
        _frame_f1_measure(scores),
        _boundary_measure(scores),
    )
    metrics, per_class = _measured(builders, scores, resamples, seed)
    truth, _, decision = _columns(scores)
    confusion = np.zeros((len(CLASS_NAMES), len(CLASS_NAMES)), dtype=int)
    np.add.at(confusion, (truth, decision), 1)
    answers = np.zeros((len(CLASS_NAMES), len(ANSWERS)), dtype=int)
    np.add.at(answers, (truth, [ANSWERS.index(score.verdict) for score in scores]), 1)
    support = {name: int(np.sum(truth == index)) for index, name in enumerate(CLASS_NAMES)}
    for name in CLASS_NAMES:
        per_class[name]["support"] = support[name]
    return metrics | {
        "per_class": per_class,
        "confusion": confusion.tolist(),
        "answers": answers.tolist(),
        "by_generator": _group_table(scores, "generator"),
        "by_source": _group_table(scores, "source"),
        "by_language": _group_table(scores, "language"),
        "clips": support,
        "resamples": resamples,
        "seed": seed,
    }


def _group_table(scores: Sequence[ClipScore], field: str) -> list[dict]:
    truth, probabilities, decision = _columns(scores)
    groups: dict = {}
    for index, score in enumerate(scores):
        name = getattr(score, field)
        if name and not (field == "generator" and truth[index] == _REAL):
            groups.setdefault((name, int(truth[index])), []).append(index)
    real = np.flatnonzero(truth == _REAL)
    table = []
    for (name, label), members in sorted(groups.items()):
        if len(members) < SMALLEST_GROUP:
            continue
        accuracy = float(np.mean(decision[members] == label))
        table.append({"name": name, "label": CLASS_NAMES[label], "n": len(members), "accuracy": accuracy})
        if field == "generator":
            both = np.append(real, members)
            table[-1]["eer"] = equal_error_rate(truth[both] != _REAL, 1 - probabilities[both, _REAL])
    return table


def coverage(scores: Sequence[ClipScore]) -> tuple[np.ndarray, np.ndarray]:
    """Return how accuracy falls as less and less confident clips are answered.

    Returns
    -------
    share : ndarray, shape (clips,)
        Share of clips answered, the most confident ones first.
    accuracy : ndarray, shape (clips,)
        Share of those whose most probable class is true.
    """
    truth, probabilities, decision = _columns(scores)
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    answered = np.arange(1, len(scores) + 1)
    return answered / len(scores), np.cumsum((decision == truth)[order]) / answered


def reliability(scores: Sequence[ClipScore]) -> list[dict]:
    """Group clips by confidence, the bins of the expected calibration error.

    Returns
    -------
    list of dict
        For each bin that holds clips: ``low`` and ``high`` (edges of the bin), ``n`` (clips), ``confidence`` (their
        mean largest probability) and ``accuracy`` (share whose most probable class is true).
    """
    truth, probabilities, decision = _columns(scores)
    confidence = probabilities.max(axis=1)
    bins = _calibration_bin(confidence)
    return [
        {
            "low": index / CALIBRATION_BINS,
            "high": (index + 1) / CALIBRATION_BINS,
            "n": int(np.sum(bins == index)),
            "confidence": float(np.mean(confidence[bins == index])),
            "accuracy": float(np.mean((decision == truth)[bins == index])),
        }
        for index in np.unique(bins).tolist()
    ]
