"""Features of examples, computed once per content and kept on disk; frame labels that fit them.

They lie in a cache (:mod:`deepfake_audio.features.store`) and are read window by window: memory does not grow with the
number of clips.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from .. import console
from ..corpus.split import Splits
from ..errors import AudioError, RunError
from ..features.log_mel import log_mel
from ..features.speech import speech_seconds
from ..features.store import Extent, FeatureCache, Spectrogram
from ..settings import FeatureSettings, Settings
from ..sound.reading import about_audio, read_audio
from ..work import in_parallel
from .channels import through_channel
from .example import Example, split_examples

CLIPS_AT_A_TIME = 1024
"""Clips whose features are looked up and computed together."""
CLIPS_MEASURED = 16
"""Of those, how many tell by their headers how much room they all will take."""
COMPRESSED_BYTES_PER_SECOND = 8000
"""For that, of formats whose header only ffmpeg reads."""
LEAST_BYTES_PER_SECOND = 500
"""No speech codec needs less: whoever claims to be longer is damaged."""


class FeatureStore:
    """Log-mel spectrograms of the clips of one run, on disk.

    Parameters
    ----------
    cache : FeatureCache
        Holds them.

    Attributes
    ----------
    extents : dict of str to Extent
        Where each clip's spectrogram lies, by the clip's name.
    failures : dict of str to str
        Why a clip could not be decoded.
    """

    def __init__(self, cache: FeatureCache):
        self.cache = cache
        self.mel_bands = cache.mel_bands
        self.extents: dict[str, Extent] = {}
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
    # A part of the clips at a time: memory holds a few of them, whatever their number.
    for part in _parts(examples):
        keys = _keys(part, cache, jobs)
        found = cache.find(keys)
        missing = [(key, example) for key, example in zip(keys, part, strict=True) if key not in found]
        done = len(store.extents) + len(store.failures) + len(part) - len(missing)
        if progress and done:
            progress(done, len(examples))
        # Workers of a cluster have another working directory.
        rows = ((example.path.absolute(), example.channel_seed, settings) for _, example in missing)
        results = in_parallel(spectrogram, rows, jobs) if missing else ()
        for (key, example), result in zip(missing, results, strict=True):
            if isinstance(result, Spectrogram):
                found[key] = cache.add(key, result)
            else:
                store.failures[example.name] = result
            done += 1
            if progress:
                progress(done, len(examples))
        store.extents |= {e.name: found[key] for key, e in zip(keys, part, strict=True) if key in found}
    if not store.extents:
        raise RunError(
            f"None of the {len(examples)} clips could be read; the first says: {next(iter(store.failures.values()))}"
        )
    return store


def examples_with_features(
    splits: Splits, settings: Settings, folder: Path, cache: Path, jobs: int = 1
) -> tuple[dict[str, list[Example]], FeatureStore]:
    """Splice hybrids and their same-class controls, each set from its own clips; then features, once per content.

    Parameters
    ----------
    splits : Splits
        The corpus.
    settings : Settings
        Of the run.
    folder : Path
        Where the splices go, a folder per set.
    cache : Path
        Of the features.
    jobs : int
        Threads.

    Returns
    -------
    examples : dict of str to list of Example
        By set.
    store : FeatureStore
        Of all of them.
    """
    examples = {
        split: split_examples(split, splits, settings, folder, console.progress(split)) if members else []
        for split, members in splits.sets.items()
    }
    everything = [example for members in examples.values() for example in members]
    return examples, extract_features(everything, cache, settings.features, jobs, console.progress("Mel-spectrograms"))


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
