"""Fitting the decision on validation, and rows of the scores file."""

import dataclasses
from collections import defaultdict

import numpy as np
import pytest
import tiny

from deepfake_audio.evaluation.scores import read_scores, score_examples, write_scores
from deepfake_audio.examples.example import Example
from deepfake_audio.examples.features import FeatureStore
from deepfake_audio.features.store import FeatureCache, Spectrogram
from deepfake_audio.judging.decision import decide
from deepfake_audio.judging.scanner import Scan
from deepfake_audio.settings import CLASS_NAMES, OPERATING_POINTS
from deepfake_audio.training.calibrate import (
    MOST_SECONDS_ACCUSED,
    MOST_VOUCHED,
    _joined,
    fit_decision,
    scan_examples,
)

SETTINGS = tiny.settings()
FRAMES = 200
SECONDS = FRAMES * SETTINGS.features.hop_seconds
LABELS = FRAMES // SETTINGS.window.frames_per_label


def store_of(names, folder):
    """Return a store in which every clip has the same made-up spectrogram."""
    cache = FeatureCache(folder, SETTINGS.features)
    store = FeatureStore(cache)
    values = np.random.default_rng(0).normal(-40, 10, (FRAMES, SETTINGS.features.mel_bands)).astype(np.float16)
    extent = cache.add(b"made up", Spectrogram(values, SECONDS, SECONDS))
    store.extents = dict.fromkeys(names, extent)
    return store


def example(number, label, **changes):
    spans = ((SECONDS / 2, SECONDS),) if label == "Hybrid" else ()
    made = Example(f"{label}-{number}", None, label, label.lower(), "g", "anna", "", "src", "en", spans)
    return dataclasses.replace(made, **changes)


def made_up_scans(folder, sharpness, labels=CLASS_NAMES, count=120, seed=0):
    """Softmax outputs that are honest at `sharpness` 1 and overconfident above; timelines with a bias."""
    rng = np.random.default_rng(seed)
    scans = []
    for number in range(count):
        honest = rng.dirichlet([0.8] * len(labels))
        label = labels[rng.choice(len(labels), p=honest)]
        full = np.full(len(CLASS_NAMES), 1e-6)
        full[[CLASS_NAMES.index(name) for name in labels]] = honest
        sharp = full**sharpness
        clip = example(number, label)
        truth = clip.frame_labels(LABELS, SETTINGS.label_seconds)
        timeline = np.clip(0.15 + 0.3 * truth + 0.05 * rng.standard_normal(LABELS), 0, 1)
        verdicts = (sharp / sharp.sum()).astype(np.float32)[None]
        scans.append((clip, Scan(verdicts, timeline, np.zeros(LABELS), np.array([[0, LABELS]]), SECONDS, SECONDS)))
    return scans, store_of([clip.name for clip, _ in scans], folder)


def judged_with(scan, decision):
    return decide(scan, dataclasses.replace(SETTINGS, decision=decision))


def log_likelihood(scans, decision):
    return np.mean([np.log(max(1e-6, judged_with(s, decision).probabilities[e.label])) for e, s in scans])


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_weights_undo_over_and_underconfidence(sharpness, tmp_path):
    scans, _ = made_up_scans(tmp_path, sharpness, count=600)
    flat = [(clip, dataclasses.replace(scan, timeline=np.full(LABELS, 0.3))) for clip, scan in scans]
    found = fit_decision(flat, SETTINGS)
    weights = np.reshape(found.verdict_weights, (3, -1))[:, 1:4]
    slopes = np.diag(weights) - weights.mean(axis=0)  # a constant for all classes changes nothing
    assert slopes * 1.5 == pytest.approx(np.full(3, 1 / sharpness), rel=0.35)
    assert log_likelihood(flat, found) >= log_likelihood(flat, SETTINGS.decision) - 0.005


def test_few_clips_leave_the_network_its_own_answer(tmp_path):
    scans, _ = made_up_scans(tmp_path, 3.0, count=6)
    found = np.reshape(fit_decision(scans, SETTINGS).verdict_weights, (3, -1))
    plain = np.reshape(SETTINGS.decision.verdict_weights, (3, -1))
    assert np.abs(found - plain)[:, 1:4].max() < 0.3


