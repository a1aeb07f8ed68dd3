"""Recordings of any kind and length -> answers, with a small network."""

import dataclasses
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import tiny
from commands import HERE
from pretender import assert_covers

import deepfake_audio
from deepfake_audio import places
from deepfake_audio.errors import AudioError, CheckpointError
from deepfake_audio.examples.example import Example
from deepfake_audio.examples.features import extract_features
from deepfake_audio.features.draw import Glimpse
from deepfake_audio.features.log_mel import log_mel
from deepfake_audio.features.speech import speech_seconds
from deepfake_audio.judging.decision import decide
from deepfake_audio.judging.detector import Detector
from deepfake_audio.judging.scanner import Scanner, scan_features
from deepfake_audio.settings import NO_SPEECH, SAMPLE_RATE, DecisionSettings
from deepfake_audio.sound.reading import quantise, write_flac

DECISION = DecisionSettings(fake_threshold=0.5, shortest_segment_seconds=0.1, least_speech_seconds=0.3)
SETTINGS = dataclasses.replace(tiny.settings(), decision=DECISION)
STEP = SETTINGS.label_seconds


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
    judgement = detector.judge(samples, SAMPLE_RATE)
    assert judgement.seconds == pytest.approx(len(samples) / SAMPLE_RATE)
    assert np.isfinite(judgement.frame_probabilities).all()
    if judgement.verdict == NO_SPEECH:
        assert seconds < DECISION.least_speech_seconds
    else:
        assert_covers(judgement)


def test_loudness_does_not_matter(detector):
    samples = tiny.voice("Hybrid", 1.5, np.random.default_rng(1))
    one, other = (detector.judge(scale * samples, SAMPLE_RATE) for scale in (1.0, 0.25))
    assert list(one.probabilities.values()) == pytest.approx(list(other.probabilities.values()), abs=0.01)


def test_silence_is_no_speech_and_nothing_is_an_error(detector):
    assert detector.judge(np.zeros(SAMPLE_RATE), SAMPLE_RATE).verdict == NO_SPEECH
    with pytest.raises(AudioError, match="no samples"):
        detector.judge(np.zeros(0), SAMPLE_RATE)


def test_an_answer_is_plain_json_with_rounded_numbers(detector):
    answer = detector.judge(tiny.voice("Hybrid", 2.0, np.random.default_rng(2)), SAMPLE_RATE).to_dict()
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert list(answer) == [
        *("verdict", "reason", "confidence", "probabilities", "seconds", "speech_seconds", "fake_seconds", "segments"),
        *("channels", "notes"),
    ]
    assert answer["confidence"] == round(answer["confidence"], 4)
    assert set(answer["segments"][0]) == {"start", "end", "label", "fake_probability"}


def test_what_is_odd_about_a_file_is_noted(detector, tmp_path):
    voice = tiny.voice("Real", 2.0, np.random.default_rng(2))
    soundfile.write(tmp_path / "x.wav", 4 * voice / np.abs(voice).max(), SAMPLE_RATE, subtype="FLOAT")
    (note,) = detector.judge(tmp_path / "x.wav").notes
    assert "12.0 dB above full scale" in note
    soundfile.write(tmp_path / "x.wav", voice, SAMPLE_RATE)
    assert detector.judge(tmp_path / "x.wav").notes == ()


def test_the_model_introduces_itself(detector):
    info = detector.model_info()
    assert info["name"] == "run-x/model.keras" and info["trained"] == "2026-01-02T03:04:05+00:00" and info["version"]
    again = Detector(detector.checkpoint.path)
    assert again.settings == detector.settings


def test_features_follow_the_checkpoint_not_the_defaults(detector):
    assert len(detector.engine.mel_filters) == SETTINGS.features.mel_bands
    assert log_mel(np.zeros(1600, dtype=np.float32), detector.settings.features).shape == (11, 20)


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
        "assert Detector.__module__ == 'deepfake_audio.api'\n"
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
    alone = [detector.judge(clip, SAMPLE_RATE).to_dict() for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        together = [
            judgement.to_dict() for judgement in pool.map(lambda clip: detector.judge(clip, SAMPLE_RATE), clips)
        ]
    assert together == alone


def test_a_path_and_its_samples_get_the_same_answer(detector, tmp_path):
    samples = tiny.voice("Hybrid", 1.5, np.random.default_rng(9))
    write_flac(tmp_path / "clip.flac", samples)
    answers = [detector.judge(what).to_dict() for what in (tmp_path / "clip.flac", str(tmp_path / "clip.flac"))]
    assert answers[0] == answers[1] == detector.judge(quantise(samples), SAMPLE_RATE).to_dict()


def test_a_file_that_comes_in_pieces_has_the_answer_of_the_whole(detector, tmp_path):
    from deepfake_audio.sound import reading

    path = tmp_path / "clip.wav"
    soundfile.write(path, tiny.voice("Hybrid", 60.0, np.random.default_rng(4)), 44_100)
    whole, heard = detector.judge(reading.read_audio(path), SAMPLE_RATE), []
    glimpse = Glimpse(SAMPLE_RATE, 0.01)
    pieces = detector.judge(path, glimpse=glimpse, heard=heard.append)
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
