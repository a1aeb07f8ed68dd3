"""From windows to one answer: hand-made answers of the network first, then real features."""

import dataclasses
import itertools
import json
import shutil
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import tiny
from commands import HERE

import deepfake_audio
from deepfake_audio import places
from deepfake_audio.errors import AudioError, CheckpointError
from deepfake_audio.examples.example import Example, extract_features
from deepfake_audio.features.draw import Glimpse
from deepfake_audio.features.log_mel import log_mel
from deepfake_audio.features.speech import speech_seconds
from deepfake_audio.features.windows import cut_window, normalise_window, window_step
from deepfake_audio.judging.detector import (
    BATCH_WINDOWS,
    LOW_CONFIDENCE,
    MIGHT_ACCUSE,
    NO_FAKE_SEGMENT,
    NO_REAL_SEGMENT,
    Detector,
    Scan,
    Scanner,
    _merge_short_runs,
    _peaks,
    decide,
    scan_features,
    smooth_segments,
)
from deepfake_audio.settings import CLASS_NAMES, NO_SPEECH, SAMPLE_RATE, UNCERTAIN, DecisionSettings
from deepfake_audio.sound.reading import quantise, write_flac

DECISION = DecisionSettings(
    temperature=1.0, fake_threshold=0.5, shortest_segment_seconds=0.1, least_confidence=0.5, least_speech_seconds=0.3
)
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


@pytest.mark.parametrize("softmax", [(0.7, 0.2, 0.1), (0.1, 0.8, 0.1), (0.05, 0.3, 0.65), (1.0, 0.0, 0.0)])
def test_a_single_window_is_the_softmax_itself(softmax):
    judgement = judge(softmax)
    assert list(judgement.probabilities) == list(CLASS_NAMES)
    assert list(judgement.probabilities.values()) == pytest.approx(softmax, abs=3e-6)
    assert judgement.confidence == pytest.approx(max(softmax), abs=3e-6)
    assert judgement.verdict == CLASS_NAMES[int(np.argmax(softmax))]


def test_windows_that_agree_keep_their_answer_however_many_they_are():
    for count in (1, 2, 50):
        judgement = judge([(0.9, 0.06, 0.04)] * count)
        assert judgement.verdict == "Real" and judgement.confidence == pytest.approx(0.9, abs=1e-5)


def test_windows_that_disagree_make_a_hybrid():
    judgement = judge([(0.95, 0.03, 0.02), (0.02, 0.96, 0.02)])
    assert judgement.verdict == "Hybrid"
    # Harmonic means by hand.
    real, fake = 2 / (1 / 0.95 + 1 / 0.02), 2 / (1 / 0.03 + 1 / 0.96)
    assert list(judgement.probabilities.values()) == pytest.approx([real, fake, 1 - real - fake], abs=1e-5)


def test_one_hybrid_window_among_real_ones_makes_a_hybrid_one_unsure_window_does_not():
    assert judge([(0.97, 0.02, 0.01)] * 5 + [(0.01, 0.02, 0.97)]).verdict == "Hybrid"
    assert judge([(0.97, 0.02, 0.01)] * 5 + [(0.5, 0.2, 0.3)]).verdict == "Real"


def test_probabilities_sum_to_one_for_any_windows():
    rng = np.random.default_rng(0)
    for count in range(1, 8):
        judgement = judge(rng.dirichlet([0.3, 0.3, 0.3], size=count), temperature=float(rng.uniform(0.3, 5)))
        values = list(judgement.probabilities.values())
        assert sum(values) == pytest.approx(1.0, abs=1e-5) and min(values) >= 0


def test_temperature_changes_the_confidence_of_a_window_but_not_its_winner():
    softmax = (0.2, 0.7, 0.1)
    confidences = [judge(softmax, temperature=t).confidence for t in (0.5, 1.0, 2.0, 10.0)]
    assert confidences == sorted(confidences, reverse=True) and confidences[-1] == pytest.approx(0.37, abs=0.03)
    assert {judge(softmax, temperature=t, least_confidence=0.0).verdict for t in (0.5, 2.0, 10.0)} == {"Fake"}
    expected = np.sqrt(softmax) / np.sqrt(softmax).sum()
    assert list(judge(softmax, temperature=2.0).probabilities.values()) == pytest.approx(expected, abs=1e-5)


