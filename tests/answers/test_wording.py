"""Answers in words."""

import pytest

from deepfake_audio.answers import wording
from deepfake_audio.judging.decision import MIGHT_ACCUSE, MIGHT_VOUCH, NO_FAKE_SEGMENT, NO_REAL_SEGMENT
from deepfake_audio.settings import CLASS_NAMES, NO_SPEECH, UNCERTAIN


def result(verdict="Fake", segments_shown=2, **changes):
    segments = [
        {"start": 1.0 * n, "end": n + 1.0, "label": ("Real", "Fake")[n % 2], "fake_probability": 0.5}
        for n in range(segments_shown)
    ]
    return {
        "path": "clip.wav",
        "verdict": verdict,
        "reason": MIGHT_VOUCH if verdict == UNCERTAIN else None,
        "confidence": 0.62,
        "probabilities": {"Real": 0.1, "Fake": 0.62, "Hybrid": 0.28},
        "seconds": 10.0,
        "speech_seconds": 9.0,
        "fake_seconds": 5.0,
        "segments": segments,
        "threshold": None,
    } | changes


@pytest.mark.parametrize("verdict", [*CLASS_NAMES, UNCERTAIN, NO_SPEECH])
def test_an_answer_fits_one_screen_and_any_console(verdict):
    lines = wording.describe(result(verdict, segments_shown=500))
    assert len(lines) <= 20 and max(map(len, lines)) <= 120
    "\n".join(lines).encode("ascii")
    assert verdict in lines[1] and lines[-1].startswith("  Next: ")


def test_what_is_left_out_is_said():
    assert any("and 5 more segments" in line for line in wording.describe(result(segments_shown=15)))
    assert not any("more segments" in line for line in wording.describe(result(segments_shown=10)))


def test_an_uncertain_answer_says_why():
    text = "\n".join(wording.describe(result(UNCERTAIN)))
    assert "Fake came closest" in text and "too many fake recordings" in text

    assert "  Uncertain, closest to Fake with confidence 0.62  (" in text


@pytest.mark.parametrize(("verdict", "other"), [("Real", "Fake"), ("Fake", "Real")])
def test_what_sounds_so_throughout_has_no_segment_that_does_not(verdict, other):
    kinds = {label: [{"start": 0.0, "end": 1.0, "label": label, "fake_probability": 0.5}] for label in CLASS_NAMES}
    assert "throughout" in wording.explain(result(verdict, segments=kinds[verdict]))[0]
    for segments in (kinds[other], kinds[verdict] + kinds[other]):
        (said,) = wording.explain(result(verdict, segments=segments))
        assert "throughout" not in said and f"although segments look {other.lower()}" in said


def test_a_verdict_by_the_threshold_says_so():
    shares = {"Real": 0.43, "Fake": 0.05, "Hybrid": 0.52}
    said = wording.explain(result("Real", threshold=0.9, probabilities=shares))
    assert said == [
        "Real by your threshold: Fake or Hybrid has a probability of 0.57, under 0.9.",
        "The most probable class is Hybrid.",
    ]
    first, second = wording.explain(result("Hybrid", threshold=0.5, probabilities=shares))
    assert "Hybrid by your threshold" in first and "0.57, not under 0.5" in first
    assert second.startswith(wording.MEANING["Hybrid"])


def test_an_accusation_that_is_withheld_says_why():
    text = "\n".join(wording.describe(result(UNCERTAIN, reason=MIGHT_ACCUSE)))
    assert "Fake came closest" in text and "too many real recordings" in text


@pytest.mark.parametrize("reason", [NO_FAKE_SEGMENT, NO_REAL_SEGMENT])
def test_a_hybrid_without_its_segments_says_which_is_missing(reason):
    text = "\n".join(wording.describe(result(UNCERTAIN, reason=reason)))
    assert f"looks {'fake' if reason == NO_FAKE_SEGMENT else 'real'} by itself" in text


def test_a_pause_has_no_probability():
    pause = {"start": 1.0, "end": 3.0, "label": NO_SPEECH, "fake_probability": None}
    assert "      1.00 -    3.00 s  No speech" in wording.describe(result("Real", segments=[pause]))


def test_confidence_in_words_rises_with_confidence():
    words = [wording.confidence_in_words(value) for value in (0.34, 0.5, 0.7, 0.95, 0.97, 1.0)]
    assert words == ["very low", "low", "moderate", "high", "very high", "very high"]


def test_a_name_cannot_move_the_cursor():
    assert wording.describe(result(path="a\x1b[2J\r\nb.wav"))[0] == "a\\x1b[2J\\r\\nb.wav"


def test_a_long_recording_begins_with_its_most_suspicious_segments_and_fits_one_screen():
    segments = [
        {
            "start": 100.0 * n,
            "end": 100.0 * n + 50,
            "label": ("Real", "Unclear", "Fake")[n % 3],
            "fake_probability": n / 60,
        }
        for n in range(60)
    ]
    lines = wording.describe(result("Hybrid", segments=segments, seconds=6000.0))
    assert len(lines) <= 20
    first = lines.index("  Most suspicious segments:")
    assert lines[first + 1].split() == ["1:38:20", "-", "1:39:10", "Fake", "probability", "of", "fake", "0.98"]
    assert lines[first + 6] == "  All segments:" and lines[first + 7].split()[:3] == ["0:00:00", "-", "0:00:50"]
    assert "  ... and 55 more segments; --json lists all" in lines
    assert not any("suspicious" in line for line in wording.describe(result(segments=segments, seconds=300.0)))


def test_unclear_segments_accuse_nobody():
    unclear = [{"start": 0.0, "end": 1.0, "label": "Unclear", "fake_probability": 0.51}]
    first, second = wording.explain(result("Real", segments=unclear))
    assert "person speaking throughout" in first and second == wording.ABOUT_UNCLEAR
    assert "Unclear  probability of fake 0.51" in wording.describe(result("Real", segments=unclear))[3]


def test_times_have_hours_where_the_recording_has():
    assert [wording.clock(s, 59.0) for s in (0, 1.239, 59.999)] == ["0:00.00", "0:01.24", "1:00.00"]
    assert [wording.clock(s, 3600.0) for s in (0, 61.6, 3600)] == ["0:00:00", "0:01:02", "1:00:00"]


def test_channels_are_told_apart():
    channels = [{"verdict": "Real", "confidence": 0.9}, {"verdict": "Fake", "confidence": 0.8}]
    lines = wording.describe(result(channels=channels))
    assert "  Left channel: Real, confidence 0.90" in lines and "  Right channel: Fake, confidence 0.80" in lines
    channels[0]["verdict"] = "No speech"
    assert "  Left channel: No speech" in wording.describe(result(channels=channels))
    assert wording.named_channels({"channels": channels * 2})[2][0] == "Channel 3 of 4"
