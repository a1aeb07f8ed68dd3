"""However loud a recording is stored, it is read as if it had been stored as it should."""

import subprocess
import time

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile

from deepfake_audio.features.speech import speech_seconds
from deepfake_audio.settings import SAMPLE_RATE
from deepfake_audio.sound import decoders
from deepfake_audio.sound.reading import read_audio


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
