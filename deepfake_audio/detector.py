"""Audio of any length -> verdict, confidence and timeline.

The recording is scanned by overlapping windows. Each window answers with three class probabilities and one
probability of fake per timeline frame; :func:`decide` turns all answers into one.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .audio import read_audio
from .checkpoint import Checkpoint, newest_checkpoint, read_checkpoint
from .errors import AudioError
from .features import cut_window, log_mel, normalise_window, speech_seconds, window_starts
from .glimpse import Glimpse
from .settings import CLASS_NAMES, NO_SPEECH, UNCERTAIN, DecisionSettings, Settings

BATCH_WINDOWS = 32

OUTPUTS = Path(__file__).resolve().parents[1] / "outputs"
"""Where runs are looked for when no checkpoint is named."""


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of the timeline, in seconds."""

    start: float
    end: float
    label: str
    fake_probability: float


@dataclasses.dataclass(frozen=True)
class Scan:
    """Answers of all windows over one recording, before any decision.

    Attributes
    ----------
    verdicts : ndarray, shape (windows, 3)
        Softmax outputs.
    timeline : ndarray, shape (timeline frames,)
        Probability of fake from the frame output, overlapping windows averaged.
    windows_of_frames : ndarray, shape (windows, 2)
        First and one past last timeline frame that each window covers.
    seconds, speech_seconds : float
        Length of the recording, and of what is not pause.
    """

    verdicts: np.ndarray
    timeline: np.ndarray
    windows_of_frames: np.ndarray
    seconds: float
    speech_seconds: float


@dataclasses.dataclass(frozen=True)
class Judgement:
    """The answer for one recording.

    Attributes
    ----------
    verdict : str
        ``Real``, ``Fake``, ``Hybrid``, ``Uncertain`` or ``No speech``.
    confidence : float
        Calibrated probability of the most probable class.
    probabilities : dict of str to float
        One per class; they sum to one.
    segments : tuple of Segment
        Real and fake stretches, without gaps.
    frame_probabilities : ndarray, shape (timeline frames,)
        Probability of fake.
    seconds, speech_seconds : float
        Lengths.
    """

    verdict: str
    confidence: float
    probabilities: dict[str, float]
    segments: tuple[Segment, ...]
    frame_probabilities: np.ndarray
    seconds: float
    speech_seconds: float

    @property
    def fake_seconds(self) -> float:
        """Total length of the fake stretches."""
        return float(sum(s.end - s.start for s in self.segments if s.label == "Fake"))

    def to_dict(self) -> dict:
        """Plain JSON types, rounded to what they are worth."""
        return {
            "verdict": self.verdict,
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
                    "fake_probability": round(s.fake_probability, 4),
                }
                for s in self.segments
            ],
        }


