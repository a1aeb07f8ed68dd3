"""Answers of all windows -> the timeline: what is speech, and which segments of it are Real and which are Fake."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Iterator

import numpy as np

from ..features.speech import pause_level
from ..settings import NO_SPEECH, UNCLEAR, DecisionSettings, Settings
from .scanner import Scan

LEAST_SEGMENT_FRAMES = 5
"""Timeline frames between two boundaries, at least."""

SHORTEST_PAUSE_SECONDS = 1.0
"""Pauses from this length on are No speech in the timeline; shorter ones belong to speaking."""


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """A segment of the timeline, in seconds: Real, Fake, Unclear, or No speech, which has no probability of fake."""

    start: float
    end: float
    label: str
    fake_probability: float | None


def smooth_segments(scan: Scan, decision: DecisionSettings) -> np.ndarray:
    """Draw the probability of fake, shape (timeline frames,), towards its mean between two boundaries.

    What was spliced in is of one kind from end to end.
    """
    if not decision.segment_weight:
        return scan.timeline
    peaks = _peaks(scan.boundaries, decision.boundary_threshold, LEAST_SEGMENT_FRAMES)
    drawn = scan.timeline.copy()
    for start, end in itertools.pairwise([0, *peaks, len(drawn)]):
        segment = drawn[start:end]
        mean = segment.mean(dtype=np.float64)
        segment *= 1.0 - decision.segment_weight
        segment += decision.segment_weight * mean
    return drawn


def _peaks(values: np.ndarray, height: float, distance: int) -> np.ndarray:
    """Return what ``scipy.signal.find_peaks`` does; importing scipy takes longer than judging a clip."""
    # Runs of equal values; hours have few that are high enough.
    high = np.flatnonzero(values >= height)
    begins = np.ones(len(high), dtype=bool)
    begins[1:] = (np.diff(high) > 1) | (np.diff(values[high]) != 0)
    first, last = high[begins], high[np.append(begins[1:], True)[: len(high)]]
    inside = (first > 0) & (last < len(values) - 1)  # neither end is a peak
    first, last = first[inside], last[inside]
    is_peak = (values[first - 1] < values[first]) & (values[last + 1] < values[last])
    peaks = ((first + last) // 2)[is_peak]
    kept = np.zeros(len(values), dtype=bool)
    for peak in peaks[np.argsort(values[peaks], kind="stable")[::-1]]:  # of two that are too close, the higher one
        kept[peak] = not kept[max(0, peak - distance + 1) : peak + distance].any()
    return np.flatnonzero(kept)


def voiced_frames(scan: Scan, settings: Settings) -> np.ndarray:
    """Return which timeline frames, shape (timeline frames,), belong to speech: all but long runs of quiet ones."""
    if scan.levels is None:
        return np.ones(len(scan.timeline), dtype=bool)
    voiced = scan.levels > pause_level(scan.levels, settings.label_seconds)
    for start, end in itertools.pairwise(_changes(voiced)):
        # Short pauses belong to speaking.
        if not voiced[start] and (end - start) * settings.label_seconds < SHORTEST_PAUSE_SECONDS:
            voiced[start:end] = True
    return voiced


def _changes(mask: np.ndarray) -> np.ndarray:
    """Return where runs of equal values begin, and where the last one ends."""
    return np.concatenate([[0], np.flatnonzero(np.diff(mask)) + 1, [len(mask)]])


def cut_segments(
    frames: np.ndarray, voiced: np.ndarray, frame_seconds: float, seconds: float, decision: DecisionSettings
) -> tuple[Segment, ...]:
    """Cut the timeline at pauses and at the threshold."""
    shortest = round(decision.shortest_segment_seconds / frame_seconds)
    fake = frames >= decision.fake_threshold

    def runs() -> Iterator[tuple[int, int, str]]:
        for first, last in itertools.pairwise(_changes(voiced)):
            if not voiced[first]:
                yield first, last, NO_SPEECH
                continue
            _merge_short_runs(fake[first:last], shortest)
            for start, end in itertools.pairwise(first + _changes(fake[first:last])):
                yield start, end, "Fake" if fake[start] else "Real"

    def segment(start: int, end: int, label: str) -> Segment:
        until = min(end * frame_seconds, seconds) if end < len(fake) else seconds
        mean = None if label == NO_SPEECH else float(frames[start:end].mean())
        if label == "Fake" and mean < decision.segment_threshold:
            label = UNCLEAR
        return Segment(float(start * frame_seconds), float(until), label, mean)

    return tuple(segment(*run) for run in runs())


def _merge_short_runs(mask: np.ndarray, shortest: int) -> None:
    """Flip the shortest run, of equals the first one, until every run has `shortest` frames or there is only one."""
    changes = _changes(mask)
    enough = np.flatnonzero(np.diff(changes) >= shortest)
    # A run that is long enough stays, so that what lies between two of them has nothing to do with the rest: hours have
    # a hundred thousand runs, a second has few.
    for first, last in zip([0, *changes[enough]], [*changes[enough + 1], len(mask)], strict=True):
        _merge_between(mask[first:last], shortest)


def _merge_between(mask: np.ndarray, shortest: int) -> None:
    ends = dict(itertools.pairwise(_changes(mask).tolist()))
    starts = {end: start for start, end in ends.items()}
    # Noise may be nothing but short runs: a heap finds the shortest; its entries of runs that grew are passed over.
    waiting = [(end - start, start) for start, end in ends.items()]
    heapq.heapify(waiting)
    while len(ends) > 1:
        length, start = heapq.heappop(waiting)
        end = ends.get(start, start)
        if end - start != length:
            continue
        if length >= shortest:
            break
        mask[start:end] ^= True
        # The run becomes one with its neighbours, of which the first and the last run have only one.
        first, last = starts.get(start, start), ends.get(end, end)
        for gone in {first, start, end} & ends.keys():
            del starts[ends.pop(gone)]
        ends[first], starts[last] = last, first
        heapq.heappush(waiting, (last - first, first))
