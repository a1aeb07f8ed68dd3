"""Metrics against hand-computed cases, scikit-learn, and slow but obvious code."""

import dataclasses
import itertools
import json
import time

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support, roc_auc_score

from deepfake_audio.errors import RunError
from deepfake_audio.evaluation.metrics import evaluate, reliability
from deepfake_audio.evaluation.ranking import equal_error_rate, even_weights
from deepfake_audio.evaluation.scores import KIND_LABELS, ClipScore
from deepfake_audio.evaluation.timelines import boundary_errors, span_frames
from deepfake_audio.settings import CLASS_NAMES

METRICS = [
    *("accuracy", "macro_f1", "roc_auc", "eer", "eer_real_fake", "false_hybrid_rate", "ece"),
    *("eer_even", "eer_real_fake_even"),
    *("uncertain_share", "no_speech_share", "decided_accuracy", "frame_eer_20ms", "frame_eer_160ms", "frame_f1"),
    *("accusation_rate", "confident_half_accuracy", "boundary_error_mean_seconds", "boundary_error_median_seconds"),
    *("fake_vouched_rate", "hybrid_vouched_rate", "hybrid_doubted_rate", "hybrid_named_rate"),
]
TRUE_SPANS = {"Real": (), "Fake": ((0.0, 4.0),), "Hybrid": ((1.0, 2.0),)}


def clip(kind="real", **changes):
    label = KIND_LABELS[kind]
    score = ClipScore(
        path="a.wav",
        label=label,
        kind=kind,
        speaker="s1",
        generator="" if label == "Real" else "tts",
        source="corpus",
        language="en",
        seconds=4.0,
        verdict=label,
        confidence=0.8,
        probabilities=tuple(0.8 if name == label else 0.1 for name in CLASS_NAMES),
        true_spans=TRUE_SPANS[label],
        predicted_spans=TRUE_SPANS[label],
        frame_seconds=0.02,
        frame_probabilities=(0.1,) * 200,
    )
    return dataclasses.replace(score, **changes)


def pool(count=60, seed=0, frames=200):
    """Clips of every kind that a mediocre detector has judged."""
    rng = np.random.default_rng(seed)
    scores = []
    for index in range(count):
        kind = list(KIND_LABELS)[index % 5]
        label = KIND_LABELS[kind]
        logits = rng.normal(size=3) + 1.2 * np.eye(3)[CLASS_NAMES.index(label)]
        probabilities = np.exp(logits) / np.exp(logits).sum()
        spans = ()
        if label == "Hybrid":
            start = rng.uniform(0.1, 2)
            spans = ((start, start + 0.7), (start + 1, start + 1.6))
        fake = span_frames(spans or TRUE_SPANS[label], frames, 0.02)
        scores.append(
            clip(
                kind,
                path=f"{index}.wav",
                generator="" if label == "Real" else f"tts-{index % 2}",
                verdict="Uncertain" if index % 7 == 0 else CLASS_NAMES[probabilities.argmax()],
                confidence=probabilities.max(),
                probabilities=probabilities,
                true_spans=spans or TRUE_SPANS[label],
                predicted_spans=tuple((start + 0.05, end) for start, end in spans[:1]),
                frame_probabilities=tuple(np.clip(rng.normal(0.4 + 0.2 * fake, 0.2), 0, 1).round(3).tolist()),
            )
        )
    return scores


def slow_equal_error_rate(is_positive, scores):
    """Walk the ROC corner by corner, threshold by threshold."""
    is_positive, scores = np.asarray(is_positive, bool), np.asarray(scores)
    corners = [(0.0, 1.0)]
    for threshold in sorted(set(scores.tolist()), reverse=True):
        accepted = scores >= threshold
        corners.append((float(np.mean(accepted[~is_positive])), float(np.mean(~accepted[is_positive]))))
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        if y1 <= x1:
            return x0 + (x1 - x0) * (y0 - x0) / ((y0 - x0) + (x1 - y1))
    raise AssertionError("the corners end at (1, 0)")


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [
        ([3, 4], [1, 2], 0.0),
        ([1, 2], [3, 4], 1.0),
        ([5, 5], [5, 5], 0.5),  # all equal: the diagonal
        ([2, 4], [1, 3], 0.5),
        ([2, 4, 5, 6], [0, 1, 1.5, 3], 0.25),
        # Corners (0, 1), (0, 1/2), (1, 0) as (false alarms, misses): the last side crosses the diagonal at 1/3.
        ([2, 1], [1, 1, 1], 1 / 3),
    ],
)
def test_equal_error_rate_by_hand(positives, negatives, expected):
    labels = [True] * len(positives) + [False] * len(negatives)
    assert equal_error_rate(labels, positives + negatives) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(20))
