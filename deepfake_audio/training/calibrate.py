"""Judge stored examples with a network: once on validation to fit the decision, once on test for the report."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..examples.example import Example
from ..examples.features import FeatureStore, labels_of
from ..judging.decision import class_probabilities
from ..judging.scanner import Scan, scan_features
from ..judging.timeline import smooth_segments, voiced_frames
from ..settings import CLASS_NAMES, DecisionSettings, Settings

Predict = Callable[[np.ndarray], dict[str, np.ndarray]]

LEAST_SHARE_RIGHT = 0.5
"""Share of right verdicts that a confidence must have had on validation to be given as a verdict."""

BOUNDARY_THRESHOLDS = (0.3, 0.5, 0.7, 0.8, 0.9)
SEGMENT_WEIGHTS = (0.5, 0.8, 1.0)
"""Values that are tried for how the timeline follows the boundaries."""

MOST_ACCUSED = 0.05
"""Share of the real validation clips that may be called Fake or Hybrid. Recordings out of domain fare worse."""

TEMPERATURES = (0.25, 10.0)
"""Range in which the temperature is sought."""


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


def fit_decision(scans: Sequence[tuple[Example, Scan]], store: FeatureStore, settings: Settings) -> DecisionSettings:
    """Fit temperature, thresholds of the verdict and the timeline on validation clips.

    Parameters
    ----------
    scans : sequence of (Example, Scan)
        Validation set, from :func:`scan_examples`.
    store : FeatureStore
        For frame labels.
    settings : Settings
        Of the run; its operating point is where calibration starts.

    Returns
    -------
    DecisionSettings
    """
    return _fit_timeline(scans, store, settings, _fit_verdict(scans, settings))


def _fit_verdict(scans: Sequence[tuple[Example, Scan]], settings: Settings) -> DecisionSettings:
    """Fit temperature and thresholds of the verdict.

    The temperature minimises the negative log-likelihood of whole-clip verdicts, classes weighted alike (Guo et
    al. 2017, "On Calibration of Modern Neural Networks"). Verdicts are Uncertain below the confidence from which on
    they were right more often than wrong, by isotonic regression; Fake and Hybrid also where more than ``MOST_ACCUSED``
    of the real clips would be accused. Clips without speech get no verdict and have no say.
    """
    from scipy.optimize import minimize_scalar
    from sklearn.isotonic import IsotonicRegression

    decision = settings.decision
    scans = [row for row in scans if row[1].speech_seconds >= decision.least_speech_seconds] or scans
    truth = np.array([CLASS_NAMES.index(example.label) for example, _ in scans])
    weights = 1.0 / np.bincount(truth, minlength=len(CLASS_NAMES))[truth]
    voiced = [voiced_frames(scan, settings) for _, scan in scans]

    def probabilities(temperature: float) -> np.ndarray:
        each = zip(scans, voiced, strict=True)
        return np.stack([class_probabilities(scan, mask, settings, temperature) for (_, scan), mask in each])

    def loss(log_temperature: float) -> float:
        right = probabilities(float(np.exp(log_temperature)))[np.arange(len(truth)), truth]
        return float(np.average(-np.log(np.maximum(right, 1e-6)), weights=weights))

    found = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded")
    temperature = float(np.exp(found.x))
    answers = probabilities(temperature)
    confidence, decided = answers.max(axis=1), answers.argmax(axis=1)

    regression = IsotonicRegression(out_of_bounds="clip")
    share_right = regression.fit_transform(confidence, decided == truth, sample_weight=weights)
    trusted = confidence[share_right >= LEAST_SHARE_RIGHT]
    least = float(trusted.min()) if len(trusted) else 1.0  # never right more often than wrong: never a verdict
    least_confidence = 0.0 if least <= confidence.min() else least

    real = CLASS_NAMES.index("Real")
    accused = np.where(decided == real, 0.0, confidence)[truth == real]
    least_accusation = decision.least_accusation
    if len(accused):
        # The next number above: the confidence itself would still let the clip at the limit through.
        least_accusation = float(np.nextafter(np.quantile(accused, 1.0 - MOST_ACCUSED, method="higher"), 2.0))
    return dataclasses.replace(
        decision, temperature=temperature, least_confidence=least_confidence, least_accusation=least_accusation
    )


def _fit_timeline(
    scans: Sequence[tuple[Example, Scan]], store: FeatureStore, settings: Settings, decision: DecisionSettings
) -> DecisionSettings:
    """Fit how the timeline follows the boundaries, and its threshold.

    The best ones are those at which as many real frames of hybrids are called Fake as fake ones Real, and the fewest.
    """
    from sklearn.metrics import roc_curve

    hybrids = [(example, scan) for example, scan in scans if example.label == "Hybrid" and example.spans is not None]
    if not hybrids:
        return decision
    labels = np.concatenate([labels_of(example, store, settings) for example, _ in hybrids])
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
