"""What other programs import."""

import dataclasses
import io
import json
import pickle

import numpy as np
import pytest
import soundfile
import tiny

from deepfake_audio import Detector
from deepfake_audio.errors import AudioError
from deepfake_audio.files import file_sha256
from deepfake_audio.judging import many
from deepfake_audio.places import bundled
from deepfake_audio.settings import SAMPLE_RATE
from deepfake_audio.sound.channels import MIXED

VOICE = tiny.voice("Hybrid", 4.0, np.random.default_rng(1))


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return Detector(tiny.save_untrained(tmp_path_factory.mktemp("api") / "run" / "model.keras", tiny.settings()))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clip.wav"
    soundfile.write(path, VOICE, 22_050, subtype="PCM_16")
    return path


def about(result):
    return {k: v for k, v in result.to_dict().items() if k not in ("path", "sha256")}


def test_a_file_its_bytes_and_its_samples_have_the_same_answer(detector, clip):
    expected = detector.judge(clip)
    whole, rate = soundfile.read(clip, dtype="int16")
    floats = soundfile.read(clip, dtype="float64")[0]
    with clip.open("rb") as file:
        answers = [
            detector.judge(clip.read_bytes()),
            detector.judge(file),
            detector.judge(whole, rate),
            detector.judge(floats, rate),
            detector.judge(np.stack([floats, floats]), float(rate)),
        ]
    for answer in answers:
        assert about(answer) == about(expected)


def test_float_samples_beyond_full_scale_have_the_answer_of_their_file(detector, tmp_path):
    soundfile.write(tmp_path / "loud.wav", 5 * VOICE, SAMPLE_RATE, subtype="FLOAT")
    one, other = detector.judge(tmp_path / "loud.wav"), detector.judge(5 * VOICE, SAMPLE_RATE)
    assert about(one) == about(other) and "scaled" in one.notes[0]


def test_a_result_is_frozen_short_and_the_json_of_the_script(detector, clip):
    result = detector.judge(clip)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.verdict = "Real"
    assert len(repr(result)) < 60 + len(str(clip)) and result.verdict in repr(result)
    answer = many.answer(clip, detector, detector.model_info()).result
    assert json.loads(json.dumps(result.to_dict())) == answer and list(answer) == list(many.RESULT_KEYS)
    assert result.sha256 == file_sha256(clip)


def test_a_notebook_shows_a_page_with_player_spectrogram_and_timeline(detector, clip):
    for result in (detector.judge(clip), detector.judge(VOICE, SAMPLE_RATE)):
        shown = result._repr_html_()
        assert shown.startswith("<iframe sandbox=") and "data:audio/mpeg" in shown and "data:image/png" in shown
        assert "<script" not in shown.replace("&lt;script", "")
    gone = detector.judge(io.BytesIO(clip.read_bytes()))._repr_html_()
    assert gone.startswith("<pre>")
    assert pickle.loads(pickle.dumps(result))._repr_html_().startswith("<pre>")


def test_many_sources_are_answered_in_order(detector, clip, tmp_path):
    (tmp_path / "text.wav").write_text("no sound", encoding="utf-8")
    sources = [clip, tmp_path / "missing.wav", (VOICE, SAMPLE_RATE), tmp_path / "text.wav", b"", str(clip)] * 3
    answers = list(detector.judge_all(iter(sources), jobs=2))
    assert [source is given for (source, _, _), given in zip(answers, sources, strict=True)] == [True] * 18
    for _, result, error in answers:
        assert (result is None) == isinstance(error, str)
    assert [error is None for _, _, error in answers[:6]] == [True, False, True, False, False, True]
    assert "does not exist" in answers[1][2]
    assert about(answers[0][1]) == about(answers[5][1]) == about(detector.judge(clip))


def test_a_stream_answers_about_the_last_seconds_and_at_its_end_about_all(detector):
    long = np.concatenate([VOICE, tiny.voice("Fake", 5.0, np.random.default_rng(2))])
    stream = detector.stream(SAMPLE_RATE)
    with pytest.raises(AudioError, match="hardly any sound"):
        stream.judge()
    for part in np.array_split((long * 32767).astype(np.int16), 40):
        stream.push(part)
    assert stream.judge().seconds == pytest.approx(6.0)
    whole = detector.judge((long * 32767).astype(np.int16), SAMPLE_RATE)
    assert stream.finish().to_dict() == {k: v for k, v in whole.to_dict().items() if k in stream.judge().to_dict()}


def test_a_stream_accuses_nobody_for_speaking_quietly(starter):
    detector, accused = Detector(bundled()), []
    for clip in sorted((starter / "real").glob("*.flac"))[::4]:
        samples, rate = soundfile.read(clip, dtype="float32")
        live = []
        for peak in (0.7, 1e-3):
            stream = detector.stream(rate)
            for part in np.array_split(samples * peak / np.abs(samples).max(), 80):
                stream.push(part)
            live.append([stream.judge().verdict in ("Fake", "Hybrid"), stream.finish().verdict in ("Fake", "Hybrid")])
        accused.append(live)
    (loud_now, loud), (quiet_now, quiet) = np.sum(accused, axis=0)
    assert quiet_now <= loud_now and quiet <= loud


def test_a_stream_says_that_it_mixes_channels_that_differ(detector):
    other = tiny.voice("Fake", len(VOICE) / SAMPLE_RATE, np.random.default_rng(2))[: len(VOICE)]
    for channels, notes in (([VOICE, VOICE], ()), ([VOICE[: len(other)], other], (MIXED,))):
        stream = detector.stream(SAMPLE_RATE)
        for part in np.array_split(np.stack(channels, axis=1), 10):
            stream.push(part)
        stream.push(VOICE)  # in mono, from now on
        assert stream.judge().notes == stream.finish().notes == notes


def test_a_stream_takes_any_rate_and_refuses_what_is_none(detector):
    with pytest.raises(AudioError, match="sample rate of nan"):
        detector.stream(float("nan"))
    stream = detector.stream(44_100)
    with pytest.raises(AudioError, match="Nothing came"):
        detector.stream(44_100).finish()
    with pytest.raises(AudioError, match="NaN"):
        stream.push([np.nan])
    for part in np.array_split(np.random.default_rng(0).normal(0, 0.1, 88_200), 40):
        stream.push(np.stack([part, part], axis=1))
    assert stream.finish().seconds == pytest.approx(2.0, abs=1e-3)