def test_equal_error_rate_agrees_with_slow_code(seed):
    rng = np.random.default_rng(seed)
    labels = rng.random(40) < 0.4
    scores = np.round(rng.normal(labels, 1), seed % 3)  # few decimals make many ties
    assert equal_error_rate(labels, scores) == pytest.approx(slow_equal_error_rate(labels, scores))


def test_equal_error_rate_needs_both_classes():
    assert equal_error_rate([True, True], [0.1, 0.2]) is None
    assert equal_error_rate([], []) is None


def test_class_metrics_agree_with_scikit_learn():
    scores = pool()
    metrics = evaluate(scores, resamples=20)
    truth = [CLASS_NAMES.index(score.label) for score in scores]
    decision = [int(np.argmax(score.probabilities)) for score in scores]
    ranking = [1 - score.probabilities[0] for score in scores]
    spoof = [index > 0 for index in truth]
    assert metrics["accuracy"]["value"] == pytest.approx(np.mean(np.equal(truth, decision)))
    assert metrics["macro_f1"]["value"] == pytest.approx(f1_score(truth, decision, average="macro"))
    assert metrics["roc_auc"]["value"] == pytest.approx(roc_auc_score(spoof, ranking))
    assert metrics["eer"]["value"] == pytest.approx(slow_equal_error_rate(spoof, ranking))
    kept = [index for index, label in enumerate(truth) if label != 2]
    assert metrics["eer_real_fake"] == metrics["eer_real_fake"] | {
        "value": pytest.approx(slow_equal_error_rate([spoof[i] for i in kept], [ranking[i] for i in kept])),
        "n": len(kept),
    }
    expected = precision_recall_fscore_support(truth, decision)
    for index, name in enumerate(CLASS_NAMES):
        entry = metrics["per_class"][name]
        found = [entry["precision"]["value"], entry["recall"]["value"], entry["f1"]["value"], entry["support"]]
        assert found == pytest.approx([column[index] for column in expected])
    assert np.sum(metrics["confusion"]) == len(scores)
    assert metrics["confusion"][0][1] == sum(t == 0 and d == 1 for t, d in zip(truth, decision, strict=True))


def test_frame_metrics_agree_with_slow_code():
    scores = pool()
    metrics = evaluate(scores, resamples=0)
    frames, labels, blocks, block_labels, called = [], [], [], [], []
    for score in scores:
        if score.label != "Hybrid":
            continue
        fake, shown = [], []
        for index in range(200):
            middle = (index + 0.5) * 0.02
            fake.append(any(start <= middle < end for start, end in score.true_spans))
            shown.append(any(start <= middle < end for start, end in score.predicted_spans))
        frames += score.frame_probabilities
        labels += fake
        called += shown
        for start in range(0, 200, 8):
            blocks.append(round(float(np.mean(score.frame_probabilities[start : start + 8])), 3))
            block_labels.append(sum(fake[start : start + 8]) >= 4)
    assert metrics["frame_eer_20ms"]["value"] == pytest.approx(slow_equal_error_rate(labels, frames))
    assert metrics["frame_eer_160ms"]["value"] == pytest.approx(slow_equal_error_rate(block_labels, blocks), abs=2e-3)
    assert metrics["frame_eer_160ms"]["value"] < metrics["frame_eer_20ms"]["value"]
    assert metrics["frame_f1"]["value"] == pytest.approx(f1_score(labels, called))
    assert metrics["frame_eer_20ms"]["n"] == sum(score.label == "Hybrid" for score in scores)
    assert metrics["frame_eer_20ms"]["low"] is None  # no resamples, no interval


