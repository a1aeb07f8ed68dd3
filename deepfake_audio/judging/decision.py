"""Answers of all windows -> one verdict, how sure it is, and why it is withheld where it is."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..settings import (
    CLASS_NAMES,
    NO_SPEECH,
    OPERATING_POINT,
    OPERATING_POINTS,
    UNCERTAIN,
    UNCLEAR,
    DecisionSettings,
    Settings,
)
from .scanner import Scan
from .timeline import Segment, cut_segments, smooth_segments, voiced_frames

SPOKEN_SECONDS = 0.3
"""Windows with less speech than this have no say in the verdict."""

CREDIBLE_SECONDS = 0.2
"""A verdict of Hybrid needs a fake segment and a real one of at least this length, each on average on its own side of
the timeline's threshold."""

SMALLEST_PROBABILITY = 1e-3
"""Nearer to 0 and 1 the network's probabilities tell no more."""

CLIP_SECONDS, LONG_SECONDS = 3.0, 12.0
"""With so much speech a recording counts as a clip, and as long: see :func:`assured_up_to`."""

SMOOTH_SECONDS = 0.2
EXTREMES = (0.95, 0.05)
"""A short part that looks synthetic shows in a quantile of the timeline, over means of so many seconds."""

MIGHT_ACCUSE = "too many real recordings look like that"
MIGHT_VOUCH = "too many fake recordings look like that"
NO_FAKE_SEGMENT = "no credible fake segment"
NO_REAL_SEGMENT = "no credible real speech"


