"""A detector that only pretends, and recordings for it."""

import itertools

import numpy as np
import pytest
import soundfile

from deepfake_audio.errors import AudioError
from deepfake_audio.judging.decision import Judgement
from deepfake_audio.judging.timeline import Segment

MODEL = {"name": "run-1/model.keras", "trained": "2026-01-02T03:04:05+00:00", "version": "0.1.0"}


class Pretender:
    """Calls everything Fake, except what has a broken name."""

    threshold = None
    operating_point = 2

    def __init__(self):
        self.heard = []

    def judge(self, path, glimpse=None, heard=None):
        self.heard.append(path.name)
        if "broken" in path.name:
            raise AudioError(f"'{path}' is broken: mend it.")
        if "locked" in path.name:
            raise PermissionError(13, "Permission denied")
        return Judgement(
            "Fake",
            0.75,
            {"Real": 0.05, "Fake": 0.75, "Hybrid": 0.2},
            (Segment(0.0, 0.5, "Real", 0.1), Segment(0.5, 2.0, "Fake", 0.8)),
            np.zeros(100),
            2.0,
            1.5,
        )


def recording(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # soundfile itself takes no names that are not UTF-8
        soundfile.write(file, np.zeros(160), 16_000, format="WAV")
    return path


def assert_covers(judgement):
    edges = [(s.start, s.end) for s in judgement.segments]
    assert edges[0][0] == 0.0 and edges[-1][1] == judgement.seconds
    for (_, end), (start, _) in itertools.pairwise(edges):
        assert end == pytest.approx(start, abs=1e-9)
    assert all(start < end for start, end in edges)
    labels = [s.label for s in judgement.segments]
    assert all(one != other for one, other in itertools.pairwise(labels))
