"""Judge stored examples with a network: once on validation to fit the decision, once on test for the report."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..examples.example import Example
from ..examples.features import FeatureStore
from ..judging.decision import LONG_SECONDS, decide, softmax, statistics, verdict_inputs
from ..judging.scanner import Scan, scan_features
from ..judging.timeline import smooth_segments, voiced_frames
from ..settings import CLASS_NAMES, NO_SPEECH, OPERATING_POINTS, DecisionSettings, Settings

Predict = Callable[[np.ndarray], dict[str, np.ndarray]]

BOUNDARY_THRESHOLDS = (0.3, 0.5, 0.7, 0.8, 0.9)
SEGMENT_WEIGHTS = (0.5, 0.8, 1.0)
"""Values that are tried for how the timeline follows the boundaries."""

MOST_VOUCHED = 0.1
"""Share of the fake validation clips, and of long fakes, families of generators weighing the same, that may be called
Real."""

MOST_SECONDS_ACCUSED = 0.02
"""Share of real validation speech that may lie in segments called Fake."""

NEAR_CLIPS = 30
"""As many clips as it takes for the weights of the verdict to leave the network's own answer."""

SENT_SHARE = 0.3
"""Weight of the clips' copies through channels, where there are any, beside the clips themselves."""

CALIBRATION_FOLDS = 5
"""Parts of the validation set, by source, whose thresholds come from weights fitted on the other parts."""


def scan_examples(
    examples: Sequence[Example], store: FeatureStore, settings: Settings, predict: Predict
) -> Iterator[tuple[Example, Scan]]:
    """Run the network over every stored example; those that could not be decoded are passed over."""
    for example in examples:
        if example.name in store.extents:
            extent = store.extents[example.name]
            yield (
                example,
                scan_features(store.read(example.name), settings, predict, extent.seconds, extent.speech_seconds),
            )


def fit_decision(scans: Sequence[tuple[Example, Scan]], settings: Settings) -> DecisionSettings:
    """Fit the rule of the verdict, its operating points and the timeline on validation clips.

    Parameters
    ----------
    scans : sequence of (Example, Scan)
        Validation set, from :func:`scan_examples`.
    settings : Settings
        Of the run; its decision settings are where calibration starts.

    Returns
    -------
    DecisionSettings
    """
    decision = _fit_timeline(scans, settings, _fit_verdict(scans, settings))
    return _fit_segments(scans, dataclasses.replace(settings, decision=decision))


def _fit_verdict(scans: Sequence[tuple[Example, Scan]], settings: Settings) -> DecisionSettings:
    """Fit the weights of the verdict and the thresholds between which it is withheld.

    The thresholds are read off probabilities that each clip got from weights fitted without its source, and hold for
    clips, for their copies through channels, and for all clips of a voice in a row. Clips without speech get no verdict
    and have no say.
    """
    decision = settings.decision
    spoken = [row for row in scans if row[1].speech_seconds >= decision.least_speech_seconds] or scans
    clips = [row for row in spoken if not row[0].channel_seed]
    sent = [row for row in spoken if row[0].channel_seed]
    parts = [clips, sent, _joined(clips)]
    shares = [1.0 - SENT_SHARE, SENT_SHARE, 0.0] if sent else [1.0, 0.0, 0.0]  # what is joined has been seen already
    scans = list(itertools.chain(*parts))
    examples = [example for example, _ in scans]
    found = np.stack([statistics(scan, voiced_frames(scan, settings), settings) for _, scan in scans])
    truth = np.array([CLASS_NAMES.index(example.label) for example in examples])
    groups = np.array([example.source or example.group for example in examples])
    families = [example.family or example.generator or group for example, group in zip(examples, groups, strict=True)]
    ends = list(itertools.accumulate(map(len, parts), initial=0))
    ranges = [range(*pair) for pair in itertools.pairwise(ends)]
    weights = np.concatenate(
        [share * _even_weights(truth[r], groups[r]) for share, r in zip(shares, ranges, strict=True)]
    )
    fitted = fit_verdict_weights(found, truth, weights)
    held_out = _held_out_probabilities(found, truth, groups, weights)
    not_real = 1.0 - held_out[:, CLASS_NAMES.index("Real")]

    def quantile(kind: str, of: Sequence[str], share: float, rows: Sequence[int]) -> float:
        members = [index for index in rows if examples[index].kind == kind]
        return _even_quantile(not_real[members], [of[index] for index in members], share) if members else 0.5

    def accused_from(percent: float) -> float:
        """Neither of all clips nor of the clips of all sources, each weighing the same, may more be accused."""
        alike = groups, [example.name for example in examples]
        return max(0.5, *(quantile("real", of, 1.0 - percent / 100, rows) for of in alike for rows in ranges))

    assured = min(0.5, quantile("fake", families, MOST_VOUCHED, ranges[0]))
    long = [index for index in ranges[-1] if scans[index][1].speech_seconds >= LONG_SECONDS] or ranges[0]
    return dataclasses.replace(
        decision,
        verdict_weights=tuple(map(float, fitted.ravel())),
        accusation_thresholds=tuple(map(accused_from, OPERATING_POINTS)),
        assurance_threshold=assured,
        long_assurance_threshold=max(assured, min(0.5, quantile("fake", families, MOST_VOUCHED, long))),
    )


