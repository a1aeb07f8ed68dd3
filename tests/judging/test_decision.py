"""Hand-made answers of the network -> verdict, confidence and segments."""

import dataclasses

import numpy as np
import pytest
import tiny
from pretender import assert_covers

from deepfake_audio.judging.decision import (
    MIGHT_ACCUSE,
    MIGHT_VOUCH,
    NO_FAKE_SEGMENT,
    NO_REAL_SEGMENT,
    assured_up_to,
    decide,
    statistics,
)
from deepfake_audio.judging.scanner import Scan
from deepfake_audio.judging.timeline import _merge_short_runs, _peaks, smooth_segments
from deepfake_audio.settings import CLASS_NAMES, NO_SPEECH, STATISTICS, UNCERTAIN, UNCLEAR, DecisionSettings

DECISION = DecisionSettings(fake_threshold=0.5, shortest_segment_seconds=0.1, least_speech_seconds=0.3)
SETTINGS = dataclasses.replace(tiny.settings(), decision=DECISION)
STEP = SETTINGS.label_seconds


def scan(verdicts, timeline=None, seconds=2.0, speech=1.5):
    frames = round(seconds / STEP)
    timeline = np.asarray(np.arange(frames) >= frames // 2 if timeline is None else timeline, dtype=float)
    verdicts = np.atleast_2d(np.asarray(verdicts, dtype=np.float32))
    return Scan(
        verdicts, timeline, np.zeros(len(timeline)), np.tile([0, len(timeline)], (len(verdicts), 1)), seconds, speech
    )


def deciding(**decision):
    return dataclasses.replace(SETTINGS, decision=dataclasses.replace(DECISION, **decision))


def judge(verdicts, timeline=None, seconds=2.0, speech=1.5, **decision):
    return decide(scan(verdicts, timeline, seconds, speech), deciding(**decision))


# Verdict and confidence


@pytest.mark.parametrize("softmax", [(0.7, 0.2, 0.1), (0.1, 0.8, 0.1), (0.05, 0.3, 0.65)])
def test_without_calibration_a_single_window_is_the_softmax_itself(softmax):
    judgement = judge(softmax)
    assert list(judgement.probabilities) == list(CLASS_NAMES)
    assert list(judgement.probabilities.values()) == pytest.approx(softmax, abs=1e-6)
    assert judgement.confidence == pytest.approx(max(softmax), abs=1e-6)
    assert judgement.verdict == CLASS_NAMES[int(np.argmax(softmax))]


def test_without_calibration_windows_count_by_their_geometric_mean():
    for count in (1, 2, 50):
        judgement = judge([(0.9, 0.06, 0.04)] * count)
        assert judgement.verdict == "Real" and judgement.confidence == pytest.approx(0.9, abs=1e-5)
    means = np.sqrt(np.array([0.9 * 0.2, 0.06 * 0.5, 0.04 * 0.3]))
    judgement = judge([(0.9, 0.06, 0.04), (0.2, 0.5, 0.3)])
    assert list(judgement.probabilities.values()) == pytest.approx(means / means.sum(), abs=1e-6)


def test_statistics_are_those_of_windows_and_timeline_and_do_not_grow_with_the_length():
    rng = np.random.default_rng(0)
    timeline, verdicts = rng.uniform(0.01, 0.99, 100), rng.dirichlet([1, 1, 1], size=4)
    found = statistics(scan(verdicts, timeline), np.ones(100, dtype=bool), SETTINGS)
    assert found.shape == (STATISTICS,)
    odds = np.log(timeline / (1 - timeline))
    frames = round(0.2 / STEP)
    smooth = [odds[start : start + frames].mean() for start in range(100 - frames + 1)]
    assert found[:3] == pytest.approx(np.log(np.clip(verdicts, 1e-3, 1)).mean(axis=0), abs=1e-6)
    assert found[3:] == pytest.approx([odds.mean(), *np.quantile(smooth, [0.95, 0.05]), odds.std()], abs=1e-6)
    longer = statistics(scan(verdicts, np.tile(timeline, 50), 100.0), np.ones(5000, dtype=bool), SETTINGS)
    assert longer == pytest.approx(found, abs=0.15)
    certain = statistics(scan([(1.0, 0.0, 0.0)], np.zeros(100)), np.ones(100, dtype=bool), SETTINGS)
    assert np.isfinite(certain).all()


def test_weights_turn_statistics_into_a_verdict():
    weights = np.zeros((3, 1 + STATISTICS))
    weights[1, 4] = 1.0  # Fake follows the mean of the timeline alone
    for share, verdict in ((0.1, "Real"), (0.9, "Fake")):  # without evidence Real and Hybrid are alike
        judgement = judge((0.6, 0.3, 0.1), np.full(100, share), verdict_weights=tuple(weights.ravel()))
        odds = share / (1 - share)
        assert judgement.probabilities["Fake"] == pytest.approx(odds / (odds + 2), abs=1e-6)
        assert (judgement.verdict == "Fake") == (verdict == "Fake")


def test_probabilities_sum_to_one_for_any_windows():
    rng = np.random.default_rng(0)
    for count in range(1, 8):
        weights = tuple(rng.normal(0, 3, 3 * (1 + STATISTICS)))
        judgement = judge(rng.dirichlet([0.3, 0.3, 0.3], size=count), verdict_weights=weights)
        values = list(judgement.probabilities.values())
        assert sum(values) == pytest.approx(1.0, abs=1e-5) and min(values) >= 0


def test_between_accusation_and_assurance_the_verdict_is_withheld_with_its_reason():
    limits = {"accusation_thresholds": (0.9, 0.8, 0.7), "assurance_threshold": 0.3}
    told = {}
    for real in (0.75, 0.65, 0.45, 0.15, 0.05):
        judgement = judge((real, 0.9 * (1 - real), 0.1 * (1 - real)), **limits)
        told[real] = judgement.verdict, judgement.reason
        assert judgement.segments, "the timeline is shown all the same"
    assert told == {
        0.75: ("Real", None),
        0.65: (UNCERTAIN, MIGHT_VOUCH),
        0.45: (UNCERTAIN, MIGHT_ACCUSE),
        0.15: ("Fake", None),
        0.05: ("Fake", None),
    }


def test_a_long_recording_is_called_real_up_to_a_threshold_of_its_own():
    settings = deciding(accusation_thresholds=(0.9, 0.8, 0.7), assurance_threshold=0.2, long_assurance_threshold=0.4)
    assured = [assured_up_to(seconds, settings.decision) for seconds in (0.5, 3, 6, 12, 3600)]
    assert assured == pytest.approx([0.2, 0.2, 0.3, 0.4, 0.4])
    doubtful = scan((0.65, 0.3, 0.05))
    for speech, verdict in ((3.0, UNCERTAIN), (12.0, "Real")):
        assert decide(dataclasses.replace(doubtful, speech_seconds=speech), settings).verdict == verdict


def test_an_operating_point_says_how_few_real_recordings_may_be_accused():
    settings = deciding(accusation_thresholds=(0.9, 0.8, 0.7), assurance_threshold=0.3)
    verdicts = [decide(scan((0.25, 0.7, 0.05)), settings, operating_point=point).verdict for point in (1, 2, 5)]
    assert verdicts == [UNCERTAIN, UNCERTAIN, "Fake"]
    assert decide(scan((0.15, 0.8, 0.05)), settings).verdict == "Fake", "2 % is the default"


def test_no_speech_has_no_opinion():
    judgement = judge((0.0, 1.0, 0.0), timeline=np.ones(100), speech=0.29)
    assert judgement.verdict == NO_SPEECH and judgement.segments == () and judgement.fake_seconds == 0
    assert list(judgement.probabilities.values()) == pytest.approx([1 / 3] * 3)
    assert judge((0.0, 1.0, 0.0), speech=0.31).verdict == "Fake"


# The timeline's say in the verdict


def ruled(verdict, fake_frames, seconds=2.0, value=0.9, threshold=None, levels=None):
    """Judge with the checkpoint's own settings a timeline that is fake in some frames."""
    timeline = np.full(round(seconds / STEP), 0.1)
    timeline[fake_frames] = value
    made = dataclasses.replace(scan(verdict, timeline, seconds), levels=levels)
    return decide(made, SETTINGS, threshold=threshold)


HYBRID = (0.1, 0.2, 0.7)


@pytest.mark.parametrize(
    ("fake_frames", "reason"),
    [
        (slice(40, 50), None),  # 0.2 s
        (slice(40, 49), NO_FAKE_SEGMENT),
        (slice(0, 0), NO_FAKE_SEGMENT),
        (slice(0, 90), None),
        (slice(0, 91), NO_REAL_SEGMENT),
        (slice(0, 100), NO_REAL_SEGMENT),
    ],
)
def test_a_hybrid_needs_a_credible_fake_segment_and_credible_real_speech(fake_frames, reason):
    judgement = ruled(HYBRID, fake_frames)
    assert (judgement.verdict, judgement.reason) == ("Hybrid" if reason is None else UNCERTAIN, reason)
    assert judgement.confidence == pytest.approx(0.7, abs=1e-5), "the probabilities stay what they are"


def test_a_segment_that_merging_dragged_under_the_threshold_is_not_credible():
    timeline = np.full(100, 0.1)
    timeline[40:56] = 0.52
    timeline[46:50] = 0.0  # too short to cut the segment
    judgement = decide(scan(HYBRID, timeline), SETTINGS)
    assert [s.label for s in judgement.segments] == ["Real", "Fake", "Real"]
    assert judgement.segments[1].fake_probability < 0.5 and judgement.reason == NO_FAKE_SEGMENT


def test_the_timeline_does_not_change_real_and_fake_verdicts():
    assert ruled((0.8, 0.1, 0.1), slice(0, 100)).verdict == "Real"
    assert ruled((0.1, 0.8, 0.1), slice(0, 0)).verdict == "Fake"


def test_a_threshold_moves_real_against_the_rest():
    softmax = (0.6, 0.3, 0.1)
    assert ruled(softmax, slice(0, 0), threshold=0.41).verdict == "Real"
    assert ruled(softmax, slice(0, 0), threshold=0.39).verdict == "Fake"
    assert ruled((0.4, 0.35, 0.25), slice(0, 0), threshold=0.5).verdict == "Fake", "no confidence is too low"
    hybrid = ruled((0.6, 0.1, 0.3), slice(0, 50), threshold=0.3)
    assert hybrid.verdict == "Hybrid" and hybrid.confidence == pytest.approx(0.3, abs=1e-5), "that of the verdict"
    assert ruled((0.6, 0.1, 0.3), slice(0, 0), threshold=0.3).reason == NO_FAKE_SEGMENT


# Pauses


def levels_of(*parts):
    """Loudness of each timeline frame from pairs of seconds and dB."""
    return np.concatenate([np.full(round(seconds / STEP), level, dtype=np.float32) for seconds, level in parts])


def test_long_pauses_are_segments_without_speech():
    levels = levels_of((2, -20), (1, -70), (2, -30), (0.9, -70), (0.1, -20), (4, -61))
    judgement = ruled((0.8, 0.1, 0.1), slice(125, 175), seconds=10.0, levels=levels)
    assert_covers(judgement)
    assert [(s.label, round(s.start, 6), round(s.end, 6)) for s in judgement.segments] == [
        ("Real", 0.0, 2.0),
        (NO_SPEECH, 2.0, 3.0),
        ("Fake", 3.0, 3.5),
        ("Real", 3.5, 6.0),
        (NO_SPEECH, 6.0, 10.0),
    ]
    assert [s.fake_probability is None for s in judgement.segments] == [False, True, False, False, True]
    assert judgement.fake_seconds == pytest.approx(0.5)


def test_a_click_is_no_measure_of_loudness():
    levels = levels_of((2, -50), (0.06, 0), (1.94, -85), (2, -50))
    judgement = ruled((0.8, 0.1, 0.1), slice(0, 0), seconds=6.0, levels=levels)
    assert [s.label for s in judgement.segments] == ["Real", NO_SPEECH, "Real"]


def test_windows_and_frames_without_speech_have_no_say():
    real, junk = (0.9, 0.05, 0.05), (0.01, 0.98, 0.01)
    levels = levels_of((2, -20), (4, -80))
    windows = np.array([[0, 100], [100, 200], [200, 300]])
    timeline = np.where(np.arange(300) < 100, 0.1, 0.9)
    made = Scan(np.array([real, junk, junk]), timeline, np.zeros(300), windows, 6.0, 2.0, levels)
    judgement = decide(made, SETTINGS)
    assert judgement.verdict == "Real" and judgement.confidence == pytest.approx(0.9, abs=1e-4)
    found = statistics(made, np.arange(300) < 100, SETTINGS)
    assert found[3] == pytest.approx(np.log(0.1 / 0.9)) and found[6] == pytest.approx(0.0, abs=1e-6)
    # If no window has enough, all have a say.
    short = dataclasses.replace(made, levels=levels_of((0.2, -20), (5.8, -80)))
    assert decide(short, SETTINGS).probabilities["Real"] < 0.2


# Segments


def test_segments_are_the_segments_above_and_below_the_threshold():
    timeline = np.full(100, 0.1)
    timeline[40:70] = 0.9
    judgement = judge((0.1, 0.1, 0.8), timeline)
    assert_covers(judgement)
    assert [(s.label, round(s.start, 6), round(s.end, 6)) for s in judgement.segments] == [
        ("Real", 0.0, 0.8),
        ("Fake", 0.8, 1.4),
        ("Real", 1.4, 2.0),
    ]
    assert [s.fake_probability for s in judgement.segments] == pytest.approx([0.1, 0.9, 0.1])
    assert judgement.fake_seconds == pytest.approx(0.6)
    assert judge((0.1, 0.1, 0.8), timeline, fake_threshold=0.95).fake_seconds == 0
    assert judge((0.1, 0.1, 0.8), timeline, fake_threshold=0.05).fake_seconds == pytest.approx(2.0)


def test_short_segments_are_merged_into_what_is_around_them():
    timeline = np.zeros(100)
    timeline[40:70] = 1
    timeline[[10, 11, 12, 13, 50, 51]] = 1 - timeline[[10, 11, 12, 13, 50, 51]]
    timeline[98:] = 1
    judgement = judge((0.1, 0.1, 0.8), timeline)
    assert [s.label for s in judgement.segments] == ["Real", "Fake", "Real"]
    assert judgement.fake_seconds == pytest.approx(0.6)
    assert len(judge((0.1, 0.1, 0.8), timeline, shortest_segment_seconds=0.06).segments) == 5
    assert len(judge((0.1, 0.1, 0.8), timeline, shortest_segment_seconds=0.03).segments) == 8


def test_any_timeline_is_covered_without_gaps_by_segments_of_at_least_the_shortest_length():
    rng = np.random.default_rng(0)
    for _ in range(200):
        frames = int(rng.integers(1, 200))
        # The last timeline frame may begin at the very end of the recording.
        seconds = max(1e-3, frames * STEP - float(rng.choice([0.0, 0.001, STEP])))
        judgement = judge((0.1, 0.1, 0.8), rng.random(frames), seconds)
        assert_covers(judgement)
        if len(judgement.segments) > 1:
            shortest = min(s.end - s.start for s in judgement.segments)
            assert shortest >= DECISION.shortest_segment_seconds - STEP - 1e-9


def test_short_runs_are_merged_as_one_by_one_from_the_shortest():
    def slow(mask, shortest):
        while True:
            edges = np.concatenate([[0], np.flatnonzero(np.diff(mask)) + 1, [len(mask)]])
            lengths = np.diff(edges)
            if len(lengths) < 2 or lengths.min() >= shortest:
                return
            briefest = int(lengths.argmin())
            mask[edges[briefest] : edges[briefest + 1]] ^= True

    rng = np.random.default_rng(1)
    for _ in range(300):
        mask = rng.random(int(rng.integers(1, 120))) < rng.choice([0.1, 0.5, 0.8])
        expected, shortest = mask.copy(), int(rng.integers(0, 9))
        slow(expected, shortest)
        _merge_short_runs(mask, shortest)
        np.testing.assert_array_equal(mask, expected)


def test_the_worst_timeline_of_twenty_minutes_is_cut_in_no_time():
    import time

    timeline = np.random.default_rng(0).random(60_000)
    started = time.process_time()
    judgement = judge((0.1, 0.1, 0.8), timeline, seconds=1200.0, speech=1000.0)
    assert time.process_time() - started < 10
    assert_covers(judgement)


def test_a_segment_that_real_speech_often_looks_like_is_unclear_and_accuses_nobody():
    timeline = np.full(100, 0.1)
    timeline[20:40], timeline[60:80] = 0.6, 0.9
    judgement = judge((0.8, 0.1, 0.1), timeline, segment_threshold=0.8)
    assert [s.label for s in judgement.segments] == ["Real", UNCLEAR, "Real", "Fake", "Real"]
    assert judgement.fake_seconds == pytest.approx(20 * STEP)
    assert judge(HYBRID, timeline, segment_threshold=0.95).verdict == "Hybrid", "what it shows is enough for a Hybrid"


def test_the_timeline_follows_the_boundaries_as_far_as_it_is_told():
    timeline = np.where(np.arange(100) < 40, 0.2, 0.8) + 0.1 * np.sin(np.arange(100))
    boundaries = np.zeros(100)
    boundaries[[38, 40, 70]] = 0.6, 0.9, 0.4
    answers = dataclasses.replace(scan([0.3, 0.3, 0.4], timeline), boundaries=boundaries)
    untouched = smooth_segments(answers, DECISION)
    np.testing.assert_array_equal(untouched, timeline)
    cut = dataclasses.replace(DECISION, boundary_threshold=0.5, segment_weight=1.0)
    drawn = smooth_segments(answers, cut)
    # Of two peaks that are too close for a segment between them the higher one counts; 0.4 is under the threshold.
    assert drawn[:40] == pytest.approx(np.full(40, timeline[:40].mean()))
    assert drawn[40:] == pytest.approx(np.full(60, timeline[40:].mean()))
    half = smooth_segments(answers, dataclasses.replace(cut, segment_weight=0.5))
    assert half == pytest.approx((drawn + timeline) / 2)


def test_peaks_are_those_of_scipy():
    from scipy.signal import find_peaks

    rng = np.random.default_rng(0)
    for values in (*rng.random((20, 300)), rng.integers(0, 4, 500) / 3, np.zeros(9), np.ones(1), np.arange(5.0)):
        for height, distance in ((0.3, 5), (0.9, 1), (1.0, 3)):
            if len(np.unique(values)) > 10 or distance == 1:  # among equals that are too close scipy takes any
                expected, _ = find_peaks(values, height=height, distance=distance)
                np.testing.assert_array_equal(_peaks(values, height, distance), expected)
    close = np.array([0, 1, 0, 1, 0, 1, 0], dtype=float)
    assert len(_peaks(close, 0.5, 3)) == 2