def test_low_confidence_is_uncertain_and_still_has_a_timeline():
    judgement = judge((0.4, 0.35, 0.25))
    assert judgement.verdict == UNCERTAIN and judgement.confidence == pytest.approx(0.4, abs=1e-5)
    assert judgement.segments
    assert judge((0.4, 0.35, 0.25), least_confidence=0.39).verdict == "Real"


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


def test_a_low_confidence_is_the_first_reason():
    assert ruled((0.3, 0.3, 0.4), slice(0, 0)).reason == LOW_CONFIDENCE
    assert ruled((0.8, 0.1, 0.1), slice(0, 0)).reason is None


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


def test_windows_without_speech_have_no_say():
    real, junk = (0.9, 0.05, 0.05), (0.01, 0.98, 0.01)
    levels = levels_of((2, -20), (4, -80))
    windows = np.array([[0, 100], [100, 200], [200, 300]])
    made = Scan(np.array([real, junk, junk]), np.full(300, 0.1), np.zeros(300), windows, 6.0, 2.0, levels)
    judgement = decide(made, SETTINGS)
    assert judgement.verdict == "Real" and judgement.confidence == pytest.approx(0.9, abs=1e-4)
    # If no window has enough, all have a say.
    short = dataclasses.replace(made, levels=levels_of((0.2, -20), (5.8, -80)))
    assert decide(short, SETTINGS).probabilities["Real"] < 0.1


# Segments


def assert_covers(judgement):
    edges = [(s.start, s.end) for s in judgement.segments]
    assert edges[0][0] == 0.0 and edges[-1][1] == judgement.seconds
    for (_, end), (start, _) in itertools.pairwise(edges):
        assert end == pytest.approx(start, abs=1e-9)
    assert all(start < end for start, end in edges)
    labels = [s.label for s in judgement.segments]
    assert all(one != other for one, other in itertools.pairwise(labels))


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


# Scan


def test_accusing_needs_more_confidence_than_believing():
    careful = {"least_confidence": 0.4, "least_accusation": 0.7}
    assert judge([0.5, 0.3, 0.2], **careful).verdict == "Real"
    withheld = judge([0.3, 0.6, 0.1], **careful)
    assert (withheld.verdict, withheld.reason) == ("Uncertain", MIGHT_ACCUSE)
    assert judge([0.1, 0.1, 0.8], np.arange(100) >= 50, **careful).verdict == "Hybrid"
    lenient = careful | {"least_accusation": 0.1}
    assert judge([0.3, 0.37, 0.33], **lenient).verdict == "Uncertain", "the usual threshold still holds"


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


def frame_energy(windows):
    """Answer like a network whose timeline follows the input, and whose verdict counts the windows."""
    per_label = windows.reshape(len(windows), SETTINGS.window.label_frames, -1).mean(axis=2)
    return {
        "verdict": np.tile(np.float32([0.6, 0.3, 0.1]), (len(windows), 1)),
        "timeline": (1 / (1 + np.exp(-per_label)))[..., None].astype(np.float32),
        "boundaries": np.zeros((*per_label.shape, 1), dtype=np.float32),
    }


def spectrogram(frames):
    return np.random.default_rng(frames).normal(-40, 10, (frames, SETTINGS.features.mel_bands)).astype(np.float16)