def test_threshold_stands_between_real_and_fake_frames(tmp_path):
    scans, _ = made_up_scans(tmp_path, 1.0)
    found = fit_decision(scans, SETTINGS)
    assert 0.2 < found.fake_threshold < 0.4, "real frames are around 0.15 and fake ones around 0.45"
    hybrids = [(e, s) for e, s in scans if e.label == "Hybrid"]
    truth = np.concatenate([e.frame_labels(LABELS, SETTINGS.label_seconds) for e, _ in hybrids])
    told = np.concatenate([s.timeline for _, s in hybrids]) >= found.fake_threshold
    assert (told == truth).mean() > 0.98


def test_all_else_of_the_decision_stays(tmp_path):
    scans, _ = made_up_scans(tmp_path, 2.0)
    own = dataclasses.replace(SETTINGS.decision, least_speech_seconds=0.37, shortest_segment_seconds=0.21)
    found = fit_decision(scans, dataclasses.replace(SETTINGS, decision=own))
    fitted = (
        "verdict_weights",
        "accusation_thresholds",
        "assurance_threshold",
        "fake_threshold",
        "segment_threshold",
        "boundary_threshold",
        "segment_weight",
    )
    assert dataclasses.replace(own, **{name: getattr(found, name) for name in fitted}) == found


@pytest.mark.parametrize("labels", [("Real", "Fake"), ("Real",), ("Hybrid",)])
def test_missing_classes_are_no_error(labels, tmp_path):
    scans, _ = made_up_scans(tmp_path, 2.0, labels, count=20)
    found = fit_decision(scans, SETTINGS)
    assert np.isfinite(found.verdict_weights).all()
    assert min(found.accusation_thresholds) >= 0.5 and found.assurance_threshold <= 0.5
    if "Hybrid" not in labels:
        assert found.fake_threshold == SETTINGS.decision.fake_threshold


def test_hybrids_without_known_spans_do_not_move_the_threshold(tmp_path):
    scans, _ = made_up_scans(tmp_path, 1.0)
    blind = [(dataclasses.replace(e, spans=None) if e.label == "Hybrid" else e, s) for e, s in scans]
    assert fit_decision(blind, SETTINGS).fake_threshold == SETTINGS.decision.fake_threshold


def test_a_hopeless_timeline_gives_a_threshold_within_zero_and_one(tmp_path):
    scans, _ = made_up_scans(tmp_path, 1.0)
    for value in (0.0, 1.0):
        flat = [(e, dataclasses.replace(s, timeline=np.full(LABELS, value))) for e, s in scans]
        assert 0 < fit_decision(flat, SETTINGS).fake_threshold < 1


@pytest.mark.parametrize("sharpness", [0.5, 3.0])
def test_an_operating_point_accuses_as_few_real_clips_as_it_says_and_sources_count_alike(tmp_path, sharpness):
    scans, _ = made_up_scans(tmp_path, sharpness, count=1500)
    # One source in ten clips: if clips counted alike, it would not matter.
    scans = [
        (
            dataclasses.replace(clip, source="small" if number % 10 == 0 else f"large {number % 9}"),
            dataclasses.replace(scan, timeline=np.full(LABELS, 0.3)),
        )
        for number, (clip, scan) in enumerate(scans)
    ]
    decision = fit_decision(scans, SETTINGS)
    assert list(decision.accusation_thresholds) == sorted(decision.accusation_thresholds, reverse=True)
    real = [(clip, scan) for clip, scan in scans if clip.label == "Real"]
    for point in OPERATING_POINTS:
        settings = dataclasses.replace(SETTINGS, decision=decision)
        accused = defaultdict(list)
        for clip, scan in real:
            judged = decide(scan, settings, operating_point=point)
            accused[clip.source].append(judged.verdict in ("Fake", "Hybrid"))
        assert np.mean([np.mean(told) for told in accused.values()]) <= point / 100 + 0.02
    fakes = [judged_with(scan, decision).verdict for clip, scan in scans if clip.label == "Fake"]
    assert 0 < fakes.count("Real") / len(fakes) <= MOST_VOUCHED + 0.03