def test_frames_in_the_padding_do_not_count():
    good = tuple(0.9 if 50 <= index < 100 else 0.1 for index in range(200))
    padded = clip("hybrid", frame_probabilities=good + (1.0,) * 100)
    assert evaluate([padded], resamples=0)["frame_eer_20ms"]["value"] == 0


def test_hybrids_with_unknown_spans_count_for_the_verdict_only():
    known, unknown = clip("hybrid"), clip("hybrid", true_spans=(), frame_probabilities=(0.9,) * 200)
    both, alone = evaluate([known, unknown], resamples=0), evaluate([known], resamples=0)
    assert both["accuracy"]["n"] == 2
    for name in ("frame_eer_20ms", "frame_eer_160ms", "frame_f1", "boundary_error_mean_seconds"):
        assert both[name] == alone[name]
    assert alone["frame_f1"]["n"] == 1


def test_boundary_errors_by_hand():
    score = clip("hybrid", true_spans=((0, 0.5), (1, 2), (3.5, 4)), predicted_spans=((0.6, 1.2),))
    # 0 and 4 are the ends of the clip; 0.5 is 0.1 off, 1 and 2 are 0.2 and 0.8 off, 3.5 is nearest to the end.
    assert boundary_errors(score) == pytest.approx([0.1, 0.2, 0.8, 0.5])
    silent = clip("hybrid", true_spans=((1.0, 2.0),), predicted_spans=())
    metrics = evaluate([score, silent], resamples=50)
    errors = [0.1, 0.2, 0.8, 0.5, 1.0, 2.0]
    assert metrics["boundary_error_mean_seconds"]["value"] == pytest.approx(np.mean(errors))
    assert metrics["boundary_error_median_seconds"]["value"] == pytest.approx(np.median(errors))
    # A resample holds one clip twice, or both: the medians of those are 0.35, 1.5 and 0.65.
    assert metrics["boundary_error_median_seconds"]["low"] == pytest.approx(0.35)
    assert metrics["boundary_error_median_seconds"]["high"] == pytest.approx(1.5)


def test_shares_by_hand():
    hybrid = {"probabilities": (0.2, 0.1, 0.7), "verdict": "Hybrid"}
    scores = [
        clip("real+real", **hybrid),
        clip("fake+fake"),
        clip("real", **hybrid),  # wrong, but no splice: not a false hybrid of the controls
        clip("fake", verdict="Uncertain"),
        clip("hybrid", verdict="No speech"),
    ]
    metrics = evaluate(scores, resamples=20)
    assert (metrics["false_hybrid_rate"]["value"], metrics["false_hybrid_rate"]["n"]) == (0.5, 2)
    assert metrics["uncertain_share"]["value"] == metrics["no_speech_share"]["value"] == pytest.approx(0.2)
    assert (metrics["decided_accuracy"]["value"], metrics["decided_accuracy"]["n"]) == (pytest.approx(1 / 3), 3)
    # Two real clips, both answered with Hybrid; the three clips at 0.8 are at least the median and right.
    assert (metrics["accusation_rate"]["value"], metrics["accusation_rate"]["n"]) == (1.0, 2)
    assert (metrics["confident_half_accuracy"]["value"], metrics["confident_half_accuracy"]["n"]) == (1.0, 3)
    # Confidence 0.7 twice, never right; 0.8 three times, always right.
    assert metrics["ece"]["value"] == pytest.approx((2 * 0.7 + 3 * 0.2) / 5)
    bins = reliability(scores)
    assert [(entry["n"], entry["accuracy"]) for entry in bins] == [(2, 0.0), (3, 1.0)]
    assert all(entry["low"] < entry["confidence"] <= entry["high"] + 1e-9 for entry in bins)


