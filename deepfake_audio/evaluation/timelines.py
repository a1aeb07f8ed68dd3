"""Timelines against what is true of each moment: frames, blocks of frames, and boundaries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from .ranking import crossing
from .scores import ClipScore, Spans

_SCORE_STEPS = 1000
"""Frame scores are stored with three decimals, so this many steps (and one) make an exact histogram."""

_END_SECONDS = 1e-3
"""A boundary nearer than this to an end of the clip is that end, only rounded."""


def span_frames(spans: Spans, frame_count: int, frame_seconds: float) -> np.ndarray:
    """Return which timeline frames are fake, shape (frame_count,), bool: those whose middle lies in a span."""
    middles = (np.arange(frame_count) + 0.5) * frame_seconds
    fake = np.zeros(frame_count, dtype=bool)
    for start, end in spans:
        fake |= (start <= middles) & (middles < end)
    return fake


def _timeline(score: ClipScore, block_seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores and true labels of the blocks of one clip; empty where blocks would be shorter than its frames."""
    block = round(block_seconds / score.frame_seconds)
    # The last window of a clip is padded; frames that lie in the padding have no true label.
    frames = np.array(score.frame_probabilities[: frames_inside(score)], dtype=np.float64)
    if not block or not len(frames):
        return np.zeros(0), np.zeros(0, dtype=bool)
    fake = span_frames(score.true_spans, len(frames), score.frame_seconds)
    starts = np.arange(0, len(frames), block)
    lengths = np.diff(np.append(starts, len(frames)))
    return np.add.reduceat(frames, starts) / lengths, np.add.reduceat(fake.astype(int), starts) * 2 >= lengths


def frames_inside(score: ClipScore) -> int:
    """Return how many timeline frames of a clip lie in it, not in the padding of its last window."""
    return max(1, math.ceil(score.seconds / score.frame_seconds - 0.5 - 1e-9))


def frame_eer(
    scores: Sequence[ClipScore], hybrids: Sequence[int], block_seconds: float
) -> tuple[int, Callable[[np.ndarray], float]]:
    """Of the frames of all hybrids, from one histogram per clip of real and of fake ones, the highest score first."""
    histograms = np.zeros((2, len(hybrids), _SCORE_STEPS + 1), dtype=np.float32)
    used = 0
    for row, index in enumerate(hybrids):
        values, fake = _timeline(scores[index], block_seconds)
        used += bool(len(values))
        steps = np.clip(np.rint((1 - values) * _SCORE_STEPS).astype(int), 0, _SCORE_STEPS)
        for kind in (0, 1):
            histograms[kind, row] = np.bincount(steps[fake == bool(kind)], minlength=_SCORE_STEPS + 1)

    def measure(weights):
        drawn = weights[hybrids].astype(np.float32)
        sums = [np.cumsum(drawn @ histogram, dtype=np.float64) for histogram in histograms]
        return crossing(*(np.append(0.0, total / total[-1]) for total in sums))

    return used, measure


def boundary_errors(score: ClipScore) -> np.ndarray:
    """Return the seconds from each true boundary inside a clip to the nearest one of the predicted timeline.

    The two ends of the clip count as predicted boundaries too: a timeline that shows none is punished, but finitely.
    """
    true = np.array([boundary for span in score.true_spans for boundary in span])
    true = true[(true > _END_SECONDS) & (true < score.seconds - _END_SECONDS)]
    predicted = np.array([0.0, score.seconds, *(boundary for span in score.predicted_spans for boundary in span)])
    return np.abs(true[:, np.newaxis] - predicted).min(axis=1)
