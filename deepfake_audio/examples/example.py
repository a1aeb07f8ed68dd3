"""From clips on disk to examples: what is spliced from them and sent through channels, and what a window is called."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..corpus.clips import SPLITS, Clip
from ..corpus.split import Splits
from ..settings import CLASS_NAMES, SAMPLE_RATE, Settings, WindowSettings
from .splices import SplicePlan, build_splices

UNKNOWN = -1
"""Frame label of a Hybrid clip whose spans nobody wrote down."""


BOUNDARY_REACH = 1
"""Timeline frames before and after a boundary that are labelled with it."""


@dataclasses.dataclass(frozen=True)
class Example:
    """One clip to learn from or to be tested on, whether recorded, synthesised or spliced.

    Attributes
    ----------
    name, label, speaker, generator, source, language, family, sample_rate, original_format : str
        As in :class:`deepfake_audio.corpus.split.Clip`; a splice has the labels of its synthetic donor.
    path : Path
        The audio file.
    kind : str
        ``real``, ``fake``, ``hybrid``, or a same-class control: ``real+real``, ``fake+fake``.
    group : str
        What training draws from evenly: the group of the split, or the kind of a splice.
    spans : tuple of (float, float), or None
        Fake spans in seconds; None where unknown. The whole clip for Fake.
    channel_seed : tuple of int
        Seed of the channel that the clip is sent through before its features are taken; empty for none.
    boundaries : tuple of float
        Seconds at which one part takes over from another, whatever the parts are.
    """

    name: str
    path: Path
    label: str
    kind: str
    group: str
    speaker: str = ""
    generator: str = ""
    source: str = ""
    language: str = ""
    spans: tuple[tuple[float, float], ...] | None = ()
    channel_seed: tuple[int, ...] = ()
    boundaries: tuple[float, ...] = ()
    family: str = ""
    sample_rate: str = ""
    original_format: str = ""

    def frame_labels(self, frames: int, label_seconds: float) -> np.ndarray:
        """Return one label per timeline frame: 1 fake, 0 real, ``UNKNOWN`` where the spans are not known.

        Parameters
        ----------
        frames : int
            Timeline frames.
        label_seconds : float
            Length of one of them.

        Returns
        -------
        ndarray of int8, shape (frames,)
        """
        if self.label == "Fake":
            return np.ones(frames, dtype=np.int8)
        if self.spans is None:
            return np.full(frames, UNKNOWN, dtype=np.int8)
        centres = (np.arange(frames) + 0.5) * label_seconds
        labels = np.zeros(frames, dtype=np.int8)
        for start, end in self.spans:
            labels[(centres >= start) & (centres < end)] = 1
        return labels

    def boundary_labels(self, frames: int, label_seconds: float) -> np.ndarray:
        """Return 1 for the timeline frames around a boundary, 0 for the others, ``UNKNOWN`` where nobody knows.

        Parameters and result as in :meth:`frame_labels`.
        """
        if self.spans is None:
            return np.full(frames, UNKNOWN, dtype=np.int8)
        labels = np.zeros(frames, dtype=np.int8)
        for boundary in self.boundaries:
            at = int(boundary / label_seconds)
            labels[max(0, at - BOUNDARY_REACH) : at + BOUNDARY_REACH + 1] = 1
        return labels


def examples_of_clips(clips: Sequence[Clip], groups: dict[str, str]) -> list[Example]:
    """Turn the clips of one set into examples."""
    return [
        Example(
            name=clip.name,
            path=clip.path,
            label=clip.label,
            kind=clip.label.lower(),
            group=groups[clip.name],
            speaker=clip.speaker,
            generator=clip.generator,
            source=clip.source,
            language=clip.language,
            spans=clip.spans if clip.label == "Hybrid" else (),
            boundaries=tuple(end for span in clip.spans or () for end in span if end > 0),
            family=clip.generator_family,
            sample_rate=clip.sample_rate,
            original_format=clip.original_format,
        )
        for clip in clips
    ]


def examples_of_splices(splices: Sequence[tuple[SplicePlan, Path]], clips: Sequence[Clip]) -> list[Example]:
    """Turn spliced clips into examples; `clips` are their parents."""
    parents = {clip.name: clip for clip in clips}
    examples = []
    for plan, path in splices:
        base = parents[plan.parts[0].clip]
        fakes = [parents[part.clip] for part in plan.parts if part.label == "Fake"]
        examples.append(
            Example(
                name=f"{path.parent.name}/{plan.name}",  # every set counts its splices from zero
                path=path,
                label=plan.label,
                kind=plan.kind,
                group=f"{plan.kind}, mostly {plan.parts[0].label}",
                speaker=base.speaker,
                generator=fakes[0].generator if fakes else "",
                source=base.source,
                language=base.language,
                spans=tuple((start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in plan.fake_spans),
                boundaries=tuple(position / SAMPLE_RATE for position in plan.boundaries),
                family=fakes[0].generator_family if fakes else "",
                sample_rate=base.sample_rate,
                original_format=base.original_format,
            )
        )
    return examples


def split_examples(
    split: str,
    splits: Splits,
    settings: Settings,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> list[Example]:
    """Return the clips of one set and what is spliced from them into ``folder/split``.

    Where ``augment.channel_copies`` asks for them, the training set also gets copies of everything through random
    channels, and the validation set one of each clip: thresholds shall hold behind a codec, too. The test set holds
    only what the corpus holds.
    """
    clips, groups = splits.sets[split], splits.groups
    seed = (settings.training.seed, SPLITS.index(split))
    splices = build_splices(clips, settings.hybrid, folder / split, seed, progress)
    own = examples_of_clips(clips, groups)
    examples = own + examples_of_splices(splices, clips)
    copies = {"train": settings.augment.channel_copies, "validation": min(1, settings.augment.channel_copies)}
    return examples + [
        dataclasses.replace(
            example,
            name=f"{example.name}#channel-{copy}",
            channel_seed=(*seed, copy, zlib.crc32(example.name.encode("utf-8", "surrogatepass"))),
        )
        for copy in range(copies.get(split, 0))
        for example in (examples if split == "train" else own)
    ]


def window_label(frame_labels: np.ndarray, window: WindowSettings) -> int:
    """Name a window by the frames in it.

    Parameters
    ----------
    frame_labels : ndarray of int8, shape (label_frames,)
        1 fake, 0 real, ``UNKNOWN``.
    window : WindowSettings
        ``minority_frames``: a rest smaller than this does not make a window Hybrid.

    Returns
    -------
    int
        Index into ``CLASS_NAMES``. A window of a hybrid clip that holds only real frames is Real.
    """
    if (frame_labels == UNKNOWN).any():
        return CLASS_NAMES.index("Hybrid")
    fake = int(frame_labels.sum())
    real = len(frame_labels) - fake
    if min(fake, real) >= window.minority_frames:
        return CLASS_NAMES.index("Hybrid")
    return CLASS_NAMES.index("Fake" if fake > real else "Real")
