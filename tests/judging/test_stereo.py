"""Channels that hold different sounds are told apart and judged each, and the worst of them is the verdict."""

import numpy as np
import pytest
import soundfile
import tiny

from deepfake_audio.features.draw import Glimpse
from deepfake_audio.judging.detector import SEVERITY, Detector
from deepfake_audio.settings import NO_SPEECH, SAMPLE_RATE
from deepfake_audio.sound.channels import ChannelMeter
from deepfake_audio.sound.reading import quantise

ONE, OTHER = (quantise(tiny.voice(label, 3.0, np.random.default_rng(5))) for label in ("Real", "Fake"))
NOISE = np.random.default_rng(0).normal(0, 1, len(ONE)).astype(np.float32)


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return Detector(tiny.save_untrained(tmp_path_factory.mktemp("stereo") / "run" / "model.keras", tiny.settings()))


def apart(*channels, piece=4_000):
    meter, block = ChannelMeter(), np.stack(channels, axis=1).astype(np.float32)
    for start in range(0, len(block), piece):
        meter.push(SAMPLE_RATE, block[start : start + piece])
    return meter.apart()


def test_channels_with_the_same_sound_are_not_told_apart():
    assert apart(ONE) is None
    assert apart(ONE, 0.2 * ONE) is None
    assert apart(ONE, ONE + 0.01 * NOISE * np.abs(ONE).max()) is None
    assert apart(ONE, np.zeros_like(ONE)) is None, "one side is silent"
    assert apart(ONE, 1e-3 * np.abs(ONE).max() * NOISE) is None, "one side only has hiss"
    assert apart(np.zeros_like(ONE), np.zeros_like(ONE)) is None
    assert apart(*[OTHER] * 9, ONE) is None, "that many are a band, not a call"


def test_channels_with_different_sounds_are_told_apart_whatever_the_pieces_are():
    turns = ONE * (np.arange(len(ONE)) < len(ONE) // 2), OTHER * (np.arange(len(ONE)) >= len(ONE) // 2)
    for piece in (100, 4_000, len(ONE)):
        assert apart(ONE, OTHER, piece=piece) == [True, True]
        assert apart(*turns, piece=piece) == [True, True]
    assert apart(ONE, -ONE) == [True, True], "opposite phase would cancel"
    assert apart(ONE, np.zeros_like(ONE), OTHER) == [True, False, True]


def test_another_voice_in_one_channel_for_three_seconds_is_not_mixed_into_ten_minutes():
    mono = np.tile(ONE, 200)
    other, at = mono.copy(), 100 * len(ONE)
    other[at : at + len(OTHER)] = OTHER * np.abs(ONE).max() / np.abs(OTHER).max()
    assert np.corrcoef(mono, other)[0, 1] > 0.95, "nearly all of it is the same"
    assert apart(mono, other, piece=SAMPLE_RATE) == [True, True]
    hiss = 10 ** (-14 / 20) * np.sqrt(np.mean(mono**2)) * np.random.default_rng(1).normal(size=(2, len(mono)))
    assert apart(*(mono + hiss), piece=SAMPLE_RATE) is None


def test_each_channel_has_the_answer_of_the_same_sound_alone(detector, tmp_path):
    path = tmp_path / "call.wav"
    soundfile.write(path, np.stack([ONE, OTHER, 0 * ONE], axis=1), SAMPLE_RATE)
    glimpse = Glimpse(SAMPLE_RATE, 0.01)
    judgement = detector.judge(path, glimpse=glimpse)
    alone = [detector.judge(samples, SAMPLE_RATE) for samples in (ONE, OTHER)]
    for channel, expected in zip(judgement.channels, alone, strict=False):
        assert channel.to_dict() == expected.to_dict()
    assert judgement.channels[2].verdict == NO_SPEECH
    worst = min(alone, key=lambda one: (SEVERITY.index(one.verdict), -one.confidence))
    assert (judgement.verdict, judgement.segments) == (worst.verdict, worst.segments)
    np.testing.assert_array_equal(glimpse.timeline, worst.frame_probabilities)
    about = judgement.to_dict()["channels"]
    assert [set(one) >= {"verdict", "confidence", "probabilities", "segments"} for one in about] == [True] * 3
    assert about[0]["probabilities"] == alone[0].to_dict()["probabilities"]


def test_opposite_phase_is_not_cancelled(detector):
    judgement = detector.judge(np.stack([ONE, -ONE]), SAMPLE_RATE)
    alone = detector.judge(ONE, SAMPLE_RATE)
    assert judgement.verdict == alone.verdict and judgement.speech_seconds == alone.speech_seconds


def test_more_channels_than_are_judged_each_are_said(detector, tmp_path):
    soundfile.write(tmp_path / "band.wav", np.stack([ONE] * 8 + [OTHER], axis=1), SAMPLE_RATE)
    judgement = detector.judge(tmp_path / "band.wav")
    assert judgement.channels is None
    assert judgement.notes == ("It has 9 channels, which were mixed: split them to judge each.",)
