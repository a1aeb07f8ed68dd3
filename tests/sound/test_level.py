"""However loud a recording is stored, it is read as if it had been stored as it should."""

import subprocess
import time

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile

from deepfake_audio.features.speech import speech_seconds
from deepfake_audio.judging.detector import Detector
from deepfake_audio.places import bundled
from deepfake_audio.settings import SAMPLE_RATE
from deepfake_audio.sound import decoders
from deepfake_audio.sound.reading import read_audio, stream_audio


@pytest.fixture(scope="module")
def speech(starter):
    samples, _ = soundfile.read(min((starter / "real").glob("*.flac")))
    return samples * 10 ** (-3 / 20) / np.abs(samples).max()


def store(path, samples, peak, **options):
    """Write sound with this peak and return it with its notes as it is read."""
    soundfile.write(path, samples * peak / np.abs(samples).max(), SAMPLE_RATE, **options)
    notes = []
    return read_audio(path, notes=notes), notes


@pytest.mark.parametrize("block", [2**20, 4000])  # with the sound in one block, and in more than are kept
@pytest.mark.parametrize(
    ("subtype", "peak", "says"),
    [
        ("FLOAT", 4.0, "12.0 dB above full scale"),
        ("DOUBLE", 1.01, "0.1 dB above full scale"),
        ("FLOAT", 32_767.0, "90.3 dB above full scale"),
        ("FLOAT", 2.0**31, "186.6 dB above full scale"),
        ("FLOAT", 10 ** (-70 / 20), "70.0 dB under full scale"),
        ("PCM_24", 10 ** (-70 / 20), "70.0 dB under full scale"),
        ("FLOAT", 1.0, None),
        ("FLOAT", 0.01, None),
        ("PCM_16", 1.0, None),
    ],
)
def test_what_is_too_loud_or_hardly_there_is_scaled(tmp_path, monkeypatch, speech, subtype, peak, says, block):
    monkeypatch.setattr(decoders, "BLOCK_VALUES", block)
    samples, notes = store(tmp_path / "x.wav", speech, peak, subtype=subtype)
    assert len(samples) == len(speech)
    if says:
        assert np.abs(samples - speech).max() < 12 / 32768  # soundfile cuts off what does not fit into 24 bits
        assert [note for note in notes if says in note] == notes and len(notes) == 1
    else:
        assert not notes
        assert np.abs(samples - speech * peak / np.abs(speech).max()).max() < 2 / 32768


def test_speech_behind_a_long_silence_needs_one_decoder(tmp_path, monkeypatch, speech):
    monkeypatch.setattr(decoders, "BLOCK_VALUES", 4000)
    monkeypatch.setattr(decoders, "MOST_DECODERS", 1)
    monkeypatch.setattr(decoders, "TIMEOUT_SECONDS", 5.0)
    late, started = np.concatenate([np.zeros(3 * SAMPLE_RATE), speech]), time.monotonic()
    samples, notes = store(tmp_path / "x.flac", late, 0.5)
    assert not notes and np.abs(samples - late * 0.5 / np.abs(late).max()).max() < 2 / 32768
    assert time.monotonic() - started < 4.5


def test_quiet_speech_on_16_bits_is_heard(tmp_path, speech):
    samples, notes = store(tmp_path / "x.flac", speech, 10 ** (-70 / 20), subtype="PCM_16")
    assert "70." in notes[0]
    spoken = speech_seconds(speech.astype(np.float32), SAMPLE_RATE)
    assert speech_seconds(samples, SAMPLE_RATE) == pytest.approx(spoken, rel=0.2)


@pytest.mark.parametrize("odd", ["click", "offset"])
@pytest.mark.parametrize(("subtype", "db"), [("PCM_16", -45), ("PCM_16", -70), ("FLOAT", -70), ("FLOAT", 12)])
def test_a_click_or_an_offset_does_not_say_how_loud_a_voice_is(tmp_path, speech, subtype, db, odd):
    peak, at = 10 ** (db / 20), len(speech) // 2
    samples = speech * peak / np.abs(speech).max()
    if odd == "click":
        samples[at : at + 20] = 0.9 if db < 0 else 1000
    else:
        samples += 0.3 if db < 0 else 100
    soundfile.write(tmp_path / "x.wav", samples, SAMPLE_RATE, subtype=subtype)
    notes = []
    heard = read_audio(tmp_path / "x.wav", notes=notes)
    assert len(notes) == 1 and notes[0].startswith("But for clicks or an offset, its peak lies")
    away = np.abs(np.arange(len(speech)) - at) > 100
    loud = np.abs(heard[away]).max()
    assert 0.3 < loud <= 1 and abs(heard.mean()) < 0.05
    assert np.corrcoef(heard[away], speech[away])[0, 1] > 0.7
    assert speech_seconds(heard, SAMPLE_RATE) == pytest.approx(
        speech_seconds(speech.astype(np.float32), SAMPLE_RATE), rel=0.2
    )


@pytest.mark.parametrize(("odd", "behind"), [("click", 200), ("offset", 0)])
def test_what_is_far_beyond_full_scale_but_no_sound_costs_no_speech(tmp_path, speech, odd, behind):
    samples, at = np.repeat(speech, 3), 3 * len(speech) // 2
    if odd == "click":
        samples[at] = 1e6
    else:
        samples += 4
    soundfile.write(tmp_path / "x.wav", samples, 3 * SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "y.wav", np.repeat(speech, 3), 3 * SAMPLE_RATE, subtype="FLOAT")
    away = np.abs(np.arange(len(speech)) - at / 3) > behind
    difference = read_audio(tmp_path / "x.wav") - read_audio(tmp_path / "y.wav")
    assert np.abs(difference - np.median(difference))[away].max() < 0.01


