"""Plans of spliced clips: rows of parts cut from clips and joined end to end, rendered with pydub to the sample."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable

import numpy as np

from ..settings import SAMPLE_RATE

CROSSFADE_SHAPES = ("hard", "linear", "equal power", "raised cosine", "logarithmic")
"""Crossfades; ``linear`` is pydub's own, the others are drawn here because pydub has only that one."""

LOGARITHMIC_DB = 40.0
"""Range that the ``logarithmic`` crossfade passes evenly in dB."""

SAMPLES_PER_MS = SAMPLE_RATE // 1000


@dataclasses.dataclass(frozen=True)
class Part:
    """A span of a parent clip: samples ``start`` to ``end``, made `gain_db` louder."""

    clip: str
    label: str
    start: int
    end: int
    gain_db: float = 0.0


@dataclasses.dataclass(frozen=True)
class Crossfade:
    """How a part follows the one before: they overlap by `samples` under a crossfade of `shape`."""

    shape: str
    samples: int


@dataclasses.dataclass(frozen=True)
class SplicePlan:
    """Everything that is needed to make one spliced clip again, sample for sample.

    Attributes
    ----------
    name : str
        File name of the clip, without folder.
    kind : str
        ``hybrid``, ``real+real`` or ``fake+fake``.
    method : str
        ``replace`` or ``insert``.
    parts : tuple of Part
        In order.
    crossfades : tuple of Crossfade
        One fewer than parts.
    """

    name: str
    kind: str
    method: str
    parts: tuple[Part, ...]
    crossfades: tuple[Crossfade, ...]

    @property
    def label(self) -> str:
        """Class of the result: Hybrid only where real and synthetic speech meet."""
        labels = {part.label for part in self.parts}
        return labels.pop() if len(labels) == 1 else "Hybrid"

    @property
    def samples(self) -> int:
        """Length of the result in samples."""
        return sum(p.end - p.start for p in self.parts) - sum(c.samples for c in self.crossfades)

    @property
    def boundaries(self) -> tuple[int, ...]:
        """Samples at which a part takes over from the one before: the middle of each crossfade."""
        positions, end = [], 0
        for part, crossfade in zip(self.parts, (*self.crossfades, None), strict=True):
            end += part.end - part.start
            if crossfade:
                positions.append(end - crossfade.samples + crossfade.samples // 2)
                end -= crossfade.samples
        return tuple(positions)

    @property
    def fake_spans(self) -> tuple[tuple[int, int], ...]:
        """Synthetic spans as (first, one past last) sample of the result."""
        bounds = (0, *self.boundaries, self.samples)
        spans: list[tuple[int, int]] = []
        for part, start, end in zip(self.parts, bounds[:-1], bounds[1:], strict=True):
            if part.label == "Fake":
                if spans and spans[-1][1] == start:
                    spans[-1] = (spans[-1][0], end)
                else:
                    spans.append((start, end))
        return tuple(spans)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str) -> SplicePlan:
        """Read what :meth:`to_json` wrote."""
        values = json.loads(line)
        values["parts"] = tuple(Part(**part) for part in values["parts"])
        values["crossfades"] = tuple(Crossfade(**crossfade) for crossfade in values["crossfades"])
        return cls(**values)


def render(plan: SplicePlan, read: Callable[[str], np.ndarray]) -> np.ndarray:
    """Make the clip that a plan describes.

    Parameters
    ----------
    plan : SplicePlan
        What to cut and join.
    read : callable
        Gives the int16 samples of a parent clip, mono at ``SAMPLE_RATE``, by the clip's name.

    Returns
    -------
    ndarray of int16, shape (plan.samples,)
    """
    result = _cut(plan.parts[0], read)
    for part, crossfade in zip(plan.parts[1:], plan.crossfades, strict=True):
        result = _append(result, _cut(part, read), crossfade)
    return np.frombuffer(result.raw_data, dtype=np.int16)


def _segment(samples: np.ndarray):
    with warnings.catch_warnings():
        # pydub looks for a system ffmpeg when it is imported; here it never decodes a file.
        warnings.simplefilter("ignore", RuntimeWarning)
        from pydub import AudioSegment

    return AudioSegment(samples.tobytes(), sample_width=2, frame_rate=SAMPLE_RATE, channels=1)


def _cut(part: Part, read):
    parent = _segment(read(part.clip))
    # pydub's own slices are in whole milliseconds and rounded; this one is exact to the sample.
    return parent.get_sample_slice(part.start, part.end).apply_gain(part.gain_db)


def _append(left, right, crossfade: Crossfade):
    if crossfade.shape == "hard":
        return left.append(right, crossfade=0)
    # Only the overlap goes through a fade, cut to whole milliseconds: pydub fades and slices in those.
    tail_start = int(left.frame_count()) - crossfade.samples
    tail = left.get_sample_slice(tail_start, int(left.frame_count()))
    head = right.get_sample_slice(0, crossfade.samples)
    if crossfade.shape == "linear":
        middle = tail.append(head, crossfade=crossfade.samples // SAMPLES_PER_MS)
    else:
        fade_in = _fade_in(crossfade)
        tail, head = (np.frombuffer(part.raw_data, dtype=np.int16) for part in (tail, head))
        mixed = np.rint(tail * fade_in[::-1] + head * fade_in)
        middle = _segment(np.clip(mixed, -32768, 32767).astype(np.int16))
    before = left.get_sample_slice(0, tail_start)
    after = right.get_sample_slice(crossfade.samples, int(right.frame_count()))
    return before.append(middle, crossfade=0).append(after, crossfade=0)


def _fade_in(crossfade: Crossfade) -> np.ndarray:
    phase = (np.arange(crossfade.samples) + 0.5) / crossfade.samples
    if crossfade.shape == "logarithmic":
        return 10 ** (LOGARITHMIC_DB * (phase - 1) / 20)
    if crossfade.shape == "equal power":
        return np.sin(0.5 * np.pi * phase)
    if crossfade.shape == "raised cosine":
        return 0.5 - 0.5 * np.cos(np.pi * phase)
    raise ValueError(f"unknown crossfade {crossfade.shape!r}")
