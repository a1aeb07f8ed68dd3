"""Answers of all windows -> one verdict, how sure it is, and why it is withheld where it is."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..settings import CLASS_NAMES, NO_SPEECH, UNCERTAIN, DecisionSettings, Settings
from .scanner import Scan
from .timeline import Segment, cut_segments, smooth_segments, voiced_frames

SPOKEN_SECONDS = 0.3
"""Windows with less speech than this have no say in the verdict."""

CREDIBLE_SECONDS = 0.2
"""A verdict of Hybrid needs a fake segment and a real one of at least this length, each on average on its own side of
the timeline's threshold."""

LOW_CONFIDENCE = "low confidence"
MIGHT_ACCUSE = "too many real recordings look like that"
NO_FAKE_SEGMENT = "no credible fake segment"
NO_REAL_SEGMENT = "no credible real speech"


@dataclasses.dataclass(frozen=True)
class Judgement:
    """The answer for one recording.

    Attributes
    ----------
    verdict : str
        ``Real``, ``Fake``, ``Hybrid``, ``Uncertain`` or ``No speech``.
    confidence : float
        Calibrated probability of the verdict; where it is withheld, of the most probable class.
    probabilities : dict of str to float
        One per class; they sum to one.
    segments : tuple of Segment
        Segments that are Real, Fake or No speech, without gaps.
    frame_probabilities : ndarray, shape (timeline frames,)
        Probability of fake.
    seconds, speech_seconds : float
        Lengths.
    reason : str or None
        Why the verdict is Uncertain: one of ``LOW_CONFIDENCE``, ``MIGHT_ACCUSE``, ``NO_FAKE_SEGMENT``,
        ``NO_REAL_SEGMENT``.
    notes : tuple of str
        Sentences on how the file was read, where that is not as usual.
    """

    verdict: str
    confidence: float
    probabilities: dict[str, float]
    segments: tuple[Segment, ...]
    frame_probabilities: np.ndarray
    seconds: float
    speech_seconds: float
    reason: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def fake_seconds(self) -> float:
        """Total length of the fake segments."""
        return float(sum(s.end - s.start for s in self.segments if s.label == "Fake"))

    def to_dict(self) -> dict:
        """Plain JSON types, rounded to what they are worth."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "confidence": round(self.confidence, 4),
            "probabilities": {name: round(value, 4) for name, value in self.probabilities.items()},
            "seconds": round(self.seconds, 3),
            "speech_seconds": round(self.speech_seconds, 3),
            "fake_seconds": round(self.fake_seconds, 3),
            "segments": [
                {
                    "start": round(s.start, 3),
                    "end": round(s.end, 3),
                    "label": s.label,
                    "fake_probability": None if s.fake_probability is None else round(s.fake_probability, 4),
                }
                for s in self.segments
            ],
            "notes": list(self.notes),
        }


def decide(
    scan: Scan, settings: Settings, threshold: float | None = None, overwrite_timeline: bool = False
) -> Judgement:
    """Turn the answers of all windows into one.

    The most probable class is the verdict, if it is confident enough; Hybrid also needs a timeline that shows a
    credible fake segment and credible real speech.

    Parameters
    ----------
    scan : Scan
        From :func:`deepfake_audio.judging.scanner.scan_features`.
    settings : Settings
        Of the checkpoint.
    threshold : float, optional
        The verdict is Real where the probability of being anything else is under this, and otherwise the more probable
        one of Fake and Hybrid, however low the confidence.
    overwrite_timeline : bool
        See :func:`deepfake_audio.judging.timeline.smooth_segments`.
    """
    decision = settings.decision
    frames, voiced = smooth_segments(scan, decision, overwrite_timeline), voiced_frames(scan, settings)
    probabilities = class_probabilities(scan, voiced, settings, decision.temperature)
    segments = cut_segments(frames, voiced, settings.label_seconds, scan.seconds, decision)
    if scan.speech_seconds < decision.least_speech_seconds:
        # What the network makes of noise says nothing about a voice.
        probabilities = np.full(len(CLASS_NAMES), 1.0 / len(CLASS_NAMES))
        verdict, reason, segments = NO_SPEECH, None, ()
    else:
        verdict, reason = _verdict(probabilities, segments, decision, threshold)
    shares = dict(zip(CLASS_NAMES, map(float, probabilities), strict=True))
    return Judgement(
        verdict=verdict,
        confidence=shares.get(verdict, max(shares.values())),
        probabilities=shares,
        segments=segments,
        frame_probabilities=frames,
        seconds=scan.seconds,
        speech_seconds=scan.speech_seconds,
        reason=reason,
    )


def _verdict(
    probabilities: np.ndarray, segments: tuple[Segment, ...], decision: DecisionSettings, threshold: float | None
) -> tuple[str, str | None]:
    """Return the verdict, and why it is Uncertain."""
    if threshold is None:
        verdict = CLASS_NAMES[int(probabilities.argmax())]
        if probabilities.max() < decision.least_confidence:
            return UNCERTAIN, LOW_CONFIDENCE
        if verdict != "Real" and probabilities.max() < decision.least_accusation:
            return UNCERTAIN, MIGHT_ACCUSE
    else:
        verdict = "Real" if 1.0 - probabilities[0] < threshold else CLASS_NAMES[1 + int(probabilities[1:].argmax())]
    if verdict == "Hybrid" and not _shows("Fake", segments, decision):
        return UNCERTAIN, NO_FAKE_SEGMENT
    if verdict == "Hybrid" and not _shows("Real", segments, decision):
        return UNCERTAIN, NO_REAL_SEGMENT
    return verdict, None


def class_probabilities(scan: Scan, voiced: np.ndarray, settings: Settings, temperature: float) -> np.ndarray:
    """Return how probable each class is for the whole recording.

    The probability of Real is the harmonic mean of the windows' probabilities of Real, likewise for Fake, and
    Hybrid has the rest: one window that speaks clearly against a class weighs more than one that speaks for it,
    and a recording whose windows disagree is Hybrid. With a single window the network's own softmax is unchanged.
    Windows with hardly any speech have no say.

    Parameters
    ----------
    scan : Scan
        From :func:`deepfake_audio.judging.scanner.scan_features`.
    voiced : ndarray of bool, shape (timeline frames,)
        From :func:`deepfake_audio.judging.timeline.voiced_frames`.
    settings : Settings
        Of the checkpoint.
    temperature : float
        What the windows' log-probabilities are divided by.

    Returns
    -------
    ndarray, shape (3,)
    """
    counts = np.array([np.count_nonzero(voiced[first:last]) for first, last in scan.windows_of_frames])
    spoken = counts * settings.label_seconds >= SPOKEN_SECONDS
    verdicts = scan.verdicts[spoken] if spoken.any() else scan.verdicts
    log_probabilities = np.log(np.clip(verdicts.astype(np.float64), 1e-7, 1.0)) / temperature
    verdicts = np.exp(log_probabilities - log_probabilities.max(axis=1, keepdims=True))
    verdicts /= verdicts.sum(axis=1, keepdims=True)
    real, fake = (1.0 / np.mean(1.0 / np.maximum(verdicts[:, i], 1e-6)) for i in (0, 1))
    return np.array([real, fake, max(0.0, 1.0 - real - fake)])


def _shows(label: str, segments: tuple[Segment, ...], decision: DecisionSettings) -> bool:
    """Return whether a credible segment has this label: long enough, and on its own side of the threshold."""
    return any(
        s.label == label
        and s.end - s.start >= CREDIBLE_SECONDS - 1e-9
        and (s.fake_probability >= decision.fake_threshold) == (label == "Fake")
        for s in segments
    )