@pytest.mark.parametrize("frames", [1, 2, 21, 47, 48, 49, 50, 72, 97, 1000, 5001])
def test_every_timeline_frame_of_any_length_gets_a_value(frames):
    answer = scan_features(spectrogram(frames), SETTINGS, frame_energy, frames / 100, 1.0)
    assert answer.timeline.shape == (-(-frames // SETTINGS.window.frames_per_label),)
    assert np.isfinite(answer.timeline).all() and (answer.timeline > 0).all() and (answer.timeline < 1).all()
    assert len(answer.verdicts) == len(answer.windows_of_frames)
    covered = np.zeros(len(answer.timeline), dtype=int)
    for start, end in answer.windows_of_frames:
        covered[start:end] += 1
    assert covered.min() >= 1


def test_where_one_window_answers_its_value_stands_and_overlaps_are_weighted_means():
    mel, window = spectrogram(120), SETTINGS.window
    answer = scan_features(mel, SETTINGS, frame_energy, 1.2, 1.0)
    starts = answer.windows_of_frames[:, 0] * window.frames_per_label
    single = [
        frame_energy(normalise_window(cut_window(mel, s, window.frames), SETTINGS.features)[None])["timeline"][0, :, 0]
        for s in starts
    ]
    expected = np.zeros(len(answer.timeline))
    for frame in range(len(expected)):
        values, trusts = [], []
        for (start, _), told in zip(answer.windows_of_frames, single, strict=True):
            inside = frame - start
            if 0 <= inside < window.label_frames:
                values.append(told[inside])
                trusts.append(min(inside + 1, window.label_frames - inside))
        expected[frame] = np.average(values, weights=trusts)
    np.testing.assert_allclose(answer.timeline, expected, atol=1e-5)  # kept in steps of 1.5e-5
    np.testing.assert_allclose(answer.timeline[0], single[0][0], atol=1e-5)
    np.testing.assert_allclose(answer.timeline[-1], single[-1][-1], atol=1e-5)


def test_windows_are_asked_in_batches_of_bounded_size():
    sizes = []

    def predict(windows):
        sizes.append(len(windows))
        return frame_energy(windows)

    answer = scan_features(spectrogram(6000), SETTINGS, predict, 60.0, 50.0)
    assert max(sizes) <= 32 and sum(sizes) == len(answer.verdicts) > 200


@pytest.mark.parametrize("frames", [1, 48, 49, 1000, 5001])
@pytest.mark.parametrize("piece", [1, 7, 300, 4000])
def test_the_pieces_that_a_spectrogram_comes_in_do_not_matter(frames, piece):
    mel = spectrogram(frames)
    whole = scan_features(mel, SETTINGS, frame_energy, frames / 100, 1.0)
    scanner = Scanner(SETTINGS, frame_energy)
    for start in range(0, frames, piece):
        scanner.push(mel[start : start + piece])
        assert len(scanner._spectrogram) <= 3 * SETTINGS.window.frames + piece
        assert len(scanner._total) <= (BATCH_WINDOWS + 2) * SETTINGS.window.label_frames
    pieces = scanner.finish(frames / 100, 1.0)
    for name in ("verdicts", "timeline", "windows_of_frames", "levels"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-6, err_msg=name)
    assert len(pieces.levels) == len(pieces.timeline)


def test_a_scanner_keeps_few_bytes_per_timeline_frame():
    mel, kept = spectrogram(2000), []
    scanner = Scanner(SETTINGS, frame_energy)
    tracemalloc.start()
    try:
        for piece in range(8):
            if piece in (1, 7):
                kept.append(tracemalloc.get_traced_memory()[0])
            scanner.push(mel)
    finally:
        tracemalloc.stop()
    frames = 6 * len(mel) / SETTINGS.window.frames_per_label
    windows = 6 * len(mel) / window_step(SETTINGS.window)
    # Two bytes each for timeline, boundaries, level, an eighth more for growing; a verdict, its start, an array's head.
    waiting = BATCH_WINDOWS * SETTINGS.window.frames * SETTINGS.features.mel_bands * 4
    assert kept[1] - kept[0] < 7 * frames + 80 * windows + waiting


# Detector


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return Detector(tiny.save_untrained(tmp_path_factory.mktemp("detector") / "run-x" / "model.keras", SETTINGS))


def test_a_file_has_the_same_features_in_training_and_when_it_is_judged(detector, tmp_path, monkeypatch):
    # Stereo at another rate: everything that decoding does happens on both ways.
    path = tmp_path / "clip.wav"
    samples = tiny.voice("Hybrid", 1.7, np.random.default_rng(3))
    soundfile.write(path, np.stack([samples, 0.5 * samples], axis=1), 22_050)
    store = extract_features([Example("clip", path, "Hybrid", "hybrid", "g")], tmp_path / "f", SETTINGS.features)
    seen, finish = [], Scanner.finish
    push = Scanner.push
    monkeypatch.setattr(Scanner, "push", lambda self, frames: (seen.append(frames), push(self, frames)))
    monkeypatch.setattr(Scanner, "finish", lambda self, *a: seen.append(finish(self, *a)) or seen[-1])
    judgement = detector.judge(path)
    monkeypatch.undo()
    fresh, answer, extent = np.concatenate(seen[:-1]), seen[-1], store.extents["clip"]
    np.testing.assert_array_equal(fresh, store.read("clip"))
    stored = scan_features(store.read("clip"), SETTINGS, detector.engine.predict, extent.seconds, extent.speech_seconds)
    np.testing.assert_allclose(stored.verdicts, answer.verdicts, atol=1e-6)
    assert decide(stored, SETTINGS).to_dict() == judgement.to_dict()


@pytest.mark.parametrize("seconds", [0.0001, 0.01, 0.2, 0.48, 0.5, 7.3])
def test_clips_of_any_length_are_answered(detector, seconds):
    samples = tiny.voice("Real", max(seconds, 0.0001), np.random.default_rng(0))
    judgement = detector.judge(samples)
    assert judgement.seconds == pytest.approx(len(samples) / SAMPLE_RATE)
    assert np.isfinite(judgement.frame_probabilities).all()
    if judgement.verdict == NO_SPEECH:
        assert seconds < DECISION.least_speech_seconds
    else:
        assert_covers(judgement)


def test_loudness_does_not_matter(detector):
    samples = tiny.voice("Hybrid", 1.5, np.random.default_rng(1))
    one, other = detector.judge(samples), detector.judge(0.25 * samples)
    assert list(one.probabilities.values()) == pytest.approx(list(other.probabilities.values()), abs=0.01)


def test_silence_is_no_speech_and_nothing_is_an_error(detector):
    assert detector.judge(np.zeros(SAMPLE_RATE, dtype=np.float32)).verdict == NO_SPEECH
    with pytest.raises(AudioError, match="no samples"):
        detector.judge(np.zeros(0, dtype=np.float32))


def test_an_answer_is_plain_json_with_rounded_numbers(detector):
    answer = detector.judge(tiny.voice("Hybrid", 2.0, np.random.default_rng(2))).to_dict()
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert list(answer) == [
        *("verdict", "reason", "confidence", "probabilities", "seconds", "speech_seconds", "fake_seconds", "segments")
    ]
    assert answer["confidence"] == round(answer["confidence"], 4)
    assert set(answer["segments"][0]) == {"start", "end", "label", "fake_probability"}


def test_the_model_introduces_itself(detector):
    info = detector.model_info()
    assert info["name"] == "run-x/model.keras" and info["trained"] == "2026-01-02T03:04:05+00:00" and info["version"]
    again = Detector(detector.checkpoint.path)
    assert again.settings == detector.settings


def test_features_follow_the_checkpoint_not_the_defaults(detector):
    assert len(detector.engine.mel_filters) == SETTINGS.features.mel_bands
    assert log_mel(np.zeros(1600, dtype=np.float32), detector.settings.features).shape == (11, 20)


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


# A sound that goes on


def test_the_last_seconds_are_judged_as_if_they_were_a_recording(detector):
    samples = tiny.voice("Hybrid", 6.0, np.random.default_rng(3))
    rolling = detector.rolling(2.0)
    for start in range(0, len(samples), 800):
        rolling.push(samples[start : start + 800])
    # 601 frames, of which the last two reach beyond the end, and the others come five at a time.
    frames = log_mel(samples, SETTINGS.features)[395:595]
    speech = speech_seconds(samples[-2 * SAMPLE_RATE :], SAMPLE_RATE)
    expected = decide(scan_features(frames, SETTINGS, detector.engine.predict, 2.0, speech), SETTINGS)
    live = rolling.judge()
    np.testing.assert_allclose(live.frame_probabilities, expected.frame_probabilities, atol=1e-3)
    assert live.probabilities == pytest.approx(expected.probabilities, abs=1e-3)
    assert (live.seconds, live.speech_seconds) == (2.0, speech)


def test_features_of_a_frame_are_computed_once(detector, monkeypatch):
    from deepfake_audio.features import log_mel as log_mel_module

    counted, compute = [], log_mel_module._frames
    monkeypatch.setattr(log_mel_module, "_frames", lambda *a: (counted.append(len(made := compute(*a))), made)[1])
    rolling = detector.rolling(1.0)
    for _ in range(100):
        rolling.push(np.full(800, 0.1, dtype=np.float32))
        if len(counted):
            rolling.judge()
    assert 490 <= sum(counted) <= 500


def test_before_the_first_frame_there_is_nothing_to_judge(detector):
    with pytest.raises(AudioError, match="hardly any sound"):
        detector.rolling(1.0).judge()


# As a library


def test_the_package_names_the_detector_and_imports_nothing_heavy():
    code = (
        "import sys, deepfake_audio\n"
        "heavy = {'numpy', 'tensorflow', 'keras', 'librosa', 'soundfile', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from deepfake_audio import Detector\n"
        "assert 'tensorflow' not in sys.modules\n"
        "assert Detector.__module__ == 'deepfake_audio.judging.detector'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="Detective"):
        deepfake_audio.Detective  # noqa: B018


def test_without_a_checkpoint_the_newest_run_judges(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "outputs", lambda: tmp_path)
    monkeypatch.setattr(places, "bundled", lambda: tmp_path / "none")
    with pytest.raises(CheckpointError, match="train one"):
        Detector()
    shutil.copytree(detector.checkpoint.path.parent, tmp_path / "run-y")
    assert Detector().model_info()["name"] == "run-y/model.keras"


def test_threads_share_one_detector(detector, tmp_path):
    clips = [tiny.voice(label, 1.5, np.random.default_rng(n)) for n, label in enumerate(["Real", "Fake", "Hybrid"] * 4)]
    alone = [detector.judge(clip).to_dict() for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        together = [judgement.to_dict() for judgement in pool.map(detector.judge, clips)]
    assert together == alone


def test_a_path_and_its_samples_get_the_same_answer(detector, tmp_path):
    samples = tiny.voice("Hybrid", 1.5, np.random.default_rng(9))
    write_flac(tmp_path / "clip.flac", samples)
    answers = [detector.judge(what).to_dict() for what in (tmp_path / "clip.flac", str(tmp_path / "clip.flac"))]
    assert answers[0] == answers[1] == detector.judge(quantise(samples)).to_dict()


def test_a_file_that_comes_in_pieces_has_the_answer_of_the_whole(detector, tmp_path):
    from deepfake_audio.sound import reading

    path = tmp_path / "clip.wav"
    soundfile.write(path, tiny.voice("Hybrid", 60.0, np.random.default_rng(4)), 44_100)
    whole, heard = detector.judge(reading.read_audio(path)), []
    glimpse = Glimpse(SAMPLE_RATE, 0.01)
    pieces = detector.judge(path, glimpse, heard.append)
    assert pieces.to_dict() == whole.to_dict()
    assert len(heard) > 1 and heard == sorted(heard) and heard[-1] == pytest.approx(whole.seconds, abs=0.5)
    np.testing.assert_array_equal(
        glimpse.spectrogram()[0], _shrunk(log_mel(reading.read_audio(path), SETTINGS.features))
    )
    np.testing.assert_array_equal(glimpse.timeline, pieces.frame_probabilities)


def _shrunk(mel):
    overview = Glimpse(SAMPLE_RATE, 0.01)
    overview.see(mel)
    return overview.spectrogram()[0]


def test_who_has_heard_enough_can_stop(detector, tmp_path):
    write_flac(tmp_path / "clip.flac", tiny.voice("Real", 1.0, np.random.default_rng(4)))

    def enough(seconds):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        detector.judge(tmp_path / "clip.flac", heard=enough)