def _joined(scans: Sequence[tuple[Example, Scan]]) -> list[tuple[Example, Scan]]:
    """Return the clips of each voice as one recording: what people bring is longer than what data sets hold."""
    voices = defaultdict(list)
    for example, scan in scans:
        if example.kind in ("real", "fake"):
            voice = (example.kind, example.source or example.group, example.generator, example.speaker)
            voices[voice].append((example, scan))
    return [(rows[0][0], _join([scan for _, scan in rows])) for rows in voices.values() if len(rows) > 1]


def _join(scans: Sequence[Scan]) -> Scan:
    """Return the answers over recordings that follow each other."""
    starts = np.cumsum([0, *(len(scan.timeline) for scan in scans)])
    known = all(scan.levels is not None for scan in scans)
    return Scan(
        verdicts=np.concatenate([scan.verdicts for scan in scans]),
        timeline=np.concatenate([scan.timeline for scan in scans]),
        boundaries=np.concatenate([scan.boundaries for scan in scans]),
        windows_of_frames=np.concatenate(
            [scan.windows_of_frames + start for scan, start in zip(scans, starts[:-1], strict=True)]
        ),
        seconds=sum(scan.seconds for scan in scans),
        speech_seconds=sum(scan.speech_seconds for scan in scans),
        levels=np.concatenate([scan.levels for scan in scans]) if known else None,
    )


