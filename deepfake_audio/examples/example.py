"""From clips on disk to labelled windows: frame labels, the feature store, and what a window is called.

Features are computed once per clip, kept in a cache on disk (:mod:`deepfake_audio.features.store`) and read window by
window: memory does not grow with the number of clips.
"""

from __future__ import annotations

import dataclasses
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from .. import console
from ..corpus.clips import SPLITS, Clip
from ..corpus.split import Splits
from ..errors import AudioError, RunError
from ..features.log_mel import log_mel
from ..features.speech import speech_seconds
from ..features.store import Extents, FeatureCache, Spectrogram
from ..settings import CLASS_NAMES, SAMPLE_RATE, FeatureSettings, Settings, WindowSettings
from ..sound.reading import about_audio, read_audio
from ..work import parallel
from .channels import through_channel
from .resynthesis import make_copies
from .splices import SplicePlan, build_splices

UNKNOWN = -1
"""Frame label of a Hybrid clip whose spans nobody wrote down."""


BOUNDARY_REACH = 1
"""Timeline frames before and after a boundary that are labelled with it."""

CLIPS_AT_A_TIME = 1024
"""Clips whose features are looked up and computed together."""
CLIPS_MEASURED = 16
"""Of those, how many tell by their headers how much room they all will take."""
COMPRESSED_BYTES_PER_SECOND = 8000
"""For that, of formats whose header only ffmpeg reads."""
LEAST_BYTES_PER_SECOND = 500
"""No speech codec needs less: whoever claims to be longer is damaged."""


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
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Example]:
    """Return the clips of one set and what is spliced from them into ``folder/split``.

    The training set also gets pseudo-fakes of its real clips, whole and as spans, and a copy of everything through
    a random channel; the others hold only what the corpus holds.
    """
    clips, groups = splits.sets[split], splits.groups
    seed = (settings.training.seed, SPLITS.index(split))
    if split == "train" and settings.hybrid.pseudo_fakes:
        copies = make_copies(clips, folder / "copies", seed, jobs, progress)
        clips = clips + copies
        groups = groups | {copy.name: f"generator:{copy.generator}" for copy in copies}
    splices = build_splices(clips, settings.hybrid, folder / split, seed, progress)
    examples = examples_of_clips(clips, groups) + examples_of_splices(splices, clips)
    copies = settings.augment.channel_copies if split == "train" else 0
    return examples + [
        dataclasses.replace(
            example,
            name=f"{example.name}#channel-{copy}",
            channel_seed=(*seed, copy, zlib.crc32(example.name.encode("utf-8", "surrogatepass"))),
        )
        for copy in range(copies)
        for example in examples
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


class FeatureStore:
    """Log-mel spectrograms of the clips of one run, on disk.

    Parameters
    ----------
    cache : FeatureCache
        Holds them.

    Attributes
    ----------
    extents : mapping of str to Extent
        Where each clip's spectrogram lies, by the clip's name.
    failures : dict of str to str
        Why a clip could not be decoded.
    """

    def __init__(self, cache: FeatureCache):
        self.cache = cache
        self.mel_bands = cache.mel_bands
        self.extents = Extents()
        self.failures: dict[str, str] = {}

    def frames(self, name: str) -> int:
        """Return the number of spectrogram frames of a clip."""
        return self.extents[name].frames

    def read(self, name: str, start: int = 0, frames: int | None = None) -> np.ndarray:
        """Read frames of one clip's spectrogram, fewer where the clip ends.

        Returns
        -------
        ndarray of float16, shape (frames, mel_bands)
        """
        extent = self.extents[name]
        available = extent.frames - start
        return self.cache.read(extent, start, available if frames is None else min(frames, available))


def extract_features(
    examples: Sequence[Example],
    folder: Path,
    settings: FeatureSettings,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> FeatureStore:
    """Compute the spectrogram of every example, unless the cache has it already.

    Parameters
    ----------
    examples : sequence of Example
        Clips; one that cannot be decoded is noted in ``FeatureStore.failures`` and skipped, and tried again next time.
    folder : Path
        Of the cache, which any number of runs may share.
    settings : FeatureSettings
        Frame and mel settings.
    jobs : int
        Threads that decode and transform; on a cluster (:mod:`deepfake_audio.work`) all of its workers do.
    progress : callable, optional
        Called with the number of clips done and wanted.

    Returns
    -------
    FeatureStore

    Raises
    ------
    RunError
        If the disk is full, or no clip can be read.
    """
    # Hashes of 64 bits instead of the names: a set of those of a large corpus takes as much memory as all the rest.
    names = np.fromiter((hash(example.name) for example in examples), np.int64, len(examples))
    if len(np.unique(names)) < len(names):
        raise ValueError("two examples have the same name, so one would be stored in place of the other")
    cache = FeatureCache(folder, settings)
    store = FeatureStore(cache)
    _announce(examples, cache, settings, jobs)
    with cache.writer() as writer, parallel(jobs) as workers:
        # A part of the clips at a time: memory holds a few of them, whatever their number.
        for part in _parts(examples):
            keys = _keys(part, cache, jobs)
            found = cache.find(keys, jobs=jobs)
            missing = [(key, example) for key, example in zip(keys, part, strict=True) if key not in found]
            done = len(store.extents) + len(store.failures) + len(part) - len(missing)
            if progress and done:
                progress(done, len(examples))
            results = _computed([example for _, example in missing], settings, workers)
            for (key, example), result in zip(missing, results, strict=True):
                if isinstance(result, Spectrogram):
                    found[key] = writer.add(key, result)
                else:
                    store.failures[example.name] = result
                done += 1
                if progress:
                    progress(done, len(examples))
            stored = {e.name: found[key] for key, e in zip(keys, part, strict=True) if key in found}
            store.extents.add(stored, stored.values())
    if not store.extents:
        raise RunError(
            f"None of the {len(examples)} clips could be read; the first says: {next(iter(store.failures.values()))}"
        )
    return store


def _parts(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    for start in range(0, len(examples), CLIPS_AT_A_TIME):
        yield examples[start : start + CLIPS_AT_A_TIME]


def _keys(examples: Sequence[Example], cache: FeatureCache, jobs: int) -> list[bytes]:
    return cache.keys([(example.path, example.channel_seed) for example in examples], jobs)


def _announce(examples: Sequence[Example], cache: FeatureCache, settings: FeatureSettings, jobs: int) -> None:
    """Say how much of the disk will be taken, before it is."""
    count, seconds = 0, 0.0
    for part in _parts(examples):
        keys = _keys(part, cache, jobs)
        found = cache.find(keys, check=False)
        missing = [example for key, example in zip(keys, part, strict=True) if key not in found]
        sample = missing[:: -(-len(missing) // CLIPS_MEASURED)] if missing else []
        seconds += len(missing) * sum(_header_seconds(example.path) for example in sample) / max(1, len(sample))
        count += len(missing)
    if not count:
        return
    wanted, free = int(seconds / settings.hop_seconds) * settings.mel_bands * 2, shutil.disk_usage(cache.folder).free
    what = f"{count} new clips: about {wanted / 1e6:,.0f} MB in {cache.folder}, where {free / 1e6:,.0f} MB are free"
    if wanted > free:
        raise RunError(f"There is no room for the features of {what}; make room or give --cache on another disk.")
    console.say(f"Features of {what}.")


def _header_seconds(path: Path) -> float:
    """Return how long a recording says that it is, or by its size seems to be."""
    size = path.stat().st_size if path.is_file() else 0
    about = about_audio(path)
    if about and about["samplerate"]:
        # A damaged header must not be what stops a run.
        return min(about["frames"] / about["samplerate"], size / LEAST_BYTES_PER_SECOND)
    return size / COMPRESSED_BYTES_PER_SECOND


def _computed(examples: Sequence[Example], settings: FeatureSettings, workers) -> Iterable[Spectrogram | str]:
    """Yield the spectrogram of each clip, or why there is none, in their order."""
    from joblib import delayed

    if not examples:
        return []
    # Workers of a cluster have another working directory.
    return workers(delayed(spectrogram)(e.path.absolute(), e.channel_seed, settings) for e in examples)


def spectrogram(path: Path, channel_seed: Sequence[int], settings: FeatureSettings) -> Spectrogram | str:
    """Decode one clip and compute its features.

    Parameters
    ----------
    path : Path
        The audio file.
    channel_seed : sequence of int
        Seed of the channel that it goes through; empty for none.
    settings : FeatureSettings
        Frame and mel settings.

    Returns
    -------
    Spectrogram or str
        Why it cannot be decoded, where it cannot.
    """
    try:
        samples = read_audio(path, settings.sample_rate)
    except AudioError as error:
        return str(error)
    if channel_seed:
        samples = through_channel(samples, np.random.default_rng(channel_seed))
    seconds = len(samples) / settings.sample_rate
    return Spectrogram(log_mel(samples, settings), seconds, speech_seconds(samples, settings.sample_rate))


def labels_of(example: Example, store: FeatureStore, settings: Settings) -> np.ndarray:
    """Return the timeline labels of a stored example, shape (timeline frames,)."""
    frames = -(-store.frames(example.name) // settings.window.frames_per_label)
    return example.frame_labels(frames, settings.label_seconds)


def boundaries_of(example: Example, store: FeatureStore, settings: Settings) -> np.ndarray:
    """Return the boundary labels of a stored example, shape (timeline frames,)."""
    frames = -(-store.frames(example.name) // settings.window.frames_per_label)
    return example.boundary_labels(frames, settings.label_seconds)
