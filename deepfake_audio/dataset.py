"""From clips on disk to labelled windows: frame labels, the feature store, and what a window is called.

Features are computed once per clip and kept in one flat file, read window by window: memory does not grow with
the number of clips.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .audio import read_audio
from .augment import through_channel
from .corpus import SIDES, Clip, Split
from .errors import AudioError, RunError
from .features import log_mel, speech_seconds
from .files import atomic_path
from .hybrid import SplicePlan, build_splices
from .resynthesis import make_copies
from .settings import CLASS_NAMES, SAMPLE_RATE, FeatureSettings, Settings, WindowSettings

UNKNOWN = -1
"""Frame label of a Hybrid clip whose spans nobody wrote down."""


JOIN_REACH = 1
"""Timeline frames before and after a join that are labelled with it."""


@dataclasses.dataclass(frozen=True)
class Example:
    """One clip to learn from or to be tested on, whether recorded, synthesised or spliced.

    Attributes
    ----------
    name, label, speaker, generator, source, language : str
        As in :class:`deepfake_audio.corpus.Clip`; a splice has the labels of its synthetic donor.
    path : Path
        The audio file.
    kind : str
        ``real``, ``fake``, ``hybrid``, or a same-class control: ``real+real``, ``fake+fake``.
    group : str
        What training draws from evenly: the group of the split, or the kind of a splice.
    spans : tuple of (float, float), or None
        Fake stretches in seconds; None where unknown. The whole clip for Fake.
    channel_seed : tuple of int
        Seed of the channel that the clip is sent through before its features are taken; empty for none.
    joins : tuple of float
        Seconds at which one piece takes over from another, whatever the pieces are.
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
    joins: tuple[float, ...] = ()

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

    def join_labels(self, frames: int, label_seconds: float) -> np.ndarray:
        """Return 1 for the timeline frames around a join, 0 for the others, ``UNKNOWN`` where nobody knows.

        Parameters and result as in :meth:`frame_labels`.
        """
        if self.spans is None:
            return np.full(frames, UNKNOWN, dtype=np.int8)
        labels = np.zeros(frames, dtype=np.int8)
        for join in self.joins:
            at = int(join / label_seconds)
            labels[max(0, at - JOIN_REACH) : at + JOIN_REACH + 1] = 1
        return labels


def examples_of_clips(clips: Sequence[Clip], groups: dict[str, str]) -> list[Example]:
    """Turn the clips of one side into examples."""
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
            joins=tuple(edge for span in clip.spans or () for edge in span if edge > 0),
        )
        for clip in clips
    ]


