"""Audio of any length -> verdict, confidence and timeline.

The recording is scanned by overlapping windows while it is read. Each window answers with three class probabilities
and one probability of fake per timeline frame; :func:`deepfake_audio.judging.decision.decide` turns all answers into
one. What is kept of a recording are a few numbers per timeline frame, so hours need hardly more memory than seconds.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from .. import places
from ..errors import AudioError
from ..features.draw import Glimpse
from ..features.log_mel import LogMelStream
from ..features.speech import SpeechMeter, speech_seconds
from ..model.checkpoint import Checkpoint, choose_checkpoint, read_checkpoint
from ..model.engines import ENGINES, load_engine
from ..settings import OPERATING_POINT
from ..sound.reading import stream_audio
from .decision import Judgement, decide, name_rule
from .scanner import Scan, Scanner, scan_features


class Detector:
    """A loaded checkpoint that judges recordings; several threads may use one.

    Parameters
    ----------
    checkpoint : Checkpoint or path, optional
        Its settings, and only those, are used. Without it, the newest one under ``outputs/``, as
        ``script.py`` chooses.
    threshold : float, optional
        See :func:`deepfake_audio.judging.decision.decide`; it takes the place of the operating point.
    engine : str
        ``onnx``, which falls back to the weights where the ONNX network is missing or cannot be used, or
        ``keras``.
    operating_point : int
        Percent of real validation recordings that may be called Fake or Hybrid: one of ``OPERATING_POINTS``.

    Raises
    ------
    CheckpointError
        If there is none, or it cannot be loaded.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | str | os.PathLike | None = None,
        threshold: float | None = None,
        engine: str = ENGINES[0],
        operating_point: int = OPERATING_POINT,
    ):
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = read_checkpoint(Path(checkpoint or choose_checkpoint(places.outputs())[0]))
        self.checkpoint = checkpoint
        self.settings = checkpoint.settings
        self.threshold, self.operating_point = threshold, operating_point
        self.rule = name_rule(threshold, operating_point)
        self.engine = load_engine(checkpoint, engine)
        # Every core runs a batch of windows, whichever recording it is of, while others are decoded and transformed.
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="network")

    def judge(
        self,
        recording: str | os.PathLike | np.ndarray,
        glimpse: Glimpse | None = None,
        heard: Callable[[float], None] | None = None,
    ) -> Judgement:
        """Judge a recording of any length; a file is read piece by piece.

        Parameters
        ----------
        recording : path or ndarray of float32, shape (samples,)
            An audio file of any kind that :func:`deepfake_audio.sound.reading.read_audio` reads, or mono samples in
            -1..1 at the checkpoint's sample rate.
        glimpse : Glimpse, optional
            Shown the recording on its way, for pictures.
        heard : callable, optional
            Told now and then how many seconds have been read; what it raises ends the work.

        Raises
        ------
        AudioError
            If the file cannot be read, or holds nothing.
        """
        # Whatever listened is gone before the decision: of hours, both need memory.
        notes: list[str] = []
        judgement = self.decide(self._scan(recording, glimpse, heard, notes), overwrite_timeline=True)
        judgement = dataclasses.replace(judgement, notes=tuple(notes))
        if glimpse is not None:
            glimpse.timeline = judgement.frame_probabilities
        return judgement

    def decide(self, scan: Scan, overwrite_timeline: bool = False) -> Judgement:
        """Turn the answers of all windows into one, by this detector's rule."""
        return decide(scan, self.settings, self.threshold, overwrite_timeline, self.operating_point)

    def _scan(
        self,
        recording: str | os.PathLike | np.ndarray,
        glimpse: Glimpse | None,
        heard: Callable[[float], None] | None,
        notes: list[str],
    ) -> Scan:
        features = self.settings.features
        if isinstance(recording, np.ndarray):
            if not len(recording):
                raise AudioError("The recording holds no samples; record again or give another file.")
            pieces = iter([recording])
        else:
            pieces = stream_audio(recording, features.sample_rate, notes)
        spectrogram, meter = LogMelStream(features, self.engine.mel_filters), SpeechMeter(features.sample_rate)
        scanner, count = Scanner(self.settings, self.engine.predict, self._pool), 0

        def see(frames: np.ndarray) -> None:
            scanner.push(frames)
            if glimpse is not None:
                glimpse.see(frames)

        for piece in pieces:
            count += len(piece)
            meter.push(piece)
            see(spectrogram.push(piece))
            if glimpse is not None:
                glimpse.hear(piece)
            if heard is not None:
                heard(count / features.sample_rate)
        see(spectrogram.finish())
        return scanner.finish(count / features.sample_rate, meter.seconds())

    def rolling(self, seconds: float) -> Rolling:
        """Return what judges the last seconds of a sound that goes on."""
        return Rolling(self, seconds)

    def model_info(self) -> dict[str, str]:
        """Say which model answered: name, date of training, version."""
        return self.checkpoint.about()


class Rolling:
    """The last seconds of a sound that goes on; features of a frame are computed once, however often it is judged.

    Parameters
    ----------
    detector : Detector
        Who judges.
    seconds : float
        How much of the past a judgement is about.
    """

    BLOCK_FRAMES = 5
    """Features lag behind the sound by no more than this."""

    def __init__(self, detector: Detector, seconds: float):
        features = detector.settings.features
        self._detector = detector
        self._most_frames = round(seconds / features.hop_seconds)
        self._stream = LogMelStream(features, detector.engine.mel_filters, self.BLOCK_FRAMES)
        self._samples = np.zeros(0, dtype=np.float32)
        self._frames = np.zeros((0, features.mel_bands), dtype=np.float16)

    def push(self, samples: np.ndarray) -> None:
        """Take the next samples, shape (samples,)."""
        most_samples = self._most_frames * self._detector.settings.features.hop_samples
        self._samples = np.concatenate([self._samples, samples])[-most_samples:]
        self._frames = np.concatenate([self._frames, self._stream.push(samples)])[-self._most_frames :]

    def judge(self) -> Judgement:
        """Judge what is kept.

        Raises
        ------
        AudioError
            If hardly anything came yet.
        """
        if not len(self._frames):
            raise AudioError("There is hardly any sound yet; listen for longer.")
        settings, rate = self._detector.settings, self._detector.settings.features.sample_rate
        seconds, speech = len(self._samples) / rate, speech_seconds(self._samples, rate)
        scan = scan_features(self._frames, settings, self._detector.engine.predict, seconds, speech)
        return self._detector.decide(scan)