def test_answers_by_hand():
    answers = {"real": ["Real", "Fake"], "fake": ["Real", "Uncertain", "Fake", "Fake"]}
    answers["hybrid"] = ["Real", "Real", "Fake", "Hybrid", "No speech"]
    metrics = evaluate([clip(kind, verdict=verdict) for kind in answers for verdict in answers[kind]], resamples=20)
    assert metrics["answers"] == [[1, 1, 0, 0, 0], [1, 2, 0, 1, 0], [2, 1, 1, 0, 1]]
    rates = {"fake_vouched_rate": (1 / 4, 4), "hybrid_vouched_rate": (2 / 5, 5)}
    rates |= {"hybrid_doubted_rate": (2 / 5, 5), "hybrid_named_rate": (1 / 5, 5)}
    for name, (value, count) in rates.items():
        assert (metrics[name]["value"], metrics[name]["n"]) == (pytest.approx(value), count), name


def test_intervals_hold_the_value_and_narrow_with_more_clips():
    few, many = evaluate(pool(40), resamples=300), evaluate(pool(400), resamples=300)
    for metrics in (few, many):
        for name in set(METRICS) - {"ece"}:  # biased upwards in a resample
            entry = metrics[name]
            assert entry["low"] <= entry["value"] <= entry["high"], name
    for name in ("accuracy", "eer", "frame_eer_20ms", "frame_eer_160ms"):
        assert many[name]["high"] - many[name]["low"] < few[name]["high"] - few[name]["low"]


def test_interval_of_a_share_is_binomial():
    scores = [clip(probabilities=(0.8, 0.2, 0) if index < 80 else (0.2, 0.8, 0)) for index in range(100)]
    entry = evaluate(scores, resamples=2000)["accuracy"]
    assert entry["low"] == pytest.approx(0.8 - 1.96 * 0.04, abs=0.015)
    assert entry["high"] == pytest.approx(0.8 + 1.96 * 0.04, abs=0.015)


def test_same_seed_same_intervals():
    scores = pool(30)
    assert evaluate(scores, resamples=50, seed=1) == evaluate(scores, resamples=50, seed=1)
    assert evaluate(scores, resamples=50, seed=1) != evaluate(scores, resamples=50, seed=2)


@pytest.mark.parametrize("kind", ["real", "fake", "hybrid"])
@pytest.mark.parametrize("count", [1, 6])
def test_one_class_is_no_error_and_never_nan(kind, count):
    metrics = evaluate([clip(kind)] * count, resamples=30)
    json.dumps(metrics, allow_nan=False)
    assert metrics["accuracy"]["value"] == 1
    assert metrics["roc_auc"]["value"] is metrics["eer"]["value"] is metrics["macro_f1"]["value"] is None
    assert metrics["false_hybrid_rate"] == {"value": None, "low": None, "high": None, "n": 0}
    assert (metrics["frame_eer_20ms"]["value"] is None) == (kind != "hybrid")
    assert metrics["clips"][kind.capitalize()] == count


def test_coarse_timeline_has_no_fine_metric():
    score = clip("hybrid", frame_seconds=0.08, frame_probabilities=[0.9 if 12 <= i < 25 else 0.1 for i in range(50)])
    metrics = evaluate([score], resamples=10)
    assert metrics["frame_eer_20ms"]["value"] is None
    assert metrics["frame_eer_160ms"]["value"] == 0


def test_no_timeline_at_all():
    metrics = evaluate([clip("hybrid", frame_probabilities=(), predicted_spans=())], resamples=10)
    assert metrics["frame_eer_20ms"] == {"value": None, "low": None, "high": None, "n": 0}
    assert metrics["frame_f1"]["value"] == 0


def test_groups():
    missed = {"probabilities": (0.9, 0.1, 0), "generator": "sly"}
    scores = [clip()] * 6 + [clip("fake")] * 5 + [clip("fake", **missed)] * 5 + [clip("fake", generator="rare")] * 4
    metrics = evaluate(scores, resamples=0)
    assert metrics["by_generator"] == [
        {"name": "sly", "label": "Fake", "n": 5, "accuracy": 0.0, "misjudged": 0.0, "eer": 1.0},
        {"name": "tts", "label": "Fake", "n": 5, "accuracy": 1.0, "misjudged": 0.0, "eer": 0.0},
    ]
    assert [(row["label"], row["n"]) for row in metrics["by_source"]] == [("Real", 6), ("Fake", 14)]
    assert evaluate([clip("fake")] * 5, resamples=0)["by_generator"][0]["eer"] is None