def test_an_operating_point_holds_for_long_recordings_too(tmp_path):
    scans, _ = made_up_scans(tmp_path, 1.0, count=600)
    # One voice in ten sounds synthetic in every clip: clip by clip a little, in a row for certain.
    rows = []
    for number, (clip, scan) in enumerate(scans):
        clip = dataclasses.replace(clip, source=f"source {number % 20}", speaker=f"voice {number % 20}")
        odd = clip.label == "Real" and number % 20 < 2
        timeline = np.full(LABELS, 0.4 + 0.2 * odd + 0.3 * (clip.label == "Fake"))
        rows.append((clip, dataclasses.replace(scan, timeline=timeline)))
    settings = dataclasses.replace(SETTINGS, decision=fit_decision(rows, SETTINGS))
    joined = [row for row in _joined(rows) if row[0].kind == "real"]
    assert len(joined) == 20 and all(scan.seconds > 5 * SECONDS for _, scan in joined)
    told = [decide(scan, settings, operating_point=5).verdict for _, scan in joined]
    assert sum(verdict in ("Fake", "Hybrid") for verdict in told) <= 1


def test_long_fakes_say_up_to_where_long_recordings_are_called_real(tmp_path):
    scans, _ = made_up_scans(tmp_path, 1.0, count=600)
    rows = []
    for number, (clip, scan) in enumerate(scans):
        clip = dataclasses.replace(clip, source=f"source {number % 20}", generator="g" * (clip.label == "Fake"))
        rows.append((clip, dataclasses.replace(scan, timeline=np.full(LABELS, 0.3))))
    decision = fit_decision(rows, SETTINGS)
    assert decision.long_assurance_threshold > decision.assurance_threshold
    settings = dataclasses.replace(SETTINGS, decision=decision)
    told = [decide(scan, settings).verdict for clip, scan in _joined(rows) if clip.label == "Fake"]
    assert len(told) == 20 and told.count("Real") <= 20 * MOST_VOUCHED


def test_an_operating_point_holds_behind_channels_too(tmp_path):
    scans, _ = made_up_scans(tmp_path, 1.0, count=900)
    clips = [
        (
            dataclasses.replace(clip, source=f"source {n % 30}", speaker=f"voice {n}"),
            dataclasses.replace(scan, timeline=np.full(LABELS, 0.3)),
        )
        for n, (clip, scan) in enumerate(scans)
    ]
    # Behind a channel, everything looks more like a fake.
    sent = []
    for clip, scan in clips:
        if clip.label == "Hybrid":
            continue
        verdicts = scan.verdicts * np.array([0.1, 1.0, 0.1], dtype=np.float32)
        verdicts /= verdicts.sum()
        sent.append((dataclasses.replace(clip, channel_seed=(1,)), dataclasses.replace(scan, verdicts=verdicts)))

    def accused(decision):
        settings = dataclasses.replace(SETTINGS, decision=decision)
        told = [decide(scan, settings, operating_point=5).verdict for clip, scan in sent if clip.label == "Real"]
        return np.mean([verdict in ("Fake", "Hybrid") for verdict in told])

    without, with_copies = fit_decision(clips, SETTINGS), fit_decision([*clips, *sent], SETTINGS)
    assert accused(with_copies) <= 0.07 < accused(without)


