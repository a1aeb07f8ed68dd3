"""Scores that rank: equal error rates and areas under the ROC curve, plain and even-handed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from .scores import ClipScore

SMALLEST_EVEN_GROUP = 3
"""Real sources and generator families with fewer clips count as one in even-handed metrics."""


class Ranking:
    """Items from the highest score down, so that each resample only has to add up."""

    def __init__(self, is_positive: Sequence[bool], scores: Sequence[float]):
        scores = np.asarray(scores, dtype=np.float64)
        self.order = np.argsort(-scores, kind="stable")
        self.is_positive = np.asarray(is_positive, dtype=bool)[self.order]
        # Equal scores are accepted or refused together: a corner of the curve at the last one of each tie.
        self.corners = np.flatnonzero(np.append(np.diff(scores[self.order]), 1.0))

    def curve(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return false alarm rates and hit rates, from (0, 0) to (1, 1); NaN where a class is missing."""
        weights = weights[self.order]
        sums = [np.cumsum(weights * of)[self.corners] for of in (~self.is_positive, self.is_positive)]
        return tuple(np.append(0.0, total / total[-1]) for total in sums)

    def eer(self, weights: np.ndarray) -> float:
        return crossing(*self.curve(weights)) if len(self.order) else math.nan

    def auc(self, weights: np.ndarray) -> float:
        if not len(self.order):
            return math.nan
        false_alarms, hits = self.curve(weights)
        return float(np.sum(np.diff(false_alarms) * (hits[1:] + hits[:-1]) / 2))


def crossing(false_alarms: np.ndarray, hits: np.ndarray) -> float:
    """Where a ROC curve of straight lines has as many misses as false alarms."""
    gap = 1 - hits - false_alarms  # falls from 1 to -1
    after = int(np.argmax(gap <= 0))
    above, below = gap[after - 1], gap[after]
    share = above / (above - below)
    return float(false_alarms[after - 1] * (1 - share) + false_alarms[after] * share)


def equal_error_rate(is_positive: Sequence[bool], scores: Sequence[float]) -> float | None:
    """Return the rate at which misses and false alarms are equally frequent; None where a class is missing.

    The ROC curve has one corner per distinct score, so equal scores are accepted or refused together, and runs
    straight between its corners; the rate is read off where it crosses ``miss rate = false alarm rate``.
    """
    if len(set(map(bool, is_positive))) < 2:
        return None
    return Ranking(is_positive, scores).eer(np.ones(len(scores)))


def even_weights(scores: Sequence[ClipScore]) -> np.ndarray:
    """Return weights, shape (clips,), by which each real source counts the same, and so does each generator family.

    Those of a group sum to 1. Groups of fewer than `SMALLEST_EVEN_GROUP` clips, and clips that name none, count as one.
    """
    groups = [
        ("Real", score.source) if score.label == "Real" else ("spoof", score.family or score.generator)
        for score in scores
    ]
    sizes = Counter(groups)
    groups = [(kind, name if sizes[kind, name] >= SMALLEST_EVEN_GROUP else "") for kind, name in groups]
    sizes = Counter(groups)
    return np.array([1.0 / sizes[group] for group in groups])