def test_groups_have_rates_of_their_own():
    slow = {"sample_rate": "8000", "original_format": "amr", "language": "de"}
    accused = {"probabilities": (0.3, 0.7, 0), "verdict": "Fake"}
    scores = [clip()] * 5 + [clip(**slow, **accused)] * 3 + [clip(**slow)] * 3 + [clip("fake", **slow)] * 5
    metrics = evaluate(scores, resamples=0)
    real, fake = sorted(metrics["by_sample_rate"], key=lambda row: row["label"], reverse=True)
    assert (real["name"], real["n"], real["misjudged"], real["eer"]) == ("8000", 6, 0.5, None)
    assert (fake["n"], fake["misjudged"]) == (5, 0.0)
    # Half of the Real clips of that rate rank under the fakes, which all have the same score.
    assert fake["eer"] == pytest.approx(
        slow_equal_error_rate([False] * 6 + [True] * 5, [0.7] * 3 + [0.2] * 3 + [0.9] * 5)
    )
    assert [row["name"] for row in metrics["by_language"]] == ["de", "de", "en"]
    assert metrics["by_original_format"][0]["name"] == "amr" and metrics["by_family"] == []


def test_even_handed_metrics_weigh_sources_and_families_alike():
    big = [clip(source="big", probabilities=(0.9, 0.1, 0))] * 90
    small = [clip(source="small", probabilities=(0.2, 0.8, 0))] * 10
    fakes = [clip("fake", family="f", probabilities=(0.5, 0.5, 0))] * 7
    metrics = evaluate(big + small + fakes, resamples=0)
    # Above a threshold between 0.5 and 0.8 lies a tenth of the Real clips, but one of their two sources.
    assert metrics["eer"]["value"] == pytest.approx(
        slow_equal_error_rate([0] * 100 + [1] * 7, [0.1] * 90 + [0.8] * 10 + [0.5] * 7)
    )
    assert metrics["eer_even"]["value"] == pytest.approx(slow_equal_error_rate([0] * 2 + [1], [0.1, 0.8, 0.5]))
    assert metrics["eer_real_fake_even"] == metrics["eer_even"]
    names = ["a"] * 4 + ["b", "c", "c", ""]
    weights = even_weights([clip(source=name) for name in names])
    assert weights == pytest.approx([1 / 4] * 8), "b, c and what has no name are too few and count as one"


def test_families_that_training_lacked_have_an_error_of_their_own():
    fakes = [clip("fake", family="old")] * 5 + [clip("fake", family="new", probabilities=(0.9, 0.1, 0))] * 5
    scores = [clip()] * 5 + fakes
    assert evaluate(scores, resamples=0)["eer_unseen_families"] == {"value": None, "low": None, "high": None, "n": 0}
    told = evaluate(scores, resamples=0, trained_families={"old"})["eer_unseen_families"]
    assert (told["value"], told["n"]) == (1.0, 10)
    assert evaluate(scores, resamples=0, trained_families={"old", "new"})["eer_unseen_families"]["value"] is None


def test_intervals_are_those_of_other_sources_where_enough_are_named():
    # Ten sources, one of which is wrong throughout: among other clips the rate would hardly move.
    scores = [clip(source=f"s{n}", probabilities=(0.1, 0.9, 0) if n == 0 else (0.9, 0.1, 0)) for n in range(10)] * 100
    by_source = evaluate(scores, resamples=300)
    by_clip = evaluate([dataclasses.replace(score, source="") for score in scores], resamples=300)
    assert (by_source["resampled"], by_clip["resampled"]) == ("sources", "clips")
    assert by_source["accuracy"]["value"] == by_clip["accuracy"]["value"] == pytest.approx(0.9)
    assert by_clip["accuracy"]["high"] - by_clip["accuracy"]["low"] < 0.05
    assert by_source["accuracy"]["low"] <= 0.8 and by_source["accuracy"]["high"] == 1.0


def test_nothing_to_evaluate():
    with pytest.raises(RunError, match="empty"):
        evaluate([])


def test_a_thousand_resamples_are_quick():
    scores = pool(300)
    started = time.process_time()
    evaluate(scores, resamples=1000)
    assert time.process_time() - started < 5
