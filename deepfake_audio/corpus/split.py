"""Which recordings exist, with which label, speaker, generator and source, and in which set they stand.

How a folder is read is told in :mod:`deepfake_audio.corpus.layouts`. The split comes before any splicing, so that no
voice, source or generator is seen in training and again in the test; partitions that a dataset's authors made are
kept.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from ..errors import CorpusError
from ..settings import CLASS_NAMES
from ..sound.reading import about_audio
from ..text import counted
from .clips import SPLITS, Clip
from .doubles import copies_of

TRAIN = SPLITS.index("train")

TIES = ("source", "generator_family", "speaker")
"""What can tie a clip to a set, in the order in which it is looked at."""

ANY_TIE = ("generator_family", "speaker")
"""What ties clips of a class that comes with partitions only."""

CANDIDATE_CLIPS = 200_000
"""Seeded splits are drawn until they have dealt this many clips, and a well balanced one is taken; only clips are
counted, nothing is trained."""

BALANCE_TOLERANCE = 0.1
"""Among candidates that score this close to the best one, the seed chooses."""

MOST_GROUPS_WANTED = 3
"""Groups of a class that every set should have, where the corpus has three times as many."""

FEWEST_CLIPS = 3
"""Clips of Real and of Fake that every set needs."""

LONG_SECONDS = 30.0
"""A recording counts as another clip for every so many seconds, where there are few."""


@dataclasses.dataclass(frozen=True)
class Splits:
    """A corpus in its three sets.

    Attributes
    ----------
    groups : dict of str to str
        For each clip's name the group that was kept together.
    left_out : list of (Clip, str)
        Clips that would have tied two sets together, with the reason.
    warnings : list of str
        What the user should know about this split.
    """

    sets: dict[str, list[Clip]]
    groups: dict[str, str]
    left_out: list[tuple[Clip, str]]
    warnings: list[str]

    def counts(self, without: Collection[str] = ()) -> dict[str, dict[str, int]]:
        """Clips per set and class, those of certain names left out."""
        used = {split: [clip.label for clip in clips if clip.name not in without] for split, clips in self.sets.items()}
        return {split: {label: labels.count(label) for label in CLASS_NAMES} for split, labels in used.items()}


def split_corpus(clips: Sequence[Clip], seed: int = 0) -> Splits:
    """Put every clip in one set, so that no speaker, source or generator stands in two.

    Partitions that a dataset's authors made are kept. Sets that a dataset lacks are cut from its training clips, and
    datasets without partitions are split, by groups that are dealt out 60 : 20 : 20 with scikit-learn's
    `GroupShuffleSplit`. A clip's group is its source; where a class has too few sources to fill three sets, its
    generator (Fake, Hybrid) or speaker (Real) instead. What then still ties two sets together, such as a copy of a
    training speaker by a test generator, is left out. Where that leaves a set without a class, because every generator
    speaks with every voice, all classes are split by speaker, and generators stand in several sets.

    Raises
    ------
    CorpusError
        If a class is missing or the corpus cannot be split three ways.
    """
    counts = Counter(clip.label for clip in clips)
    for label in ("Real", "Fake"):
        if not _enough([clip for clip in clips if clip.label == label], FEWEST_CLIPS * len(SPLITS)):
            raise CorpusError(
                f"The corpus has {counted(counts[label], f'{label} clip')} and needs at least "
                f"{FEWEST_CLIPS * len(SPLITS)}; add recordings under a folder named "
                f"'{label.lower()}', or another dataset to --data."
            )
    splits = _split(clips, seed)
    if problem := _shortage(splits):
        # Where every generator speaks with every voice, as in corpora made for challenges, voices come first.
        by_voice = _split(clips, seed, by_voice=True)
        if _shortage(by_voice):
            raise CorpusError(problem)
        splits = by_voice
    if splits.left_out:
        splits.warnings.append(
            f"{len(splits.left_out)} of {len(clips)} clips are left out because their speaker or generator "
            "also stands in another set."
        )
    return _each_once(splits)


def _each_once(splits: Splits) -> Splits:
    """Leave out of validation and test what also stands in a set before them, whatever it is called there."""
    placed = [(clip, split) for split in SPLITS for clip in splits.sets[split]]
    twice = copies_of([clip for clip, _ in placed], [split for _, split in placed])
    if not twice:
        return splits
    number = counted(len(twice), "clip", "of validation or test is left out: its recording stands",
                     "of validation or test are left out: their recordings stand")  # fmt: skip
    first = min(twice)
    warning = f"{number} in another set, too, such as {placed[first][0].name}, {twice[first]}."
    sets = {split: [clip for n, (clip, at) in enumerate(placed) if at == split and n not in twice] for split in SPLITS}
    left_out = splits.left_out + [(placed[n][0], reason) for n, reason in twice.items()]
    splits = Splits(sets, splits.groups, left_out, [*splits.warnings, warning])
    if problem := _shortage(splits):
        raise CorpusError(f"{warning} {problem}")
    return splits


def _split(clips: Sequence[Clip], seed: int, by_voice: bool = False) -> Splits:
    """Split without asking whether every set has enough."""
    allowed = _allowed_splits(clips)
    movable = allowed.sum(axis=1) > 1
    free = [clip for clip, may in zip(clips, movable, strict=True) if may]
    fixed = [clip for clip, may in zip(clips, movable, strict=True) if not may]
    groups, used, warnings = _groups(free, by_voice)
    groups |= _groups_of_partitions(fixed)
    split_of, tied, homes = _deal(clips, groups, used, allowed, movable, seed)
    return Splits(
        sets={
            split: [clips[i] for i in np.flatnonzero((tied < 0) & (split_of == s))] for s, split in enumerate(SPLITS)
        },
        groups=groups,
        left_out=[(clips[i], _reason(clips[i], TIES[tied[i]], SPLITS[homes[i]])) for i in np.flatnonzero(tied >= 0)],
        warnings=warnings + _shared_by_partitions(fixed),
    )


def _shortage(splits: Splits) -> str:
    """Say which set has too few clips of a class, if one has."""
    official = any(clip.split for clips in splits.sets.values() for clip in clips)
    for split, clips in splits.sets.items():
        for label in ("Real", "Fake"):
            members = [clip for clip in clips if clip.label == label]
            if not _enough(members, FEWEST_CLIPS):
                kind = "speakers or sources" if label == "Real" else "generators or sources"
                advice = f"add {label} clips of other {kind} (at least {len(SPLITS)} are needed, more are better)."
                if official:
                    advice = "the datasets' own partitions have no more: add another dataset to --data."
                what = f"{counted(len(members), f'{label} clip')} would be left for {split}"
                return f"The corpus is too small to split: {what}; {advice}"
    return ""


def _enough(clips: Sequence[Clip], wanted: int) -> bool:
    """Say whether clips are as many as wanted, or few but long: a speech of ten minutes is many windows."""
    if len(clips) >= wanted:
        return True
    worth = 0
    for clip in clips:
        # What cannot be opened here is reported where it is decoded.
        about = about_audio(clip.path)
        worth += 1 + int(about["frames"] / about["samplerate"] / LONG_SECONDS if about else 0)
    return worth >= wanted


def _allowed_splits(clips: Sequence[Clip]) -> np.ndarray:
    """Say which sets each clip may be in, as booleans of shape (clips, sets)."""
    given: dict[str, set[str]] = {}
    for clip in clips:
        if clip.split:
            given.setdefault(clip.name.split("/", 1)[0], set()).add(clip.split)
    rows = {"": [True] * len(SPLITS)} | {split: [split == other for other in SPLITS] for split in SPLITS}
    # Training clips of a dataset without, say, a validation set may be in either.
    train = {dataset: [split == "train" or split not in sets for split in SPLITS] for dataset, sets in given.items()}
    return np.array(
        [train[clip.name.split("/", 1)[0]] if clip.split == "train" else rows[clip.split] for clip in clips], dtype=bool
    ).reshape(-1, len(SPLITS))


def _deal(
    clips: Sequence[Clip], groups: dict[str, str], used: dict, allowed: np.ndarray, movable: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw many splits of the clips that may move and return one of the best: set, tie (-1: none), home of the tie."""
    split_of = allowed.argmax(axis=1)
    tied, homes = np.full((2, len(clips)), -1)
    count = np.count_nonzero(movable)
    # Numbers in the order of the names: the same split as by name, but quick for a hundred thousand clips.
    names = [groups[clip.name] for clip, may in zip(clips, movable, strict=True) if may]
    values, keys = np.unique(names, return_inverse=True)
    if len(values) < len(SPLITS):
        return split_of, tied, homes  # all in the training set, if they may
    from sklearn.model_selection import GroupShuffleSplit

    labels = np.array([CLASS_NAMES.index(clip.label) for clip in clips])[movable]
    ties = _ties(clips, used)
    # A number of groups, not a share of what is left: of six groups, each set must get a Real and a Fake one.
    fifth = -(-len(values) // 5)
    candidates = []
    rng = np.random.default_rng(seed)
    for number in rng.integers(2**31, size=int(np.clip(CANDIDATE_CLIPS // count, 20, 2000))):
        drawn = np.full(count, TRAIN)
        outer = GroupShuffleSplit(1, test_size=fifth, random_state=int(number))
        rest, test = next(outer.split(labels, groups=keys))
        inner = GroupShuffleSplit(1, test_size=fifth, random_state=int(number))
        drawn[test] = SPLITS.index("test")
        drawn[rest[next(inner.split(rest, groups=keys[rest]))[1]]] = SPLITS.index("validation")
        drawn[~allowed[movable, drawn]] = TRAIN
        candidate = split_of.copy()
        candidate[movable] = drawn
        tied, homes = _tied(ties, candidate, allowed)
        candidates.append((_imbalance(labels, keys, drawn, tied[movable] < 0), candidate, tied, homes))
    best = min(score for score, *_ in candidates)
    good = [candidate for candidate in candidates if candidate[0] <= best + BALANCE_TOLERANCE]
    return good[int(rng.integers(len(good)))][1:]


def _groups_of_partitions(clips: Sequence[Clip]) -> dict[str, str]:
    """Name the groups of clips whose set is given: nothing depends on them but how evenly training draws."""
    kinds = (next((key for key in _order(clip.label) if getattr(clip, key)), None) for clip in clips)
    return {clip.name: _group(clip, kind) for clip, kind in zip(clips, kinds, strict=True)}


def _order(label: str) -> tuple[str, ...]:
    """Return what may keep clips of a class together, the coarsest first."""
    return ("source", "speaker") if label == "Real" else ("source", "generator_family", "speaker")


def _group(clip: Clip, kind: str | None) -> str:
    """Name the group that a clip belongs to by its source, speaker or generator; its own where it has none."""
    value = getattr(clip, kind) if kind else ""
    return f"{kind}:{value}" if value else f"clip:{clip.name}"


def _shared_by_partitions(clips: Sequence[Clip]) -> list[str]:
    """Warn about voices and systems that the authors of datasets put in several sets."""
    shared = []
    for key in ("speaker", "generator"):
        sets: dict[str, set[str]] = {}
        for clip in clips:
            if getattr(clip, key):
                sets.setdefault(getattr(clip, key), set()).add(clip.split)
        several = sum(len(found) > 1 for found in sets.values())
        if several:
            shared.append(f"{several} of {counted(len(sets), key)}")
    if not shared:
        return []
    return [f"The datasets' own partitions are kept; in them {' and '.join(shared)} stand in more than one set."]


def _groups(clips: Sequence[Clip], by_voice: bool) -> tuple[dict[str, str], dict[str, set[str]], list[str]]:
    """Name each clip's group, and per class the labels that may not stand in two sets."""
    groups: dict[str, str] = {}
    used: dict[str, set[str]] = {}
    warnings: list[str] = []
    for label in CLASS_NAMES:
        members = [clip for clip in clips if clip.label == label]
        if not members:
            continue
        voices = {clip.speaker for clip in members} - {""}
        if label == "Real" and len(voices) == 1:
            warnings.append(
                f"All Real clips with a known speaker are by {voices.pop()!r}: "
                "the detector may learn the voice; add other real speakers."
            )
        order = ("speaker", "source") if by_voice else _order(label)
        # A single fake generator or source repeated everywhere cannot fill three sets: use the next finer label.
        chosen = next((key for key in order if _fills_three_sets(members, key)), None)
        if chosen is None:
            warnings.append(
                f"{label} clips name no {' or '.join(order).replace('_family', '')} that could be kept in one set: "
                "split by file, so results will look better than they are; put each speaker or generator "
                "in a folder of its own."
            )
        for key in order[: order.index(chosen)] if chosen else ():
            passed_over = {getattr(clip, key) for clip in members} - {""}
            if passed_over:
                kind = key.replace("_family", "")
                warnings.append(
                    f"{label} clips name {counted(len(passed_over), f'different {kind} label')}, too few or too "
                    f"seldom for three sets: the same {kind} may stand in several."
                )
        groups |= {clip.name: _group(clip, chosen) for clip in members}
        used[label] = set(order[order.index(chosen) :] if chosen and not by_voice else ()) | {"speaker"}
    if by_voice and any(clip.generator for clip in clips):
        warnings.append(
            "The same generators speak with the voices of every set, so that only voices are kept apart: how "
            "generators unseen in training are judged is not tested."
        )
    return groups, used, warnings


def _fills_three_sets(members: Sequence[Clip], key: str) -> bool:
    values = Counter(getattr(clip, key) for clip in members)
    return len([value for value in values if value]) >= len(SPLITS) and values[""] <= len(members) / 2


def _ties(clips: Sequence[Clip], used: dict[str, set[str]]) -> dict[str, np.ndarray]:
    """Number, for each kind of tie, the values that clips share; -1 where a clip has none that counts."""
    ties = {}
    for key in TIES:
        values = [getattr(clip, key) if key in used.get(clip.label, ANY_TIE) else "" for clip in clips]
        numbers = {value: number for number, value in enumerate(sorted(set(values) - {""}))}
        ties[key] = np.array([numbers.get(value, -1) for value in values])
    return ties


def _tied(ties: dict[str, np.ndarray], split_of: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Say what ties a clip to another set than its own, as an index into ``TIES`` (-1: nothing), and to which one.

    A speaker, source or generator is at home where most of its clips are; clips whose authors say where they belong
    count before all others. A clip is not held to a home where it may not be: what is shared by the partitions of one
    dataset is its authors' doing.
    """
    tied, home_of = np.full((2, len(split_of)), -1)
    weights = np.where(allowed.sum(axis=1) > 1, 1, len(split_of))
    for index, numbers in enumerate(ties.values()):
        counts = (tied < 0) & (numbers >= 0)
        places = numbers[counts] * len(SPLITS) + split_of[counts]
        votes = np.bincount(places, weights=weights[counts], minlength=len(SPLITS))
        votes = np.pad(votes, (0, -len(votes) % len(SPLITS)))
        homes = votes.reshape(-1, len(SPLITS)).argmax(axis=1)
        members = np.flatnonzero(counts)
        home = homes[numbers[members]]
        away = (home != split_of[members]) & allowed[members, home]
        tied[members[away]] = index
        home_of[members[away]] = home[away]
    return tied, home_of


def _reason(clip: Clip, key: str, home: str) -> str:
    return f"{key.replace('_family', '')} {getattr(clip, key)} stands in {home}"


def _imbalance(labels, keys, split_of, kept) -> float:
    """How far a candidate is from 60 : 20 : 20 in clips of each class, and from several groups in every set."""
    wanted = {"train": 0.6, "validation": 0.2, "test": 0.2}
    score = 0.0
    for label in np.unique(labels):
        of_label = labels == label
        groups = len(np.unique(keys[of_label]))
        for number, split in enumerate(SPLITS):
            share = wanted[split]
            here = of_label & kept & (split_of == number)
            # Relative, so that an empty test set weighs more than a slightly smaller training set; what is
            # missing from training is missed by all three.
            missing = max(0.0, share - np.count_nonzero(here) / of_label.sum()) / share
            score += missing * (3.0 if split == "train" else 1.0)
            # A set that is one source or one generator measures that one, whatever its number of clips.
            enough = min(MOST_GROUPS_WANTED, groups // len(SPLITS))
            score += 0.5 * max(0, enough - len(np.unique(keys[here]))) / max(enough, 1)
    return score