def test_segments_are_called_fake_where_real_speech_seldom_looks_so(tmp_path):
    rng = np.random.default_rng(3)
    scans, _ = made_up_scans(tmp_path, 1.0, count=300)
    noisy = []
    for clip, scan in scans:
        truth = clip.frame_labels(LABELS, SETTINGS.label_seconds)
        bumps = np.repeat(rng.random(LABELS // 10), 10)
        noisy.append((clip, dataclasses.replace(scan, timeline=np.clip(0.5 * bumps + 0.4 * truth, 0, 1))))
    decision = fit_decision(noisy, SETTINGS)
    assert decision.segment_threshold > decision.fake_threshold
    real = [judged_with(scan, decision) for clip, scan in noisy if clip.kind == "real"]
    assert 0 < sum(judged.fake_seconds for judged in real) <= MOST_SECONDS_ACCUSED * SECONDS * len(real) + 1e-6
    assert any(segment.label == "Unclear" for judged in real for segment in judged.segments)


def test_boundaries_are_followed_where_that_helps(tmp_path):
    rng = np.random.default_rng(5)
    scans, _ = made_up_scans(tmp_path, 1.0)
    noisy = []
    for clip, found in scans:
        truth = clip.frame_labels(LABELS, SETTINGS.label_seconds)
        timeline = np.clip(0.4 + 0.1 * truth + 0.3 * rng.standard_normal(LABELS), 0, 1)
        boundaries = np.zeros(LABELS)
        boundaries[np.flatnonzero(np.diff(truth)) + 1] = 0.95
        noisy.append((clip, dataclasses.replace(found, timeline=timeline, boundaries=boundaries)))
    decision = fit_decision(noisy, SETTINGS)
    assert decision.segment_weight > 0 and decision.boundary_threshold < 0.95


def test_clips_without_features_are_passed_over(tmp_path):
    def predict(windows):
        return {
            "verdict": np.tile(np.float32([0.2, 0.5, 0.3]), (len(windows), 1)),
            "timeline": np.full((len(windows), SETTINGS.window.label_frames, 1), 0.5, dtype=np.float32),
            "boundaries": np.full((len(windows), SETTINGS.window.label_frames, 1), 0.1, dtype=np.float32),
        }

    store = store_of(["Real-0", "Fake-0"], tmp_path)
    members = [example(0, "Real"), example(1, "Real"), example(0, "Fake")]
    scans = list(scan_examples(members, store, SETTINGS, predict))
    assert [e.name for e, _ in scans] == ["Real-0", "Fake-0"]
    assert scans[0][1].seconds == SECONDS and scans[0][1].timeline == pytest.approx(np.full(LABELS, 0.5), abs=1e-5)


def test_score_rows_say_what_is_true_and_what_was_told(tmp_path):
    timeline = np.where(np.arange(LABELS) < LABELS // 4, 0.9, 0.2)

    def scan(*verdict, speech=SECONDS):
        return Scan(np.float32([verdict]), timeline, np.zeros(LABELS), np.array([[0, LABELS]]), SECONDS, speech)

    rows = score_examples(
        [
            (example(0, "Real"), scan(0.9, 0.05, 0.05)),
            (example(1, "Fake", kind="fake+fake", generator="gen"), scan(0.1, 0.8, 0.1)),
            (example(2, "Hybrid"), scan(0.4, 0.3, 0.3)),
            (example(3, "Hybrid", spans=None), scan(0.1, 0.1, 0.8, speech=0.1)),
        ],
        dataclasses.replace(
            SETTINGS, decision=dataclasses.replace(SETTINGS.decision, accusation_thresholds=(0.7,) * 3)
        ),
    )
    assert [row.path for row in rows] == ["Real-0", "Fake-1", "Hybrid-2", "Hybrid-3"]
    assert [row.verdict for row in rows] == ["Real", "Fake", "Uncertain", "No speech"]
    assert [row.label for row in rows] == ["Real", "Fake", "Hybrid", "Hybrid"]
    assert [row.true_spans for row in rows] == [(), ((0.0, SECONDS),), ((SECONDS / 2, SECONDS),), ()]
    assert rows[1].kind == "fake+fake" and rows[1].generator == "gen"
    assert (rows[0].speaker, rows[0].source, rows[0].language) == ("anna", "src", "en")
    assert rows[0].probabilities == pytest.approx((0.9, 0.05, 0.05), abs=1e-5)
    assert rows[0].confidence == pytest.approx(0.9, abs=1e-5)
    assert rows[0].predicted_spans == (pytest.approx((0.0, LABELS // 4 * SETTINGS.label_seconds)),)
    assert rows[3].predicted_spans == ()
    assert rows[0].frame_seconds == SETTINGS.label_seconds and len(rows[0].frame_probabilities) == LABELS
    write_scores(tmp_path / "scores.csv", rows)
    assert [row.verdict for row in read_scores(tmp_path / "scores.csv")] == [row.verdict for row in rows]
