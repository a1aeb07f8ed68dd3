"""A recording while it is heard, and a sound that goes on."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..errors import AudioError
from ..features.draw import Glimpse
from ..features.log_mel import LogMelStream
from ..features.speech import SpeechMeter, speech_seconds
from ..sound.channels import MIXED, ChannelMeter
from ..sound.level import LiveDither
from ..sound.reading import Resampler
from ..sound.sources import as_samples, checked_rate
from .decision import Judgement
from .scanner import Scan, Scanner, scan_features

ROLLING_SECONDS = 6.0
"""A live verdict is about so much of the past."""


class Hearing:
    """What becomes of a recording while it is heard: features, what is speech, windows."""

    def __init__(self, detector, glimpse: Glimpse | None = None):
        features = detector.settings.features
        self.samples, self._rate, self._glimpse = 0, features.sample_rate, glimpse
        self._spectrogram = LogMelStream(features, detector.engine.mel_filters)
        self._meter = SpeechMeter(features.sample_rate)
        self._scanner = Scanner(detector.settings, detector.engine.predict, detector.pool)

    def push(self, piece: np.ndarray) -> None:
        """Take the next samples, shape (samples,)."""
        self.samples += len(piece)
        self._meter.push(piece)
        self._see(self._spectrogram.push(piece))
        if self._glimpse is not None:
            self._glimpse.hear(piece)

    def finish(self) -> Scan:
        """Return the answers of all windows."""
        self._see(self._spectrogram.finish())
        return self._scanner.finish(self.samples / self._rate, self._meter.seconds())

    def _see(self, frames: np.ndarray) -> None:
        self._scanner.push(frames)
        if self._glimpse is not None:
            self._glimpse.see(frames)


class Stream:
    """A sound that goes on, judged as the live line does, and at its end as a whole.

    Parameters
    ----------
    detector : Detector
        Who judges.
    sample_rate : float
        Of the samples that come, in Hz.
    """

    def __init__(self, detector, sample_rate: float):
        self._detector, self._given = detector, checked_rate(sample_rate)
        rate = detector.settings.features.sample_rate
        self._resampler = Resampler(self._given, rate)
        self._rolling, self._hearing = detector.rolling(ROLLING_SECONDS), Hearing(detector)
        self._meter, self._dither = ChannelMeter(), LiveDither(rate)

    def push(self, samples: Any) -> None:
        """Take the next samples.

        Parameters
        ----------
        samples : array
            See :func:`deepfake_audio.sound.sources.as_samples`; channels are mixed, and where they hold different
            sounds, a note of the answers says so.

        Raises
        ------
        AudioError
            If they are no samples.
        """
        channels = as_samples(samples, self._given).values
        self._meter.push(self._given, channels)
        self._take(self._resampler.push(channels.mean(axis=1)))

    def _take(self, samples: np.ndarray) -> None:
        if len(samples):
            samples = self._dither.add(samples)
            self._rolling.push(samples)
            self._hearing.push(samples)

    def judge(self) -> Judgement:
        """Return the answer about the last ``ROLLING_SECONDS``.

        Raises
        ------
        AudioError
            If hardly anything came yet.
        """
        return self._noted(self._rolling.judge())

    def finish(self) -> Judgement:
        """Return the answer about all that came; nothing can come any more.

        Raises
        ------
        AudioError
            If nothing came.
        """
        self._take(self._resampler.finish())
        if not self._hearing.samples:
            raise AudioError("Nothing came, so there is nothing to judge: push samples first.")
        return self._noted(self._detector.decide(self._hearing.finish()))

    def _noted(self, judgement: Judgement) -> Judgement:
        return judgement if self._meter.apart() is None else dataclasses.replace(judgement, notes=(MIXED,))


class Rolling:
    """The last seconds of a sound that goes on; features of a frame are computed once, however often it is judged."""

    BLOCK_FRAMES = 5
    """Features lag behind the sound by no more than this."""

    def __init__(self, detector, seconds: float):
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
        """Judge what is kept; AudioError if hardly anything came yet."""
        if not len(self._frames):
            raise AudioError("There is hardly any sound yet; listen for longer.")
        settings, rate = self._detector.settings, self._detector.settings.features.sample_rate
        seconds, speech = len(self._samples) / rate, speech_seconds(self._samples, rate)
        scan = scan_features(self._frames, settings, self._detector.engine.predict, seconds, speech)
        return self._detector.decide(scan)