def on_grid(speech, bits, peak):
    """Return speech on the grid of 8 or 16 bits, as whole numbers of 32."""
    return np.round(speech * peak / np.abs(speech).max() * 2 ** (bits - 1)).astype(np.int32) << (32 - bits)


@pytest.mark.parametrize(("bits", "peak", "coarse"), [(8, 0.7, True), (16, 0.0077, True), (16, 0.0079, False)])
def test_pauses_of_coarse_recordings_are_not_silent(tmp_path, speech, bits, peak, coarse):
    gated = np.stack([on_grid(speech, bits, peak), np.zeros(len(speech), np.int32)], axis=1)
    pauses = gated[:, 0] == 0
    assert pauses.any()
    for name, subtype in (("x.wav", f"PCM_{'U8' if bits == 8 else bits}"), ("x.caf", "PCM_32"), ("y.wav", "DOUBLE")):
        values = gated / 2.0**31 if subtype == "DOUBLE" else gated
        soundfile.write(tmp_path / name, values, SAMPLE_RATE, subtype=subtype)
        notes = []
        left, right = (
            np.concatenate(list(stream_audio(tmp_path / name, notes=notes, channel=channel))) for channel in (0, 1)
        )
        assert (len(set(notes)) == 1 and "so few bits" in notes[0]) if coarse else not notes
        scale = np.abs(left).max() / np.abs(gated).max()
        assert (np.ptp(left[pauses]) > 0.9 * scale * 2 ** (32 - bits)) == coarse
        assert np.abs(left / scale - gated[:, 0]).max() <= 2.6 * 2 ** (32 - bits)
        assert not right.any(), "nobody speaks there"
        assert np.array_equal(left, np.concatenate(list(stream_audio(tmp_path / name, channel=0))))


@pytest.mark.parametrize(("bits", "peak_db"), [(16, -60), (16, -70), (8, -3), (8, -20)])
def test_coarse_recordings_accuse_nobody_who_would_not_be_otherwise(tmp_path, starter, bits, peak_db):
    detector, accused = Detector(bundled()), []
    for clip in sorted((starter / "real").glob("*.flac"))[::4]:
        samples, rate = soundfile.read(clip)
        soundfile.write(tmp_path / "x.wav", on_grid(samples, bits, 10 ** (peak_db / 20)), rate, subtype="PCM_32")
        if detector.judge(tmp_path / "x.wav").verdict in ("Fake", "Hybrid"):
            accused.append((clip.name, detector.judge(clip).verdict))
    assert [name for name, otherwise in accused if otherwise not in ("Fake", "Hybrid")] == []


def test_float_files_need_not_be_loud(tmp_path, starter):
    detector, verdicts = Detector(bundled()), []
    for clip in sorted(starter.glob("*/*.flac"))[::20]:
        samples, rate = soundfile.read(clip)
        for peak in (10 ** (-3 / 20), 10 ** (-55 / 20)):
            soundfile.write(tmp_path / "x.wav", samples * peak / np.abs(samples).max(), rate, subtype="FLOAT")
            verdicts.append(detector.judge(tmp_path / "x.wav").verdict)
    assert verdicts[::2] == verdicts[1::2] and len(set(verdicts)) > 1


@pytest.mark.parametrize("kind", ["silence", "one step", "hiss", "rumble", "hum", "hiss behind silence"])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_quiet_noise_is_not_scaled_and_no_speech(tmp_path, kind, subtype):
    rng, count = np.random.default_rng(0), 8 * SAMPLE_RATE
    white = rng.normal(0, 1, count)
    sound = {
        "silence": np.zeros(count),
        "one step": np.sign(white) * (np.abs(white) > 2.5) / 100,
        "hiss": white,
        "rumble": np.convolve(np.cumsum(white), [1, *np.zeros(1598), -1], mode="same") / 50,
        "hum": 3 * np.sin(2 * np.pi * 50 * np.arange(count) / SAMPLE_RATE) + 0.1 * white,
        "hiss behind silence": np.where(np.arange(count) < count // 2, 0, white),
    }[kind]
    soundfile.write(tmp_path / "x.wav", sound * 1e-4, SAMPLE_RATE, subtype=subtype)
    notes = []
    samples = read_audio(tmp_path / "x.wav", notes=notes)
    assert not notes and speech_seconds(samples, SAMPLE_RATE) == 0.0


def test_what_a_lossy_codec_takes_from_far_beyond_full_scale_is_scaled(tmp_path, speech):
    soundfile.write(tmp_path / "x.wav", 4 * speech, SAMPLE_RATE, subtype="FLOAT")
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(tmp_path / "x.wav")]
    subprocess.run([*ffmpeg, "-c:a", "pcm_f32le", str(tmp_path / "x.mov")], check=True, stdin=subprocess.DEVNULL)
    notes = []
    assert np.abs(read_audio(tmp_path / "x.mov", notes=notes) - speech).max() < 2 / 32768
    assert "dB above full scale" in notes[0]
