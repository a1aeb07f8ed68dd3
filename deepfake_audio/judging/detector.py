"""Audio of any length -> verdict, confidence and timeline.

The recording is scanned by overlapping windows while it is read. Each window answers with three class probabilities
and one probability of fake per timeline frame; :func:`deepfake_audio.judging.decision.decide` turns all answers into
one. What is kept of a recording are a few numbers per timeline frame, so hours need hardly more memory than seconds.
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .. import places
from ..features.draw import Glimpse
from ..model.checkpoint import Checkpoint, choose_checkpoint, read_checkpoint
from ..model.engines import ENGINES, load_engine
from ..settings import NO_SPEECH, OPERATING_POINT, UNCERTAIN
from ..sound.channels import ChannelMeter
from ..sound.reading import stream_audio
from ..sound.sources import Samples, opened
from .decision import Judgement, decide
from .scanner import Scan
from .stream import Hearing, Rolling, Stream

SEVERITY = ("Fake", "Hybrid", UNCERTAIN, "Real", NO_SPEECH)
"""Of several channels the first one of these is the verdict on the recording."""


class Detector:
    """A loaded checkpoint that judges recordings; several threads may use one.

    Parameters
    ----------
    checkpoint : Checkpoint or path, optional
        Its settings, and only those, are used. Without it, the one that ``script.py`` chooses.
    threshold : float, optional
        Takes the place of the operating point; see :func:`deepfake_audio.judging.decision.decide`.
    engine : str
        ``onnx``, which falls back to the weights where the ONNX network is missing or cannot be used, or ``keras``.
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
        self.engine = load_engine(checkpoint, engine)
        # Every core runs a batch of windows, whichever recording it is of, while others are decoded and transformed.
        self.pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="network")

    def judge(
        self,
        source: Any,
        sample_rate: float | None = None,
        glimpse: Glimpse | None = None,
        heard: Callable[[float], None] | None = None,
    ) -> Judgement:
        """Judge a recording of any length; a file is read piece by piece.

        Channels that hold different sounds are judged each, and the recording as the worst of them.

        Parameters
        ----------
        source : path, bytes, open binary file, or array
            See :func:`deepfake_audio.sound.sources.opened`.
        sample_rate : float, optional
            In Hz; needed for arrays, and only for them.
        glimpse : Glimpse, optional
            Shown the recording on its way, for pictures.
        heard : callable, optional
            Told now and then how many seconds have been read; what it raises ends the work.

        Raises
        ------
        AudioError
            If it cannot be read, or holds nothing.
        """
        meter, notes, empty = ChannelMeter(), [], copy.deepcopy(glimpse)
        with opened(source, sample_rate) as kept:
            judgement = self._hear(stream_audio(kept, self._rate, notes, meter=meter), glimpse, heard)
            audible = meter.apart()
            if audible is not None:
                judgement = self._judge_channels(kept, audible, glimpse, empty, heard)
        return dataclasses.replace(judgement, notes=tuple(notes))

    def _judge_channels(
        self,
        source: Path | Samples,
        audible: Sequence[bool],
        glimpse: Glimpse | None,
        empty: Glimpse | None,
        heard: Callable[[float], None] | None,
    ) -> Judgement:
        """Judge each channel; what is seen and heard of the recording is the worst one then."""
        seen = [copy.deepcopy(empty) for _ in audible]
        judgements = [
            self._hear(stream_audio(source, self._rate, channel=channel), seen[channel], heard, has_sound)
            for channel, has_sound in enumerate(audible)
        ]
        worst = min(range(len(judgements)), key=lambda channel: _severity(judgements[channel]))
        if glimpse is not None:
            glimpse.__dict__, seen[worst].__dict__ = seen[worst].__dict__, glimpse.__dict__
        return dataclasses.replace(judgements[worst], channels=tuple(judgements))

    @property
    def _rate(self) -> int:
        return self.settings.features.sample_rate

    def decide(self, scan: Scan) -> Judgement:
        """Turn the answers of all windows into one, by this detector's rule."""
        return decide(scan, self.settings, self.threshold, self.operating_point)

    def _hear(
        self,
        pieces: Iterable[np.ndarray],
        glimpse: Glimpse | None,
        heard: Callable[[float], None] | None,
        has_sound: bool = True,
    ) -> Judgement:
        hearing = Hearing(self, glimpse)
        for piece in pieces:
            hearing.push(piece)
            if heard is not None:
                heard(hearing.samples / self._rate)
        scan = hearing.finish()
        judgement = self.decide(scan if has_sound else dataclasses.replace(scan, speech_seconds=0.0))
        if glimpse is not None:
            glimpse.timeline = judgement.frame_probabilities
        return judgement

    def stream(self, sample_rate: float) -> Stream:
        """Return what judges a sound that goes on at a rate in Hz; AudioError if it is no rate."""
        return Stream(self, sample_rate)

    def rolling(self, seconds: float) -> Rolling:
        """Return what judges the last seconds of a sound that goes on."""
        return Rolling(self, seconds)

    def model_info(self) -> dict[str, str]:
        """Say which model answered: name, date of training, version."""
        return self.checkpoint.about()


def _severity(judgement: Judgement) -> tuple[int, float]:
    """Return what sorts the worst channel first."""
    return SEVERITY.index(judgement.verdict), -judgement.confidence
