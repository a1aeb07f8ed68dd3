"""From the scores file to metrics with intervals, tables of groups, and the points of curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np

from ..errors import RunError
from ..settings import CLASS_NAMES, NO_SPEECH, UNCERTAIN
from .bootstrap import draws, units, with_interval
from .ranking import Ranking, equal_error_rate, even_weights
from .scores import ANSWERS, ClipScore
from .timelines import boundary_errors, frame_eer, frames_inside, span_frames

CALIBRATION_BINS = 15
"""Equal-width bins of confidence between 0 and 1, as in Guo et al. (2017), "On calibration of modern networks"."""

SMALLEST_GROUP = 5
"""Generators, sources, languages, ... with fewer clips than this are left out of the tables."""

GROUPS = ("generator", "family", "source", "language", "sample_rate", "original_format")
"""Columns of the scores file by which clips are told apart in tables."""

_REAL, _FAKE, _HYBRID = range(len(CLASS_NAMES))

_Metrics = dict[str, tuple[int, Callable[[np.ndarray], float]]]
"""Name to the number of clips behind a metric, and to a function that computes it when every clip counts as often as
an array of shape (clips,) says: once each for the value, as often as it was drawn for a resample."""


class _Columns:
    """What metrics need of the scores, one entry per clip."""

    def __init__(self, scores: Sequence[ClipScore]):
        self.truth = np.array([CLASS_NAMES.index(score.label) for score in scores])
        self.verdict = np.array([score.verdict for score in scores])
        self.probabilities = np.array([score.probabilities for score in scores])  # shape (clips, classes)
        self.confidence = self.probabilities.max(axis=1)
        self.decision = self.probabilities.argmax(axis=1)
        self.right = self.decision == self.truth


def _share(of: np.ndarray, hit: np.ndarray) -> tuple[int, Callable[[np.ndarray], float]]:
    of, hit = of.astype(np.float64), (of & hit).astype(np.float64)
    return int(of.sum()), lambda weights: (weights @ hit) / (weights @ of)


def _class_metrics(columns: _Columns) -> _Metrics:
    classes = len(CLASS_NAMES)
    cell = columns.truth * classes + columns.decision

    def f1(weights):
        confusion = np.bincount(cell, weights, classes**2).reshape(classes, classes)
        support, decided = confusion.sum(axis=1), confusion.sum(axis=0)
        return np.where(support > 0, 2 * np.diagonal(confusion) / (support + decided), np.nan)

    metrics: _Metrics = {
        "accuracy": _share(np.ones(len(cell), dtype=bool), columns.right),
        "macro_f1": (len(cell), lambda weights: f1(weights).mean()),
    }
    for index, name in enumerate(CLASS_NAMES):
        true = columns.truth == index
        metrics[f"{name} precision"] = _share(columns.decision == index, columns.right)
        metrics[f"{name} recall"] = _share(true, columns.right)
        metrics[f"{name} f1"] = (int(true.sum()), lambda weights, index=index: f1(weights)[index])
    return metrics


def _of(measure: Callable[[np.ndarray], float], used: np.ndarray, even: np.ndarray | float = 1.0):
    return lambda weights: measure(weights[used] * even)


def _ranking_metrics(
    scores: Sequence[ClipScore], columns: _Columns, trained_families: Collection[str] | None
) -> _Metrics:
    metrics: _Metrics = {}
    unseen = [trained_families is not None and (s.family or s.generator) not in trained_families for s in scores]
    rests = {
        "eer": columns.truth != _REAL,
        "eer_real_fake": columns.truth == _FAKE,
        "eer_unseen_families": (columns.truth == _FAKE) & unseen,
    }
    for name, rest in rests.items():
        used = np.flatnonzero((columns.truth == _REAL) | rest)
        ranking = Ranking(rest[used], 1 - columns.probabilities[used, _REAL])
        even = even_weights([scores[index] for index in used])
        if name == "eer":
            metrics["roc_auc"] = (len(used), _of(ranking.auc, used))
        if name == "eer_unseen_families":
            metrics[name] = (len(used) if rest.any() else 0, _of(ranking.eer, used, even))
        else:
            metrics |= {name: (len(used), _of(ranking.eer, used))}
            metrics |= {f"{name}_even": (len(used), _of(ranking.eer, used, even))}
    return metrics


def _calibration_bin(confidence: np.ndarray) -> np.ndarray:
    """Bin of each confidence: bin k holds k / bins < confidence <= (k + 1) / bins."""
    return np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)


def _answer_metrics(scores: Sequence[ClipScore], columns: _Columns) -> _Metrics:
    """Shares of clips: false hybrids, verdicts given and withheld; and the calibration error."""
    verdict, confidence = columns.verdict, columns.confidence
    real, fake, hybrid = (columns.truth == index for index in (_REAL, _FAKE, _HYBRID))
    everything = np.ones(len(scores), dtype=bool)
    accused = np.isin(verdict, ("Fake", "Hybrid"))
    bins, excess = _calibration_bin(confidence), columns.right - confidence
    return {
        "false_hybrid_rate": _share(np.array(["+" in s.kind for s in scores]), columns.decision == _HYBRID),
        "uncertain_share": _share(everything, verdict == UNCERTAIN),
        "no_speech_share": _share(everything, verdict == NO_SPEECH),
        "decided_accuracy": _share(np.isin(verdict, CLASS_NAMES), verdict == np.array(CLASS_NAMES)[columns.truth]),
        "accusation_rate": _share(real, accused),
        "fake_vouched_rate": _share(fake, verdict == "Real"),
        "hybrid_vouched_rate": _share(hybrid, verdict == "Real"),
        "hybrid_doubted_rate": _share(hybrid, accused),
        "hybrid_named_rate": _share(hybrid, verdict == "Hybrid"),
        "confident_half_accuracy": _share(confidence >= np.median(confidence), columns.right),
        "ece": (len(scores), lambda weights: np.abs(np.bincount(bins, weights * excess)).sum() / weights.sum()),
    }


def _timeline_metrics(scores: Sequence[ClipScore]) -> _Metrics:
    hybrids = [index for index, score in enumerate(scores) if score.has_timeline]
    overlap, total = np.zeros(len(scores)), np.zeros(len(scores))
    for index in hybrids:
        score = scores[index]
        shape = frames_inside(score), score.frame_seconds
        fake, called = span_frames(score.true_spans, *shape), span_frames(score.predicted_spans, *shape)
        overlap[index], total[index] = 2 * np.sum(fake & called), np.sum(fake) + np.sum(called)
    found = {index: boundary_errors(scores[index]) for index in hybrids}
    owner = np.array([index for index, errors in found.items() for _ in errors], dtype=int)
    errors = np.concatenate([np.zeros(0), *found.values()])
    with_boundaries = len(set(owner.tolist()))

    def drawn(weights):
        return np.repeat(errors, weights[owner].astype(int))

    def median(weights):
        return np.median(found) if len(found := drawn(weights)) else math.nan

    return {
        "frame_eer_20ms": frame_eer(scores, hybrids, 0.02),
        "frame_eer_160ms": frame_eer(scores, hybrids, 0.16),
        "frame_f1": (len(hybrids), lambda weights: (weights @ overlap) / (weights @ total)),
        "boundary_error_mean_seconds": (
            with_boundaries,
            lambda weights: (weights[owner] @ errors) / weights[owner].sum(),
        ),
        "boundary_error_median_seconds": (with_boundaries, median),
    }


def evaluate(
    scores: Sequence[ClipScore],
    resamples: int = 1000,
    seed: int = 0,
    trained_families: Collection[str] | None = None,
) -> dict:
    """Return every metric of the report.

    Parameters
    ----------
    scores
        At least one judged clip. Classes may be missing.
    resamples
        Bootstrap samples behind each interval.
    seed
        Of the bootstrap.
    trained_families
        Generator families (or generators, where a clip names no family) that training had; None if nobody knows.

    Returns
    -------
    dict
        JSON types only, never NaN. A metric is ``{"value", "low", "high", "n"}``: its value (None when it cannot be
        computed, say because a class is missing), the ends of its 95 % interval, and the number of clips behind it.
        The class decided for a clip is its most probable one, so that "Uncertain" verdicts hide no errors.

        - ``accuracy``; ``macro_f1``, the plain mean of the F1 of all three classes
        - ``roc_auc`` and ``eer`` of Real against everything else, ``eer_real_fake`` without the hybrids, all by the
          score ``1 - p_real``; ``eer_even`` and ``eer_real_fake_even``, in which each real source and each generator
          family weighs the same (see :func:`even_weights`); ``eer_unseen_families``, even-handed, of all Real clips
          against the Fake clips of families that training lacked
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
          of a clip may be shorter. None when the timeline is coarser than the block, or the file has no frames.
        - ``frame_f1``: F1 of fake frames of hybrids, pooled, for the timeline that the user was shown
        - ``boundary_error_mean_seconds``, ``boundary_error_median_seconds``: see :func:`boundary_errors`; hybrids only
        - ``per_class``: name to ``precision``, ``recall``, ``f1`` (metrics) and ``support`` (a count)
        - ``confusion``: counts, a row per true class, a column per decided class
        - ``answers``: counts, a row per true class, a column for each of `ANSWERS`: the verdicts that users were shown
        - ``by_generator``, ``by_family``, ``by_source``, ``by_language``, ``by_sample_rate``, ``by_original_format``:
          lists of ``{"name", "label", "n", "accuracy", "misjudged", "eer"}`` for groups of at least five clips of a
          class. ``misjudged`` is the share whose verdict says the opposite: Fake or Hybrid for Real clips, Real for
          the others. ``eer`` is that of the Real clips of the same name against the group; for generators and
          families, which have no row for Real, that of all Real clips; None for Real.
        - ``clips`` (class to number), ``resamples``, ``resampled`` (``sources`` or ``clips``), ``seed``

    Raises
    ------
    RunError
        When there is no clip at all.

    Notes
    -----
    Intervals are bootstrap percentiles (Efron & Tibshirani, 1993, chapter 13). Where enough sources are named
    (`bootstrap.FEWEST_SOURCES`), sources are drawn with replacement, each with all its clips: what would other sources
    have given? Otherwise clips are drawn within each kind. Those that share a speaker or a generator are not
    independent, which this ignores: the intervals are a lower bound of the uncertainty. A rate of exactly 0 or 1 gets
    an interval without width; n clips without one error still allow a rate of about 3 / n. The calibration error of a
    small sample is biased upwards, and more so in a resample, so its interval may lie above its value.
    """
    if not scores:
        raise RunError("there are no scores to evaluate; the test set of the split is empty")
    columns = _Columns(scores)
    metrics = {
        **_class_metrics(columns),
        **_ranking_metrics(scores, columns, trained_families),
        **_answer_metrics(scores, columns),
        **_timeline_metrics(scores),
    }
    resampled, unit, strata = units(scores)
    values: dict = {name: [] for name in metrics}
    with np.errstate(divide="ignore", invalid="ignore"):  # NaN is how a metric says that it cannot be computed
        for weights in draws(unit, strata, resamples, seed):
            for name, (_, measure) in metrics.items():
                values[name].append(measure(weights))
    found = {name: with_interval(values[name], count) for name, (count, _) in metrics.items()}

    confusion = np.zeros((len(CLASS_NAMES), len(CLASS_NAMES)), dtype=int)
    np.add.at(confusion, (columns.truth, columns.decision), 1)
    answers = np.zeros((len(CLASS_NAMES), len(ANSWERS)), dtype=int)
    np.add.at(answers, (columns.truth, [ANSWERS.index(score.verdict) for score in scores]), 1)
    support = dict(zip(CLASS_NAMES, confusion.sum(axis=1).tolist(), strict=True))
    per_class = {
        name: {part: found.pop(f"{name} {part}") for part in ("precision", "recall", "f1")} | {"support": support[name]}
        for name in CLASS_NAMES
    }
    return found | {
        "per_class": per_class,
        "confusion": confusion.tolist(),
        "answers": answers.tolist(),
        **{f"by_{field}": _group_table(scores, columns, field) for field in GROUPS},
        "clips": support,
        "resamples": resamples,
        "resampled": resampled,
        "seed": seed,
    }


def _group_table(scores: Sequence[ClipScore], columns: _Columns, field: str) -> list[dict]:
    by_generator = field in ("generator", "family")
    groups: dict = {}
    for index, score in enumerate(scores):
        if name := getattr(score, field):
            groups.setdefault((name, int(columns.truth[index])), []).append(index)
    every_real = np.flatnonzero(columns.truth == _REAL)
    table = []
    for (name, label), members in sorted(groups.items()):
        if len(members) < SMALLEST_GROUP or (by_generator and label == _REAL):
            continue
        row = {
            "name": name,
            "label": CLASS_NAMES[label],
            "n": len(members),
            "accuracy": float(np.mean(columns.decision[members] == label)),
            "misjudged": float(np.mean(np.isin(columns.verdict[members], _OPPOSITES[label]))),
            "eer": None,
        }
        if label != _REAL:
            real = every_real if by_generator else np.array(groups.get((name, _REAL), ()), dtype=int)
            both = np.append(real, members)
            row["eer"] = equal_error_rate(columns.truth[both] != _REAL, 1 - columns.probabilities[both, _REAL])
        table.append(row)
    return table


_OPPOSITES = {_REAL: ("Fake", "Hybrid"), _FAKE: ("Real",), _HYBRID: ("Real",)}


def reliability(scores: Sequence[ClipScore]) -> list[dict]:
    """Return clips grouped by confidence, in the bins of the expected calibration error that hold some.

    Each has ``low`` and ``high`` (edges of the bin), ``n`` (clips), ``confidence`` (their mean largest probability) and
    ``accuracy`` (share whose most probable class is true).
    """
    columns = _Columns(scores)
    bins = _calibration_bin(columns.confidence)
    return [
        {
            "low": index / CALIBRATION_BINS,
            "high": (index + 1) / CALIBRATION_BINS,
            "n": int(np.sum(bins == index)),
            "confidence": float(np.mean(columns.confidence[bins == index])),
            "accuracy": float(np.mean(columns.right[bins == index])),
        }
        for index in np.unique(bins).tolist()
    ]