def scan_features(
    spectrogram: np.ndarray,
    settings: Settings,
    predict: Callable[[np.ndarray], dict[str, np.ndarray]],
    seconds: float,
    speech: float,
) -> Scan:
    """Run the network over a whole spectrogram.

    Parameters
    ----------
    spectrogram : ndarray, shape (frames, mel_bands)
        From :func:`deepfake_audio.features.log_mel`.
    settings : Settings
        Of the checkpoint.
    predict : callable
        From network inputs, shape (windows, frames, mel_bands), to its two outputs.
    seconds, speech : float
        Length of the recording and of its speech.
    """
    window = settings.window
    starts = window_starts(len(spectrogram), window)
    verdicts, steps = [], []
    for first in range(0, len(starts), BATCH_WINDOWS):
        batch = [
            normalise_window(cut_window(spectrogram, start, window.frames), settings.features)
            for start in starts[first : first + BATCH_WINDOWS]
        ]
        answer = predict(np.stack(batch))
        verdicts.append(answer["verdict"])
        steps.append(answer["timeline"][..., 0])
    steps = np.concatenate(steps)
    frames = -(-len(spectrogram) // window.frames_per_label)
    first_frames = starts // window.frames_per_label
    total, weight = np.zeros(frames), np.zeros(frames)
    # The middle of a window has heard what comes before and after, its ends have not.
    trust = np.minimum(np.arange(1, window.label_frames + 1), np.arange(window.label_frames, 0, -1))
    for start, values in zip(first_frames, steps, strict=True):
        end = min(start + window.label_frames, frames)
        total[start:end] += (values * trust)[: end - start]
        weight[start:end] += trust[: end - start]
    ends = np.minimum(first_frames + window.label_frames, frames)
    return Scan(np.concatenate(verdicts), total / weight, np.stack([first_frames, ends], axis=1), seconds, speech)


def decide(scan: Scan, settings: Settings, decision: DecisionSettings | None = None) -> Judgement:
    """Turn the answers of all windows into one.

    The probability of Real is the harmonic mean of the windows' probabilities of Real, likewise for Fake, and
    Hybrid has the rest: one window that speaks clearly against a class weighs more than one that speaks for it,
    and a recording whose windows disagree is Hybrid. With a single window the network's own softmax is unchanged.

    Parameters
    ----------
    scan : Scan
        From :func:`scan_features`.
    settings : Settings
        Of the checkpoint.
    decision : DecisionSettings, optional
        Other than the checkpoint's own.
    """
    decision = decision or settings.decision
    log_probabilities = np.log(np.clip(scan.verdicts, 1e-7, 1.0)) / decision.temperature
    verdicts = np.exp(log_probabilities - log_probabilities.max(axis=1, keepdims=True))
    verdicts /= verdicts.sum(axis=1, keepdims=True)
    real, fake = (1.0 / np.mean(1.0 / np.maximum(verdicts[:, i], 1e-6)) for i in (0, 1))
    probabilities = np.array([real, fake, max(0.0, 1.0 - real - fake)])

    frames = scan.timeline
    segments = _segments(frames, settings.label_seconds, scan.seconds, decision)
    confidence = float(probabilities.max())
    verdict = CLASS_NAMES[int(probabilities.argmax())]
    if scan.speech_seconds < decision.least_speech_seconds:
        # What the network makes of noise says nothing about a voice.
        probabilities = np.full(len(CLASS_NAMES), 1.0 / len(CLASS_NAMES))
        verdict, confidence, segments = NO_SPEECH, float(probabilities.max()), ()
    elif confidence < decision.least_confidence:
        verdict = UNCERTAIN
    return Judgement(
        verdict=verdict,
        confidence=confidence,
        probabilities=dict(zip(CLASS_NAMES, map(float, probabilities), strict=True)),
        segments=segments,
        frame_probabilities=frames,
        seconds=scan.seconds,
        speech_seconds=scan.speech_seconds,
    )


def _segments(frames: np.ndarray, frame_seconds: float, seconds: float, decision: DecisionSettings):
    """Cut the timeline at the threshold and merge what is too short to be heard as a stretch of its own."""
    fake = frames >= decision.fake_threshold
    shortest = round(decision.shortest_stretch_seconds / frame_seconds)
    while True:
        edges = np.concatenate([[0], np.flatnonzero(np.diff(fake)) + 1, [len(fake)]])
        lengths = np.diff(edges)
        if len(lengths) < 2 or lengths.min() >= shortest:
            break
        briefest = int(lengths.argmin())
        fake[edges[briefest] : edges[briefest + 1]] ^= True
    return tuple(
        Segment(
            start=float(start * frame_seconds),
            end=float(min(end * frame_seconds, seconds)) if end < len(fake) else float(seconds),
            label="Fake" if fake[start] else "Real",
            fake_probability=float(frames[start:end].mean()),
        )
        for start, end in itertools.pairwise(edges)
    )


class Detector:
    """A loaded checkpoint that judges recordings; several threads may use one.

    Parameters
    ----------
    checkpoint : Checkpoint or path, optional
        Its settings, and only those, are used. Without it, the newest one under ``outputs/`` beside this package, as
        ``script.py`` chooses.

    Raises
    ------
    CheckpointError
        If there is none, or it cannot be loaded.
    """

    def __init__(self, checkpoint: Checkpoint | str | os.PathLike | None = None):
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = read_checkpoint(newest_checkpoint(OUTPUTS) if checkpoint is None else Path(checkpoint))
        self.checkpoint = checkpoint
        self.settings = checkpoint.settings
        self.network = checkpoint.network()
        self._turn = threading.Lock()

    def judge(self, recording: str | os.PathLike | np.ndarray, glimpse: Glimpse | None = None) -> Judgement:
        """Judge a recording.

        Parameters
        ----------
        recording : path or ndarray of float32, shape (samples,)
            An audio file of any kind that :func:`deepfake_audio.audio.read_audio` reads, or mono samples in -1..1 at
            the checkpoint's sample rate.
        glimpse : Glimpse, optional
            Shown the recording on its way, for pictures.

        Raises
        ------
        AudioError
            If the file cannot be read, or holds nothing.
        """
        rate = self.settings.features.sample_rate
        samples = recording if isinstance(recording, np.ndarray) else read_audio(recording, rate)
        if not len(samples):
            raise AudioError("The recording holds no samples; record again or give another file.")
        spectrogram = log_mel(samples, self.settings.features)
        scan = scan_features(
            spectrogram,
            self.settings,
            self._predict,
            len(samples) / rate,
            speech_seconds(samples, rate),
        )
        judgement = decide(scan, self.settings)
        if glimpse is not None:
            glimpse.hear(samples)
            glimpse.see(spectrogram)
            glimpse.timeline = judgement.frame_probabilities
        return judgement

    def _predict(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        # Keras promises nothing about two threads in one network; each batch keeps all cores busy anyway.
        with self._turn:
            return self.network.predict_on_batch(windows)

    def model_info(self) -> dict[str, str]:
        """Say which model answered: name, date of training, version."""
        return self.checkpoint.about()
