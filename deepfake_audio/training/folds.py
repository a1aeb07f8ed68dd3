"""Folds grouped by source: every source is judged by a network that has seen neither it nor what it shares.

What a test fold shares with other sources, a named speaker or the same recording, leaves the training of that fold
only: a union of groups would chain a hundred sources together. Generators may be in both; whoever asks how unseen ones
fare looks at the families that the training lacks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..corpus.clips import Clip
from ..corpus.split import Splits
from ..errors import CorpusError
from ..examples.features import FeatureStore
from ..text import counted

NEAR_CORRELATION = 0.97
"""Clips whose coarse spectrograms correlate by more hold the same recording."""
NEAR_LENGTH = 0.04
"""Share of their frames by which their lengths may differ, and at least ``NEAR_FRAMES``."""
NEAR_FRAMES = 5
COARSE_BANDS, COARSE_POINTS = 20, 48
COARSE_RANGE_DB = 60.0
CLIPS_AT_ONCE = 1024
"""That are compared with all others in one go, to bound memory."""

HELD_OUT = 10
"""One source of so many validates and calibrates."""

Near = Mapping[str, Collection[str]]


def near_duplicates(clips: Sequence[Clip], store: FeatureStore) -> Near:
    """Return for each clip the names of clips of other sources that hold the same recording, or a copy of it.

    Raises
    ------
    CorpusError
        If the authors of a dataset put the same recording into two partitions.
    """
    clips = [clip for clip in clips if clip.name in store.extents]
    found = [_coarse(store.read(clip.name)) for clip in clips]
    vectors, frames = np.stack(found), np.array([store.frames(clip.name) for clip in clips])
    _, sources = np.unique([_source(clip) for clip in clips], return_inverse=True)
    near = defaultdict(set)
    for start in range(0, len(clips), CLIPS_AT_ONCE):
        some = slice(start, start + CLIPS_AT_ONCE)
        alike = vectors[some] @ vectors.T > NEAR_CORRELATION
        alike &= np.abs(frames[some, None] - frames) <= np.maximum(NEAR_FRAMES, NEAR_LENGTH * frames)
        alike &= sources[some, None] != sources
        for one, other in np.argwhere(alike):
            first, second = clips[start + one], clips[other]
            if first.split and second.split and first.split != second.split:
                raise CorpusError(
                    f"{first.name} ({first.split}) and {second.name} ({second.split}) hold the same recording: put "
                    "both into one split, or leave the column out."
                )
            near[first.name].add(second.name)
            near[second.name].add(first.name)
    return near


def _coarse(spectrogram: np.ndarray) -> np.ndarray:
    """Return a log-mel spectrogram as a few numbers of mean zero per band and length one, shape (points * bands,)."""
    values = spectrogram.astype(np.float32)
    values = np.maximum(values, values.max() - COARSE_RANGE_DB)
    for wanted in (COARSE_POINTS, COARSE_BANDS):
        edges = np.linspace(0, len(values), wanted + 1).astype(int)
        sums = np.add.reduceat(values, edges[:-1])
        values = (sums / np.maximum(1, np.diff(edges))[:, None]).T
    values = values - values.mean(axis=0)
    return (values / (np.linalg.norm(values) + 1e-9)).ravel()


def _source(clip: Clip) -> str:
    """Return the source of a clip, or else the folder that it lies in."""
    return clip.source or clip.name.rpartition("/")[0]


def fold_splits(clips: Sequence[Clip], folds: int, near: Near, seed: int = 0) -> list[Splits]:
    """Return the split of every fold: its sources are the test set, a tenth of the others validates.

    Raises
    ------
    CorpusError
        If there are fewer sources than folds, or a set of a fold lacks a class.
    """
    splits = []
    for number, test in enumerate(_dealt(clips, folds, seed), 1):
        names = {clip.name for clip in test}
        rest, left_out = _apart([clip for clip in clips if clip.name not in names], test, near, "the test set")
        train, validation = _held_out(rest, seed)
        sets = {"train": train, "validation": validation, "test": test}
        splits.append(_checked(sets, left_out, f"Fold {number} of {folds}"))
    return splits


def everything_split(clips: Sequence[Clip], near: Near, seed: int = 0) -> Splits:
    """Return the split of a network to be shipped: all sources train, but a tenth of them, which calibrates it.

    Parameters, errors as in :func:`fold_splits`.
    """
    own = [clip for clip in clips if clip.label != "Hybrid"]
    train, validation = _held_out(own, seed)
    train, left_out = _apart(train, validation, near, "calibration")
    left_out += [(clip, "hybrids by others never train") for clip in clips if clip.label == "Hybrid"]
    return _checked({"train": train, "validation": validation, "test": []}, left_out, "The training on all sources")


def _dealt(clips: Sequence[Clip], parts: int, seed: int) -> list[list[Clip]]:
    """Deal clips out so that each source is in one part, and the classes are spread evenly."""
    from sklearn.model_selection import StratifiedGroupKFold

    sources = [_source(clip) for clip in clips]
    if len(set(sources)) < parts:
        raise CorpusError(
            f"The corpus names {counted(len(set(sources)), 'source')}, too few for {parts} folds: name the source of "
            "each clip in clips.csv, or ask for fewer --folds."
        )
    labels = ["Fake" if clip.label == "Hybrid" else clip.label for clip in clips]
    if any(labels.count(label) < parts for label in ("Real", "Fake")):
        raise CorpusError(f"The corpus has too few Real or Fake clips for {parts} folds: add some, or ask for fewer.")
    dealt = StratifiedGroupKFold(parts, shuffle=True, random_state=seed).split(labels, labels, sources)
    return [[clips[index] for index in sorted(members)] for _, members in dealt]


def _held_out(clips: Sequence[Clip], seed: int) -> tuple[list[Clip], list[Clip]]:
    """Return the clips of nine tenths of the sources, and those of the rest, with both classes among them."""
    parts = _dealt(clips, max(2, min(HELD_OUT, len({_source(clip) for clip in clips}))), seed)
    held = next((part for part in parts if len({clip.label for clip in part}) > 1), parts[0])
    return [clip for part in parts if part is not held for clip in part], held


def _apart(clips: Sequence[Clip], held: Sequence[Clip], near: Near, where: str) -> tuple[list[Clip], list]:
    """Return the clips that share nothing with those that are held out, and the others with the reason."""
    names, speakers = {clip.name for clip in held}, {clip.speaker for clip in held} - {""}
    kept, left_out = [], []
    for clip in clips:
        if clip.label == "Hybrid":
            left_out.append((clip, "hybrids by others never train"))
        elif clip.speaker in speakers:
            left_out.append((clip, f"speaker {clip.speaker} stands in {where}"))
        elif not names.isdisjoint(near.get(clip.name, ())):
            left_out.append((clip, f"the same recording stands in {where}"))
        else:
            kept.append(clip)
    return kept, left_out


def _checked(sets: dict[str, list[Clip]], left_out: list, what: str) -> Splits:
    for split, members in sets.items():
        missing = {"Real", "Fake"} - {clip.label for clip in members}
        if members and missing:
            raise CorpusError(
                f"{what} would have no {missing.pop()} clip in its {split} set: add sources that hold both classes, or "
                "ask for fewer --folds."
            )
    clips = [clip for members in [*sets.values(), [clip for clip, _ in left_out]] for clip in members]
    return Splits(sets, {clip.name: f"source:{_source(clip)}" for clip in clips}, left_out, [])