def examples_of_splices(splices: Sequence[tuple[SplicePlan, Path]], clips: Sequence[Clip]) -> list[Example]:
    """Turn spliced clips into examples; `clips` are their parents."""
    parents = {clip.name: clip for clip in clips}
    examples = []
    for plan, path in splices:
        base = parents[plan.pieces[0].clip]
        fakes = [parents[piece.clip] for piece in plan.pieces if piece.label == "Fake"]
        examples.append(
            Example(
                name=f"{path.parent.name}/{plan.name}",  # every side counts its splices from zero
                path=path,
                label=plan.label,
                kind=plan.kind,
                group=f"{plan.kind}, mostly {plan.pieces[0].label}",
                speaker=base.speaker,
                generator=fakes[0].generator if fakes else "",
                source=base.source,
                language=base.language,
                spans=tuple((start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in plan.fake_spans),
                joins=tuple(position / SAMPLE_RATE for position in plan.boundaries),
            )
        )
    return examples


def side_examples(
    side: str,
    split: Split,
    settings: Settings,
    folder: Path,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Example]:
    """Return the clips of one side and what is spliced from them into ``folder/side``.

    The training side also gets pseudo-fakes of its real clips, whole and as spans, and a copy of everything through
    a random channel; the others hold only what the corpus holds.
    """
    clips, groups = split.sides[side], split.groups
    seed = (settings.training.seed, SIDES.index(side))
    if side == "train" and settings.hybrid.pseudo_fakes:
        copies = make_copies(clips, folder / "copies", seed, jobs, progress)
        clips = clips + copies
        groups = groups | {copy.name: f"generator:{copy.generator}" for copy in copies}
    splices = build_splices(clips, settings.hybrid, folder / side, seed, progress)
    examples = examples_of_clips(clips, groups) + examples_of_splices(splices, clips)
    copies = settings.augment.channel_copies if side == "train" else 0
    return examples + [
        dataclasses.replace(
            example, name=f"{example.name}#channel-{copy}", channel_seed=(settings.training.seed, copy, number)
        )
        for copy in range(copies)
        for number, example in enumerate(examples)
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


class Extent(NamedTuple):
    """Where a clip's spectrogram lies in the store, in frames, and how long the clip is, in seconds."""

    offset: int
    frames: int
    seconds: float
    speech_seconds: float


class FeatureStore:
    """Log-mel spectrograms of many clips in one flat file of half-precision numbers.

    Parameters
    ----------
    folder : Path
        Folder that :func:`extract_features` filled.
    """

    def __init__(self, folder: Path):
        index = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        self.path = folder / "features.f16"
        self.mel_bands = index["mel_bands"]
        self.extents = {name: Extent(*extent) for name, extent in index["extents"].items()}
        self.failures: dict[str, str] = index["failures"]

    def frames(self, name: str) -> int:
        """Return the number of spectrogram frames of a clip."""
        return self.extents[name].frames

    def read(self, name: str, start: int = 0, frames: int | None = None) -> np.ndarray:
        """Read frames of one clip's spectrogram, fewer where the clip ends.

        Returns
        -------
        ndarray of float16, shape (frames, mel_bands)
        """
        offset, available = self.extents[name][:2]
        count = available - start if frames is None else min(frames, available - start)
        # A plain read rather than a memory map: mapped pages would count as memory of the process.
        with self.path.open("rb") as file:
            file.seek((offset + start) * self.mel_bands * 2)
            values = np.fromfile(file, dtype=np.float16, count=count * self.mel_bands)
        return values.reshape(count, self.mel_bands)


def extract_features(
    examples: Sequence[Example],
    folder: Path,
    settings: FeatureSettings,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> FeatureStore:
    """Compute the spectrogram of every example once and store it; a store that holds them all is used as it is.

    Parameters
    ----------
    examples : sequence of Example
        Clips; one that cannot be decoded is noted in ``FeatureStore.failures`` and skipped.
    folder : Path
        Where ``features.f16`` and ``features.json`` go.
    settings : FeatureSettings
        Frame and mel settings.
    jobs : int
        Threads that decode and transform.
    progress : callable, optional
        Called with the number of clips done and wanted.

    Returns
    -------
    FeatureStore
    """
    from joblib import Parallel, delayed

    if len({example.name for example in examples}) < len(examples):
        raise ValueError("two examples have the same name, so one would be stored in place of the other")
    if (folder / "features.json").is_file():  # written last
        store = FeatureStore(folder)
        if all(example.name in store.extents or example.name in store.failures for example in examples):
            return store
    extents: dict[str, Extent] = {}
    failures: dict[str, str] = {}
    position = 0

    def one(example: Example):
        try:
            samples = read_audio(example.path, settings.sample_rate)
        except AudioError as error:
            return None, str(error)
        if example.channel_seed:
            samples = through_channel(samples, np.random.default_rng(example.channel_seed))
        seconds = len(samples) / settings.sample_rate
        return log_mel(samples, settings), (seconds, speech_seconds(samples, settings.sample_rate))

    with atomic_path(folder / "features.f16") as temporary, temporary.open("wb") as file:
        # Results come one by one and in order, so memory holds a few clips whatever their number.
        results = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(delayed(one)(e) for e in examples)
        for number, (example, (spectrogram, told)) in enumerate(zip(examples, results, strict=True)):
            if spectrogram is None:
                failures[example.name] = told
            else:
                file.write(spectrogram.tobytes())
                extents[example.name] = Extent(position, len(spectrogram), *told)
                position += len(spectrogram)
            if progress:
                progress(number + 1, len(examples))
    if not extents:
        raise RunError(
            f"None of the {len(examples)} clips could be read; the first says: {next(iter(failures.values()))}"
        )
    index = {"mel_bands": settings.mel_bands, "extents": extents, "failures": failures}
    with atomic_path(folder / "features.json") as temporary:
        temporary.write_text(json.dumps(index), encoding="utf-8")
    return FeatureStore(folder)


def labels_of(example: Example, store: FeatureStore, settings: Settings) -> np.ndarray:
    """Return the timeline labels of a stored example, shape (timeline frames,)."""
    frames = -(-store.frames(example.name) // settings.window.frames_per_label)
    return example.frame_labels(frames, settings.label_seconds)


def joins_of(example: Example, store: FeatureStore, settings: Settings) -> np.ndarray:
    """Return the join labels of a stored example, shape (timeline frames,)."""
    frames = -(-store.frames(example.name) // settings.window.frames_per_label)
    return example.join_labels(frames, settings.label_seconds)
