"""Which model answers after a training of one's own."""

import dataclasses

import numpy as np
import pytest
from test_metrics import clip

from deepfake_audio import places
from deepfake_audio.evaluation import choice


def judged(rng, error, count=120):
    """Return scores of a model that is wrong about so large a share of the clips, Real and Fake in turn."""
    kinds = [("real", "fake")[number % 2] for number in range(count)]
    suspicions = [(kind == "fake") ^ (rng.random() < error) for kind in kinds]
    return [
        clip(kind, path=str(n), probabilities=(1 - s, s, 0))
        for n, (kind, s) in enumerate(zip(kinds, suspicions, strict=True))
    ]


@pytest.mark.parametrize(("own", "bundled", "answers"), [(0.02, 0.3, True), (0.3, 0.02, False), (0.2, 0.2, False)])
def test_a_model_answers_only_if_it_reliably_errs_less(own, bundled, answers):
    rng = np.random.default_rng(0)
    scores, others = judged(rng, own), judged(rng, bundled)
    chosen = choice.compare(scores, [1 - other.probabilities[0] for other in others], resamples=200)
    assert chosen["own"] is answers and "of the bundled model on its 120 test clips" in chosen["why"]
    assert ("not reliably lower" in chosen["why"]) is not answers


def test_the_bootstrap_is_paired():
    # Both err on the same clips, the new model on one in four fewer: apart their intervals overlap, together not.
    scores = judged(np.random.default_rng(1), 0.0, count=400)
    bad, worse = set(range(60)), set(range(80))
    turned = [dataclasses.replace(s, probabilities=(*s.probabilities[1::-1], 0)) for s in scores]
    own = [turned[n] if n in bad else s for n, s in enumerate(scores)]
    bundled = [s.probabilities[0] if n in worse else s.probabilities[1] for n, s in enumerate(scores)]
    chosen = choice.compare(own, bundled, resamples=300)
    assert chosen["own"] and chosen["difference"]["value"] == pytest.approx(0.15 - 0.2)


def test_few_clips_tell_nothing(tmp_path, monkeypatch):
    scores = [clip()] * 80 + [clip("fake")] * 49
    assert choice.choose([], scores) == {
        "own": False,
        "why": "of its test clips only 80 Real and 49 Fake ones are new to both models, too few to tell",
    }
    monkeypatch.setattr(places, "bundled", lambda: tmp_path / "none")
    assert choice.choose([], scores)["own"]


def test_the_bundled_model_judges_the_same_clips_but_those_it_has_seen(tmp_path, monkeypatch):
    scores = judged(np.random.default_rng(2), 0.0, count=104)
    examples = []
    for score in scores:
        (tmp_path / score.path).write_bytes(score.path.encode())
        examples.append(Example(score.path, tmp_path / score.path))

    class Detector:
        def __init__(self, path):
            self.checkpoint = self

        def seen(self):
            return {choice.file_sha256(tmp_path / name)[: choice.SEEN_DIGITS] for name in ("0", "1")}

        def judge(self, path):
            assert path.name not in ("0", "1")
            return Judgement({"Real": 0.5})

    monkeypatch.setattr(choice, "Detector", Detector)
    chosen = choice.choose(examples, scores)
    assert chosen["own"] and "EER 0.0 % against 50.0 %" in chosen["why"] and chosen["difference"]["n"] == 102


@dataclasses.dataclass
class Example:
    name: str
    path: object


@dataclasses.dataclass
class Judgement:
    probabilities: dict
