"""Shortcuts: how well Real and Fake are told apart by what has nothing to do with speech.

Where all fakes come at another level, length or file format than the real clips, a detector learns that and nothing
else, and its test figures look splendid (leading silence alone reaches 85 % accuracy on ASVspoof 2019, arXiv
2106.12914). For each such property a simple classifier that sees nothing else is trained on the training set and
tested on the test set.

And how to tell "real" speech that a vocoder made: its lengths are whole numbers of the vocoder's steps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from ..errors import AudioError
from ..settings import SAMPLE_RATE
from ..sound.reading import about_audio, read_audio
from ..work import in_parallel
from .clips import Clip
from .split import Splits

MOST_CLIPS = 300
"""Clips of each class and set that are measured; more would only take longer."""

SUSPICIOUS_AUC = 0.65
"""Area under the ROC curve from which on a property is worth a warning."""

HOPS = (512, 256, 600, 300, 320)
"""Samples that vocoders make in one step; a multiple before its part."""

MOST_WHOLE, FEWEST_LENGTHS = 0.6, 5
"""Share of so many different lengths that are whole numbers of steps, from which on it is worth a warning."""

FRAME = 320
SILENCE_DB = 40.0
"""Frames further than this under the loudest one are silence."""


def measure(path: Path) -> dict[str, list[float]]:
    """Measure the properties of one recording.

    Returns
    -------
    dict of str to list of float
        ``level``: RMS and peak in dB re full scale. ``silence``: seconds before and after the speech and the share of
        pauses. ``noise floor``: level of the quietest twentieth of the frames under the loudest, in dB. ``bandwidth``:
        frequencies in Hz under which 99 % and 99.99 % of the power lie. ``length``: seconds.

    Raises
    ------
    AudioError
        If the file cannot be read.
    """
    samples = read_audio(path).astype(np.float64)
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME) if len(samples) >= FRAME else samples[None]
    level = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-10)
    loud = np.flatnonzero(level > level.max() - SILENCE_DB)
    power = np.mean([np.abs(np.fft.rfft(frame * np.hanning(len(frame)))) ** 2 for frame in frames], axis=0)
    below = np.cumsum(power) / max(power.sum(), 1e-20)
    step = SAMPLE_RATE / 2 / max(len(power) - 1, 1)
    second = SAMPLE_RATE / frames.shape[1]
    return {
        "level": [10 * np.log10(np.mean(samples**2) + 1e-10), 20 * np.log10(np.abs(samples).max() + 1e-5)],
        "silence": [loud[0] / second, (len(level) - 1 - loud[-1]) / second, 1 - len(loud) / len(level)],
        "noise floor": [float(np.quantile(level, 0.05) - level.max())],
        "bandwidth": [np.searchsorted(below, share) * step for share in (0.99, 0.9999)],
        "length": [len(samples) / SAMPLE_RATE],
    }


def file_format(path: Path) -> str:
    """Say what a file is coded in and at which rate, as far as its header tells."""
    about = about_audio(path)
    if about is None:
        return path.suffix.lower()
    return f"{about['format']} {about['subtype']}, {about['samplerate']} Hz, {about['channels']} channel(s)"


def shortcuts(splits: Splits, seed: int = 0, jobs: int = 1) -> dict[str, float]:
    """Return how well Real and Fake are told apart by each property alone: area under the ROC curve on the test set.

    0.5 is chance, 1.0 says that the property alone gives every fake away. Empty where a class has no readable clip in
    training or test set. `seed` says which clips are measured where a set has more than ``MOST_CLIPS`` of a class;
    `jobs` are threads.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(seed)
    chosen = [
        (split, clip)
        for split in ("train", "test")
        for label in ("Real", "Fake")
        for clip in _some([c for c in splits.sets[split] if c.label == label], rng)
    ]

    def one(clip: Clip):
        try:
            return measure(clip.path) | {"format": file_format(clip.path)}
        except AudioError:
            return None  # counted where features are extracted

    measured = in_parallel(one, [(clip,) for _, clip in chosen], jobs, "Audit of shortcuts")
    readable = [(*row, found) for row, found in zip(chosen, measured, strict=True) if found]
    split_of = np.array([split for split, _, _ in readable])
    fake = np.array([clip.label == "Fake" for _, clip, _ in readable], dtype=int)
    if any(len(set(fake[split_of == split])) < 2 for split in ("train", "test")):
        return {}
    formats = sorted({found["format"] for _, _, found in readable})
    areas = {}
    for name in readable[0][2]:
        if name == "format":
            values = np.array([[found[name] == kind for kind in formats] for _, _, found in readable], dtype=float)
        else:
            values = np.array([found[name] for _, _, found in readable])
        tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=5, class_weight="balanced", random_state=0)
        tree.fit(values[split_of == "train"], fake[split_of == "train"])
        scores = tree.predict_proba(values[split_of == "test"])[:, 1]
        areas[name] = float(roc_auc_score(fake[split_of == "test"], scores))
    return areas


def _some(clips: list[Clip], rng: np.random.Generator) -> list[Clip]:
    if len(clips) <= MOST_CLIPS:
        return clips
    return [clips[i] for i in sorted(rng.choice(len(clips), MOST_CLIPS, replace=False))]


def suspicions(areas: dict[str, float]) -> list[str]:
    """Put into words which properties give the classes away."""
    return [
        f"{name} alone tells Real from Fake with an AUC of {area:.2f} (0.5 is chance): the detector may have learnt "
        "that instead of speech; add clips that differ in it to both classes."
        for name, area in areas.items()
        if area > SUSPICIOUS_AUC
    ]


def whole_hops(lengths: Mapping[tuple[str, str, int], Collection[int]]) -> list[str]:
    """Point out real clips that may have been through a vocoder, by their lengths.

    Parameters
    ----------
    lengths : mapping of (str, str, int) to collection of int
        For source, class and rate in Hz the different lengths in samples, before anything was cut.

    Returns
    -------
    list of str
        A sentence for each source of Real clips of which more than ``MOST_WHOLE`` of the lengths are multiples of
        one of ``HOPS``, where there are at least ``FEWEST_LENGTHS``.
    """
    found = []
    for (source, label, rate), samples in sorted(lengths.items()):
        shares = {hop: sum(length % hop == 0 for length in samples) / len(samples) for hop in HOPS}
        hop = next((hop for hop in HOPS if shares[hop] > MOST_WHOLE), 0)
        if label == "Real" and len(samples) >= FEWEST_LENGTHS and hop:
            found.append(
                f"{shares[hop]:.0%} of {len(samples)} different lengths of Real clips of "
                f"{source or 'an unnamed source'} at {rate} Hz are multiples of {hop} samples, where chance gives "
                f"{1 / hop:.1%}: a vocoder may have made them (frames of 10 ms and recorders' buffers do the same); "
                "listen to them, and leave them out if they are no recordings."
            )
    return found