@dataclasses.dataclass(frozen=True, repr=False)
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
        Why the verdict is Uncertain: one of ``MIGHT_ACCUSE``, ``MIGHT_VOUCH``, ``NO_FAKE_SEGMENT``,
        ``NO_REAL_SEGMENT``.
    channels : tuple of Judgement or None
        About each channel, where they hold different sounds: all else is about the worst of them then.
    notes : tuple of str
        What a reader should know about how the recording was read.
    """

    verdict: str
    confidence: float
    probabilities: dict[str, float]
    segments: tuple[Segment, ...]
    frame_probabilities: np.ndarray
    seconds: float
    speech_seconds: float
    reason: str | None = None
    channels: tuple[Judgement, ...] | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<{self.verdict} {self.confidence:.2f}, {self.seconds:.1f} s>"

    @property
    def fake_seconds(self) -> float:
        """Total length of the fake segments."""
        return float(sum(s.end - s.start for s in self.segments if s.label == "Fake"))

    def to_dict(self) -> dict:
        """Plain JSON types, rounded to what they are worth."""
        return self._about_one() | {
            "channels": None if self.channels is None else [channel._about_one() for channel in self.channels],
            "notes": list(self.notes),
        }

    def _about_one(self) -> dict:
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
        }


def name_rule(threshold: float | None, operating_point: int) -> str:
    """Return a few words that tell one rule of the verdict from another: answers of two rules are not mixed."""
    return f"operating point {operating_point} %" if threshold is None else f"threshold {threshold:g}"


def decide(
    scan: Scan,
    settings: Settings,
    threshold: float | None = None,
    operating_point: int = OPERATING_POINT,
) -> Judgement:
    """Turn the answers of all windows into one.

    The verdict is Fake or Hybrid where few real recordings look like that, Real where few fakes do, and withheld in
    between. Hybrid also needs a timeline that shows a credible fake segment and credible real speech.

    Parameters
    ----------
    scan : Scan
        From :func:`deepfake_audio.judging.scanner.scan_features`.
    settings : Settings
        Of the checkpoint.
    threshold : float, optional
        The verdict is Real where the probability of being anything else is under this, and otherwise the more probable
        one of Fake and Hybrid: nothing is withheld.
    operating_point : int
        One of ``OPERATING_POINTS``.
    """
    decision = settings.decision
    voiced = voiced_frames(scan, settings)
    probabilities = class_probabilities(scan, voiced, settings)
    frames = smooth_segments(scan, decision)
    segments = cut_segments(frames, voiced, settings.label_seconds, scan.seconds, decision)
    if scan.speech_seconds < decision.least_speech_seconds:
        # What the network makes of noise says nothing about a voice.
        probabilities = np.full(len(CLASS_NAMES), 1.0 / len(CLASS_NAMES))
        verdict, reason, segments = NO_SPEECH, None, ()
    else:
        accused = decision.accusation_thresholds[OPERATING_POINTS.index(operating_point)]
        assured = assured_up_to(scan.speech_seconds, decision)
        limits = (accused, assured) if threshold is None else (threshold, 1.0)
        verdict, reason = _verdict(probabilities, segments, decision, *limits)
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


def assured_up_to(speech_seconds: float, decision: DecisionSettings) -> float:
    """Return up to which probability of not being Real the answer is Real.

    The extremes of a long recording look more suspicious than those of a clip, in real speech and in fakes. Between the
    two thresholds it rises with the logarithm of the length.
    """
    octaves = np.log2(max(speech_seconds, CLIP_SECONDS) / CLIP_SECONDS) / np.log2(LONG_SECONDS / CLIP_SECONDS)
    short, long = decision.assurance_threshold, decision.long_assurance_threshold
    return float(short + min(octaves, 1.0) * (long - short))


def _verdict(
    probabilities: np.ndarray, segments: tuple[Segment, ...], decision: DecisionSettings, accused: float, assured: float
) -> tuple[str, str | None]:
    """Return the verdict, and why it is Uncertain."""
    not_real = 1.0 - probabilities[0]
    if not_real < accused:
        if not_real <= assured:
            return "Real", None
        return UNCERTAIN, MIGHT_ACCUSE if not_real >= 0.5 else MIGHT_VOUCH
    verdict = CLASS_NAMES[1 + int(probabilities[1:].argmax())]
    if verdict == "Hybrid" and not _shows(("Fake", UNCLEAR), segments, decision):
        return UNCERTAIN, NO_FAKE_SEGMENT
    if verdict == "Hybrid" and not _shows(("Real",), segments, decision):
        return UNCERTAIN, NO_REAL_SEGMENT
    return verdict, None


def statistics(scan: Scan, voiced: np.ndarray, settings: Settings) -> np.ndarray:
    """Return what the verdict is computed from: means over windows, and mean, extremes and spread of the timeline.

    Parameters
    ----------
    scan : Scan
        From :func:`deepfake_audio.judging.scanner.scan_features`.
    voiced : ndarray of bool, shape (timeline frames,)
        From :func:`deepfake_audio.judging.timeline.voiced_frames`.
    settings : Settings
        Of the checkpoint.

    Returns
    -------
    ndarray, shape (len(STATISTICS),)
        The windows' log-probabilities of the three classes, averaged over windows with speech; then of the log-odds of
        fake in speech the mean, the quantiles ``EXTREMES`` over ``SMOOTH_SECONDS``, and the standard deviation. None of
        them grows with the length of a recording.
    """
    counts = np.array([np.count_nonzero(voiced[first:last]) for first, last in scan.windows_of_frames])
    spoken = counts * settings.label_seconds >= SPOKEN_SECONDS
    verdicts = scan.verdicts[spoken] if spoken.any() else scan.verdicts
    windows = np.log(np.clip(verdicts, SMALLEST_PROBABILITY, 1.0)).mean(axis=0)
    timeline = scan.timeline[voiced] if voiced.any() else scan.timeline
    timeline = np.clip(timeline, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    odds = np.log(timeline / (1 - timeline))
    size = min(len(odds), max(1, round(SMOOTH_SECONDS / settings.label_seconds)))
    sums = np.concatenate([[0.0], np.cumsum(odds, dtype=np.float64)])
    smooth = (sums[size:] - sums[:-size]) / size
    return np.array([*windows, odds.mean(), *_quantiles(smooth, EXTREMES), odds.std()])


def _quantiles(values: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Return what ``np.quantile`` does, which imports as much as a verdict takes."""
    ordered, places = np.sort(values), np.array(shares) * (len(values) - 1)
    below = places.astype(int)
    above = np.minimum(below + 1, len(values) - 1)
    return ordered[below] + (places - below) * (ordered[above] - ordered[below])


def verdict_inputs(found: np.ndarray) -> np.ndarray:
    """Return statistics, shape (..., statistics), with a constant of one before them."""
    return np.concatenate([np.ones((*found.shape[:-1], 1)), found], axis=-1)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def class_probabilities(scan: Scan, voiced: np.ndarray, settings: Settings) -> np.ndarray:
    """Return how probable each class is for the whole recording: a logistic model on :func:`statistics`.

    Parameters as there; the result has shape (3,).
    """
    weights = np.reshape(settings.decision.verdict_weights, (len(CLASS_NAMES), -1))
    return softmax(weights @ verdict_inputs(statistics(scan, voiced, settings)))


def _shows(labels: tuple[str, ...], segments: tuple[Segment, ...], decision: DecisionSettings) -> bool:
    """Return whether a credible segment has one of these labels: long enough, and on its own side of the threshold."""
    return any(
        s.label in labels
        and s.end - s.start >= CREDIBLE_SECONDS - 1e-9
        and (s.fake_probability >= decision.fake_threshold) == (s.label != "Real")
        for s in segments
    )