def _even_weights(truth: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return a weight per clip: classes count alike, and a source within a class by the root of its size."""
    weights = np.zeros(len(truth))
    for label in np.unique(truth):
        members = np.flatnonzero(truth == label)
        sizes = Counter(groups[members])
        weights[members] = [sizes[group] ** -0.5 for group in groups[members]]
        weights[members] /= weights[members].sum()
    return weights / weights.sum()


def _even_quantile(values: np.ndarray, groups: Sequence[str], share: float) -> float:
    """Return the value that so large a share lies at or under, every group weighing the same."""
    sizes = Counter(groups)
    weights = np.array([1.0 / sizes[group] for group in groups])
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][np.searchsorted(reached, min(share, reached[-1]))])


def fit_verdict_weights(found: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fit a multinomial logistic regression that leaves the network's own answer as far as the clips are many.

    Parameters
    ----------
    found : ndarray, shape (clips, statistics)
        From :func:`deepfake_audio.judging.decision.statistics`.
    truth : ndarray of int, shape (clips,)
        Index into ``CLASS_NAMES``.
    weights : ndarray, shape (clips,)
        How much each clip counts; they sum to one.

    Returns
    -------
    ndarray, shape (3, 1 + statistics)
        A constant and weights per class.
    """
    from scipy.optimize import minimize

    middle, spread = found.mean(axis=0), found.std(axis=0) + 1e-6
    inputs = np.column_stack([np.ones(len(found)), (found - middle) / spread])
    plain = np.reshape(DecisionSettings().verdict_weights, (len(CLASS_NAMES), -1))
    start = np.column_stack([plain[:, 0] + plain[:, 1:] @ middle, plain[:, 1:] * spread])
    strength = NEAR_CLIPS / len(found)
    targets = np.eye(len(CLASS_NAMES))[truth]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        current = flat.reshape(start.shape)
        probabilities = softmax(inputs @ current.T)
        away = current - start
        right = np.maximum(probabilities[np.arange(len(truth)), truth], 1e-12)
        value = -weights @ np.log(right) + strength / 2 * np.sum(away**2)
        gradient = ((probabilities - targets) * weights[:, np.newaxis]).T @ inputs + strength * away
        return value, gradient.ravel()

    best = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x.reshape(start.shape)
    return np.column_stack([best[:, 0] - best[:, 1:] / spread @ middle, best[:, 1:] / spread])


def _held_out_probabilities(found, truth, groups, weights) -> np.ndarray:
    """Return probabilities, shape (clips, 3), each from weights that were fitted without the clip's group."""
    from sklearn.model_selection import GroupKFold

    folds = min(CALIBRATION_FOLDS, len(np.unique(groups)))
    probabilities = np.zeros((len(truth), len(CLASS_NAMES)))
    parts = GroupKFold(folds).split(found, truth, groups) if folds > 1 else [(slice(None), slice(None))]
    for rest, part in parts:
        fitted = fit_verdict_weights(found[rest], truth[rest], weights[rest] / weights[rest].sum())
        probabilities[part] = softmax(verdict_inputs(found[part]) @ fitted.T)
    return probabilities


def _fit_timeline(
    scans: Sequence[tuple[Example, Scan]], settings: Settings, decision: DecisionSettings
) -> DecisionSettings:
    """Fit how the timeline follows the boundaries, and its threshold.

    The best ones are those at which as many real frames of hybrids are called Fake as fake ones Real, and the fewest.
    """
    from sklearn.metrics import roc_curve

    hybrids = [(example, scan) for example, scan in scans if example.label == "Hybrid" and example.spans is not None]
    if not hybrids:
        return decision
    labels = np.concatenate([e.frame_labels(len(scan.timeline), settings.label_seconds) for e, scan in hybrids])
    if not 0 < labels.mean() < 1:
        return decision
    candidates = []
    for boundary_threshold, segment_weight in ((1.0, 0.0), *itertools.product(BOUNDARY_THRESHOLDS, SEGMENT_WEIGHTS)):
        candidate = dataclasses.replace(decision, boundary_threshold=boundary_threshold, segment_weight=segment_weight)
        frames = np.concatenate([smooth_segments(scan, candidate) for _, scan in hybrids])
        false_alarms, hits, thresholds = roc_curve(labels, frames)
        equal = int(np.argmin(np.abs(false_alarms - (1 - hits))))
        threshold = float(np.clip(thresholds[equal], 0.05, 0.95))
        error = float(false_alarms[equal] + 1 - hits[equal])
        candidates.append((error, dataclasses.replace(candidate, fake_threshold=threshold)))
    return min(candidates, key=lambda row: row[0])[1]


def _fit_segments(scans: Sequence[tuple[Example, Scan]], settings: Settings) -> DecisionSettings:
    """Fit from which mean probability on a segment is called Fake: seldom in real speech, otherwise it is Unclear."""
    decision = dataclasses.replace(settings.decision, segment_threshold=0.0)
    loud = dataclasses.replace(settings, decision=decision)
    seconds, suspicious = 0.0, []
    for example, scan in scans:
        if example.kind != "real":
            continue
        for segment in decide(scan, loud).segments:
            if segment.label != NO_SPEECH:
                seconds += segment.end - segment.start
            if segment.label == "Fake":
                suspicious.append((segment.fake_probability, segment.end - segment.start))
    threshold, called = decision.fake_threshold, 0.0
    for probability, length in sorted(suspicious, reverse=True):
        called += length
        if called > MOST_SECONDS_ACCUSED * seconds:
            threshold = max(threshold, float(np.nextafter(probability, 1.0)))
            break
    return dataclasses.replace(decision, segment_threshold=min(threshold, 1.0))
