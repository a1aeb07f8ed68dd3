"""Intervals of metrics: what other clips, or other sources, would have given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .scores import KIND_LABELS, ClipScore

FEWEST_SOURCES = 10
"""From so many named sources on, intervals are those of other sources rather than of other clips."""


def units(scores: Sequence[ClipScore]) -> tuple[str, np.ndarray, list[np.ndarray]]:
    """Return what the bootstrap draws: its name, the unit of each clip, and strata of units that keep their number."""
    sources = [score.source for score in scores]
    if len(set(sources) - {""}) >= FEWEST_SOURCES:
        # A clip that names no source is one of its own.
        names = {name: unit for unit, name in enumerate(dict.fromkeys(s or i for i, s in enumerate(sources)))}
        return "sources", np.array([names[s or i] for i, s in enumerate(sources)]), [np.arange(len(names))]
    kinds = np.array([score.kind for score in scores])
    strata = [np.flatnonzero(kinds == kind) for kind in KIND_LABELS if kind in kinds]
    return "clips", np.arange(len(scores)), strata


def draws(unit: np.ndarray, strata: Sequence[np.ndarray], resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each clip counts, shape (clips,): once each, then as in bootstrap samples."""
    yield np.ones(len(unit))
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = np.zeros(unit.max() + 1)
        for members in strata:
            drawn[members] = np.bincount(rng.integers(0, len(members), len(members)), minlength=len(members))
        yield drawn[unit]


def with_interval(values: Sequence[float], count: int) -> dict:
    """Return the first value as a metric, with the range of the middle 95 % of the others."""
    value, others = values[0], np.array(values[1:])
    others = others[np.isfinite(others)]
    if not np.isfinite(value):
        return {"value": None, "low": None, "high": None, "n": count}
    low, high = (float(end) for end in np.percentile(others, (2.5, 97.5))) if len(others) else (None, None)
    return {"value": float(value), "low": low, "high": high, "n": count}
