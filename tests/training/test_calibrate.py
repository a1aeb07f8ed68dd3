"""Fitting the decision on validation, and rows of the scores file."""

import dataclasses

import numpy as np
import pytest
import tiny

from deepfake_audio.evaluation.scores import read_scores, score_examples, write_scores
from deepfake_audio.examples.example import Example
from deepfake_audio.examples.features import FeatureStore, labels_of
from deepfake_audio.features.store import FeatureCache, Spectrogram
from deepfake_audio.judging.decision import decide
from deepfake_audio.judging.scanner import Scan
from deepfake_audio.settings import CLASS_NAMES
from deepfake_audio.training.calibrate import MOST_ACCUSED, TEMPERATURES, fit_decision, scan_examples

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


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_undoes_over_and_underconfidence(sharpness, tmp_path):
    scans, store = made_up_scans(tmp_path, sharpness, count=600)
    found = fit_decision(scans, store, SETTINGS)
    assert found.temperature == pytest.approx(sharpness, rel=0.2)
    assert log_likelihood(scans, found) >= log_likelihood(scans, SETTINGS.decision) - 0.005


def test_threshold_stands_between_real_and_fake_frames(tmp_path):
    scans, store = made_up_scans(tmp_path, 1.0)
    found = fit_decision(scans, store, SETTINGS)
    assert 0.2 < found.fake_threshold < 0.4, "real frames are around 0.15 and fake ones around 0.45"
    hybrids = [(e, s) for e, s in scans if e.label == "Hybrid"]
    truth = np.concatenate([labels_of(e, store, SETTINGS) for e, _ in hybrids])
    told = np.concatenate([s.timeline for _, s in hybrids]) >= found.fake_threshold
    assert (told == truth).mean() > 0.98


def test_all_else_of_the_decision_stays(tmp_path):
    scans, store = made_up_scans(tmp_path, 2.0)
    own = dataclasses.replace(SETTINGS.decision, least_speech_seconds=0.37, shortest_segment_seconds=0.21)
    found = fit_decision(scans, store, dataclasses.replace(SETTINGS, decision=own))
    fitted = (
        "temperature",
        "fake_threshold",
        "least_confidence",
        "least_accusation",
        "boundary_threshold",
        "segment_weight",
    )
    assert dataclasses.replace(own, **{name: getattr(found, name) for name in fitted}) == found


def test_verdicts_are_given_from_the_confidence_on_at_which_they_were_mostly_right(tmp_path):
    scans, store = made_up_scans(tmp_path, 1.0, count=900)
    found = fit_decision(scans, store, SETTINGS)
    assert found.least_confidence == pytest.approx(0.5, abs=0.08), "these probabilities are honest"

    def share_right(chosen):
        return np.mean([judged.verdict == clip.label for clip, judged in chosen])

    free = dataclasses.replace(found, least_confidence=0.0, least_accusation=0.0)
    judged = [(clip, judged_with(scan, free)) for clip, scan in scans]
    assert share_right([row for row in judged if row[1].confidence < found.least_confidence]) < 0.5
    assert share_right([row for row in judged if row[1].confidence >= found.least_confidence]) > 0.6


def test_a_model_that_is_mostly_right_is_never_uncertain_and_a_hopeless_one_always(tmp_path):
    scans, store = made_up_scans(tmp_path, 1.0, count=60)
    sure = [
        (clip, dataclasses.replace(scan, verdicts=0.8 * np.eye(3)[[CLASS_NAMES.index(clip.label)]] + 0.2 / 3))
        for clip, scan in scans
    ]
    assert fit_decision(sure, store, SETTINGS).least_confidence == 0.0
    wrong = [(clip, dataclasses.replace(scan, verdicts=np.roll(scan.verdicts, 1, axis=1))) for clip, scan in sure]
    found = fit_decision(wrong, store, SETTINGS)
    assert {judged_with(scan, found).verdict for _, scan in wrong} == {"Uncertain"}


@pytest.mark.parametrize("labels", [("Real", "Fake"), ("Real",), ("Hybrid",)])
def test_missing_classes_are_no_error(labels, tmp_path):
    scans, store = made_up_scans(tmp_path, 2.0, labels, count=20)
    found = fit_decision(scans, store, SETTINGS)
    assert TEMPERATURES[0] <= found.temperature <= TEMPERATURES[1]
    if "Hybrid" not in labels:
        assert found.fake_threshold == SETTINGS.decision.fake_threshold


def test_hybrids_without_known_spans_do_not_move_the_threshold(tmp_path):
    scans, store = made_up_scans(tmp_path, 1.0)
    blind = [(dataclasses.replace(e, spans=None) if e.label == "Hybrid" else e, s) for e, s in scans]
    assert fit_decision(blind, store, SETTINGS).fake_threshold == SETTINGS.decision.fake_threshold


def test_a_hopeless_timeline_gives_a_threshold_within_zero_and_one(tmp_path):
    scans, store = made_up_scans(tmp_path, 1.0)
    for value in (0.0, 1.0):
        flat = [(e, dataclasses.replace(s, timeline=np.full(LABELS, value))) for e, s in scans]
        assert 0 < fit_decision(flat, store, SETTINGS).fake_threshold < 1


@pytest.mark.parametrize("sharpness", [0.5, 3.0])
def test_few_real_clips_are_accused(tmp_path, sharpness):
    scans, store = made_up_scans(tmp_path, sharpness, count=400)
    decision = fit_decision(scans, store, SETTINGS)
    real = [judged_with(scan, decision) for clip, scan in scans if clip.label == "Real"]
    accused = [judgement.verdict in ("Fake", "Hybrid") for judgement in real]
    assert 0 < np.mean(accused) <= MOST_ACCUSED
    free = dataclasses.replace(decision, least_accusation=0.0)
    before = [judged_with(scan, free).verdict for clip, scan in scans if clip.label == "Real"]
    after = [judgement.verdict for judgement in real]
    assert before.count("Real") == after.count("Real"), "who is believed stays believed"
    assert sum(verdict in ("Fake", "Hybrid") for verdict in before) > sum(accused)


def test_boundaries_are_followed_where_that_helps(tmp_path):
    rng = np.random.default_rng(5)
    scans, store = made_up_scans(tmp_path, 1.0)
    noisy = []
    for clip, found in scans:
        truth = clip.frame_labels(LABELS, SETTINGS.label_seconds)
        timeline = np.clip(0.4 + 0.1 * truth + 0.3 * rng.standard_normal(LABELS), 0, 1)
        boundaries = np.zeros(LABELS)
        boundaries[np.flatnonzero(np.diff(truth)) + 1] = 0.95
        noisy.append((clip, dataclasses.replace(found, timeline=timeline, boundaries=boundaries)))
    decision = fit_decision(noisy, store, SETTINGS)
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
        dataclasses.replace(SETTINGS, decision=dataclasses.replace(SETTINGS.decision, least_confidence=0.5)),
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
