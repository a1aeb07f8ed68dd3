"""Which model answers after a training: the bundled one, unless the new one errs less on its own test clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import console, places
from ..examples.example import Example
from ..files import file_sha256
from ..judging.detector import Detector
from ..model.checkpoint import SEEN_DIGITS
from .bootstrap import draws, units, with_interval
from .ranking import Ranking
from .scores import ClipScore

FEWEST_CLIPS = 50
"""Of Real and of Fake ones: fewer do not tell which model errs less."""


def choose(examples: Sequence[Example], scores: Sequence[ClipScore]) -> dict:
    """Return whether a newly trained model answers from now on, and why: ``{"own": bool, "why": str}``.

    `scores` is what it said about the test clips; the bundled one judges them, too, but for those of its own training.
    """
    if not places.bundled().is_file():
        return {"own": True, "why": "there is no bundled model"}
    if few := _too_few(scores):
        return few
    detector, path_of = Detector(places.bundled()), {example.name: example.path for example in examples}
    seen = detector.checkpoint.seen()
    unseen = [score for score in scores if file_sha256(path_of[score.path])[:SEEN_DIGITS] not in seen]
    if few := _too_few(unseen):
        return few
    show, suspicions = console.progress("Bundled model, to compare"), []
    for score in unseen:
        suspicions.append(1.0 - detector.judge(path_of[score.path]).probabilities["Real"])
        show(len(suspicions), len(unseen))
    return compare(unseen, suspicions)


def _too_few(scores: Sequence[ClipScore]) -> dict | None:
    real, fake = (sum(score.label == label for score in scores) for label in ("Real", "Fake"))
    if min(real, fake) >= FEWEST_CLIPS:
        return None
    why = f"of its test clips only {real} Real and {fake} Fake ones are new to both models, too few to tell"
    return {"own": False, "why": why}


def compare(scores: Sequence[ClipScore], bundled: Sequence[float], resamples: int = 1000, seed: int = 0) -> dict:
    """Return what :func:`choose` does, by a paired bootstrap of the EER of Real against the rest.

    `bundled` is what the bundled model gives for "not Real", for the same clips. Clips are drawn for both models alike,
    or sources where enough are named.
    """
    spoof = [score.label != "Real" for score in scores]
    rankings = [Ranking(spoof, values) for values in ([1.0 - score.probabilities[0] for score in scores], bundled)]
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample may lack a class
        rates = [[ranking.eer(w) for ranking in rankings] for w in draws(*units(scores)[1:], resamples, seed)]
    difference = with_interval([own - other for own, other in rates], len(scores))
    own, other = rates[0]
    better = difference["high"] is not None and difference["high"] < 0
    why = f"EER {100 * own:.1f} % against {100 * other:.1f} % of the bundled model on its {len(scores)} test clips"
    return {"own": better, "why": why if better else f"{why}, which is not reliably lower", "difference": difference}
