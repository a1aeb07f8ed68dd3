"""Decoding: every format, depth, rate and kind of damage, with sounds made here."""

from __future__ import annotations

import functools
import os
import re
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile

from deepfake_audio.errors import AudioError
from deepfake_audio.files import remove_leftovers
from deepfake_audio.settings import SAMPLE_RATE
from deepfake_audio.sound import decoders
from deepfake_audio.sound.reading import AUDIO_SUFFIXES, from_int16, quantise, read_audio, to_int16, write_flac

ROOT = Path(__file__).resolve().parents[2]


def tone(hz=440.0, rate=SAMPLE_RATE, seconds=1.0, level=0.5):
    return level * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)


def loudest_hz(samples, rate=SAMPLE_RATE):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * rate / len(samples)


def rms(samples):
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def on_grid(samples):
    steps = samples.astype(np.float64) * 32768
    return np.array_equal(steps, np.round(steps)) and steps.min() >= -32768 and steps.max() <= 32767


@functools.cache
def encoders():
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-encoders"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[1] for line in lines if len(line.split()) > 1}


def ffmpeg(*arguments):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def encode(target, samples, rate, codec, *options):
    if codec not in encoders():
        pytest.skip(f"this ffmpeg build has no encoder {codec}")
    source = target.with_name("source.wav")
    soundfile.write(source, samples, rate, subtype="PCM_16")
    ffmpeg("-i", source, "-c:a", codec, *options, target)
    source.unlink()
    return target


def refusal(path, **arguments):
    """Return the message, which must be one sentence in ASCII that names the file."""
    with pytest.raises(AudioError) as caught:
        read_audio(path, **arguments)
    message = str(caught.value)
    assert Path(path).name in message
    assert message.isascii() and "\n" not in message and message.endswith(".")
    return message


@pytest.fixture
def no_ffmpeg(monkeypatch):
    """Make sure that a test is about libsndfile only."""
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)


# What libsndfile opens


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        (".wav", "PCM_U8"),
        (".wav", "PCM_16"),
        (".wav", "PCM_24"),
        (".wav", "PCM_32"),
        (".wav", "FLOAT"),
        (".wav", "DOUBLE"),
        (".wav", "ULAW"),
        (".wav", "ALAW"),
        (".flac", "PCM_16"),
        (".flac", "PCM_24"),
        (".aiff", "PCM_16"),
        (".au", "PCM_16"),
        (".caf", "PCM_16"),
        (".w64", "PCM_16"),
        (".ogg", "VORBIS"),
        (".mp3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.usefixtures("no_ffmpeg")
def test_formats_of_libsndfile(tmp_path, suffix, subtype):
    path = tmp_path / f"tone{suffix}"
    soundfile.write(path, tone(), SAMPLE_RATE, subtype=subtype)
    samples = read_audio(path)
    assert suffix in AUDIO_SUFFIXES
    assert samples.dtype == np.float32 and samples.ndim == 1 and samples.flags.c_contiguous
    assert len(samples) == SAMPLE_RATE
    assert on_grid(samples)
    assert loudest_hz(samples) == pytest.approx(440, abs=1.5)
    assert rms(samples) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


@pytest.mark.usefixtures("no_ffmpeg")
def test_opus_through_libsndfile(tmp_path):
    path = tmp_path / "tone.opus"
    soundfile.write(path, tone(rate=48_000), 48_000, format="OGG", subtype="OPUS")
    samples = read_audio(path)
    assert len(samples) == pytest.approx(SAMPLE_RATE, abs=2)
    assert loudest_hz(samples) == pytest.approx(440, abs=1.5)


def test_16_bit_audio_at_the_target_rate_is_untouched(tmp_path):
    values = np.random.default_rng(1).integers(-32768, 32768, 5000).astype(np.int16)
    soundfile.write(tmp_path / "x.wav", values, SAMPLE_RATE, subtype="PCM_16")
    assert np.array_equal(read_audio(tmp_path / "x.wav") * 32768, values)


def test_all_origins_end_on_the_same_samples(tmp_path):
    original = quantise(tone())
    for subtype in ("PCM_16", "PCM_24", "FLOAT", "DOUBLE"):
        soundfile.write(tmp_path / "x.wav", original, SAMPLE_RATE, subtype=subtype)
        assert np.array_equal(read_audio(tmp_path / "x.wav"), original), subtype


def test_the_suffix_does_not_matter(tmp_path):
    soundfile.write(tmp_path / "x.mp3", tone(), SAMPLE_RATE)
    for name in ("lies.wav", "nothing", "headerless.raw"):
        (tmp_path / name).write_bytes((tmp_path / "x.mp3").read_bytes())
        assert loudest_hz(read_audio(tmp_path / name)) == pytest.approx(440, abs=1.5), name


# Channels and rates


def test_channels_are_averaged(tmp_path):
    left = quantise(tone())
    soundfile.write(tmp_path / "opposite.wav", np.stack([left, -left], axis=1), SAMPLE_RATE)
    assert not read_audio(tmp_path / "opposite.wav").any()
    soundfile.write(tmp_path / "six.wav", np.stack([left] + [np.zeros_like(left)] * 5, axis=1), SAMPLE_RATE)
    assert np.abs(read_audio(tmp_path / "six.wav") - left / 6).max() <= 0.51 / 32768


def test_blocks_join_without_a_boundary(tmp_path, monkeypatch):
    stereo = np.random.default_rng(2).uniform(-0.5, 0.5, (5000, 2))
    soundfile.write(tmp_path / "x.ogg", stereo, 44_100)
    encode(tmp_path / "x.m4a", stereo, 44_100, "aac")
    whole = [read_audio(tmp_path / name) for name in ("x.ogg", "x.m4a")]
    monkeypatch.setattr(decoders, "BLOCK_VALUES", 666)
    blocks = [read_audio(tmp_path / name) for name in ("x.ogg", "x.m4a")]
    assert all(len(a) and np.array_equal(a, b) for a, b in zip(whole, blocks, strict=True))


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_rates(tmp_path, rate):
    soundfile.write(tmp_path / "x.wav", tone(1000, rate), rate)
    samples = read_audio(tmp_path / "x.wav")
    assert len(samples) == pytest.approx(SAMPLE_RATE, abs=1)
    assert loudest_hz(samples) == pytest.approx(1000, abs=1.5)
    # No shift in time either: the same tone made at the target rate, away from the ends.
    assert np.abs(samples[800:-800] - tone(1000)[800 : len(samples) - 800]).max() < 1e-3


def test_another_target_rate(tmp_path):
    soundfile.write(tmp_path / "x.wav", tone(1000, 16_000), 16_000)
    samples = read_audio(tmp_path / "x.wav", sample_rate=24_000)
    assert len(samples) == 24_000
    assert loudest_hz(samples, 24_000) == pytest.approx(1000, abs=1.5)


@pytest.mark.parametrize(("hz", "rate"), [(10_000, 48_000), (9_000, 44_100), (30_000, 192_000)])
def test_no_aliases(tmp_path, hz, rate):
    soundfile.write(tmp_path / "x.wav", tone(hz, rate), rate, subtype="PCM_24")
    samples = read_audio(tmp_path / "x.wav")
    # The ends ring, because the tone starts and stops at once: that is sound, not an alias.
    assert rms(samples[400:-400]) < 10 ** (-60 / 20)
    soundfile.write(tmp_path / "x.wav", tone(3000, rate), rate, subtype="PCM_24")
    assert rms(read_audio(tmp_path / "x.wav")) > 0.3


# What ffmpeg unpacks


@pytest.mark.parametrize(
    ("name", "codec", "options", "slack_samples"),
    [
        ("x.m4a", "aac", [], 40),
        ("x.m4a", "alac", [], 2),
        ("x.aac", "aac", [], 2200),  # neither format counts the samples before and after the recording
        ("x.wma", "wmav2", [], 2200),
        ("x.webm", "libopus", [], 40),
        ("x.mka", "libvorbis", [], 40),
        ("x.amr", "libopencore_amrnb", ["-ar", "8000", "-ac", "1"], 400),
        ("x.3gp", "libopencore_amrnb", ["-ar", "8000", "-ac", "1"], 400),
        ("x.mov", "pcm_s24le", [], 2),
    ],
)
def test_formats_of_ffmpeg(tmp_path, name, codec, options, slack_samples):
    left, right = tone(440, 44_100, 2.0), tone(2000, 44_100, 2.0, level=0.1)
    path = encode(tmp_path / name, np.stack([left, right], axis=1), 44_100, codec, *options)
    samples = read_audio(path)
    assert path.suffix in AUDIO_SUFFIXES
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert len(samples) == pytest.approx(2 * SAMPLE_RATE, abs=slack_samples)
    assert on_grid(samples)
    assert loudest_hz(samples) == pytest.approx(440, abs=1.5)
    spectrum = np.abs(np.fft.rfft(samples[:SAMPLE_RATE] * np.hanning(SAMPLE_RATE))) / (SAMPLE_RATE / 4)
    assert spectrum[440] == pytest.approx(0.25, rel=0.1)
    assert spectrum[2000] == pytest.approx(0.05, rel=0.25)


def test_sound_of_a_video(tmp_path):
    soundfile.write(tmp_path / "x.wav", tone(rate=48_000), 48_000)
    picture = ["-f", "lavfi", "-i", "color=c=red:s=32x32:r=10:d=1"]
    ffmpeg(*picture, "-i", tmp_path / "x.wav", "-c:v", "mpeg4", "-c:a", "aac", tmp_path / "with.mp4")
    samples = read_audio(tmp_path / "with.mp4")
    assert len(samples) == pytest.approx(SAMPLE_RATE, abs=40)
    assert loudest_hz(samples) == pytest.approx(440, abs=1.5)
    ffmpeg(*picture, "-c:v", "mpeg4", tmp_path / "silent.mp4")
    assert "no sound track" in refusal(tmp_path / "silent.mp4")


def test_ffmpeg_does_not_resample(tmp_path):
    """Lossless in both containers, so that both decoders must give the very same samples."""
    noise = np.random.default_rng(3).uniform(-0.9, 0.9, (44_100, 2))
    soundfile.write(tmp_path / "x.wav", noise, 44_100, subtype="PCM_16")
    encode(tmp_path / "x.m4a", noise, 44_100, "alac")
    assert np.array_equal(read_audio(tmp_path / "x.wav"), read_audio(tmp_path / "x.m4a"))


def test_flac_of_unknown_length(tmp_path):
    """Encoders that write to a pipe cannot go back and fill in the number of samples."""
    soundfile.write(tmp_path / "x.wav", tone(seconds=2), SAMPLE_RATE)
    ffmpeg("-i", tmp_path / "x.wav", tmp_path / "x.flac")
    data = bytearray((tmp_path / "x.flac").read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (tmp_path / "x.flac").write_bytes(data)
    assert soundfile.info(tmp_path / "x.flac").frames > 2**60
    assert np.array_equal(read_audio(tmp_path / "x.flac"), read_audio(tmp_path / "x.wav"))


def test_imageio_ffmpeg_is_missing(tmp_path, no_ffmpeg):
    path = encode(tmp_path / "x.m4a", tone(), SAMPLE_RATE, "aac")
    assert "pip install imageio-ffmpeg" in refusal(path)


def test_ffmpeg_does_not_start(tmp_path, monkeypatch):
    path = encode(tmp_path / "x.m4a", tone(), SAMPLE_RATE, "aac")
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(tmp_path / "nowhere"))
    assert "does not start" in refusal(path)


def test_ffmpeg_hangs(tmp_path, monkeypatch):
    path = encode(tmp_path / "x.m4a", tone(seconds=20), SAMPLE_RATE, "aac")
    monkeypatch.setattr(decoders, "TIMEOUT_SECONDS", 1e-3)
    assert "not decoded within" in refusal(path)


# Names


@pytest.mark.parametrize("name", ["-y", "--help", "a b'c", "http:x", "100%d", "\u00e4\u97f3\u58f0"])
@pytest.mark.parametrize("suffix", [".wav", ".m4a"])
def test_odd_names(tmp_path, monkeypatch, name, suffix):
    if os.name == "nt" and ":" in name:
        pytest.skip("Windows allows no colon in a name")
    monkeypatch.chdir(tmp_path)
    plain = tmp_path / f"plain{suffix}"
    if suffix == ".wav":
        soundfile.write(plain, tone(), SAMPLE_RATE)
    else:
        encode(plain, tone(), SAMPLE_RATE, "aac")
    path = plain.rename(tmp_path / f"{name}{suffix}")
    for spelling in (path, path.name):  # absolute, and relative as typed on a command line
        assert loudest_hz(read_audio(spelling)) == pytest.approx(440, abs=1.5)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have only names that are Unicode")
def test_names_that_are_not_utf8(tmp_path):
    soundfile.write(tmp_path / "plain.wav", tone(), SAMPLE_RATE)
    path = (tmp_path / "plain.wav").rename(tmp_path / os.fsdecode(b"\xff.wav"))
    assert len(read_audio(path)) == SAMPLE_RATE


# Refusals


def test_missing_folder_and_empty(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.wav")
    (tmp_path / "folder.wav").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.wav")
    (tmp_path / "empty.wav").touch()
    assert "0 bytes" in refusal(tmp_path / "empty.wav")
    with pytest.raises(AudioError, match=r"cannot be opened|does not exist"):
        read_audio("zero\0byte.wav")


def test_no_samples(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), SAMPLE_RATE)
    assert "no samples" in refusal(tmp_path / "none.wav")
    # One sample at 192 kHz is less than one at 16 kHz.
    soundfile.write(tmp_path / "one.wav", np.full(1, 0.5), 192_000)
    assert "no samples" in refusal(tmp_path / "one.wav")


def test_silence_is_accepted(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(100), SAMPLE_RATE)
    assert read_audio(tmp_path / "x.wav").tolist() == [0.0] * 100


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [SAMPLE_RATE, 44_100])
@pytest.mark.filterwarnings("error")
def test_samples_that_are_not_numbers(tmp_path, bad, channels, rate):
    samples = np.zeros((1000, channels))
    samples[500, -1] = bad
    soundfile.write(tmp_path / "x.wav", samples, rate, subtype="FLOAT")
    assert "NaN or infinite" in refusal(tmp_path / "x.wav")


def png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">2I5B", 8, 8, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(72))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".m4a", ".aac", ".amr", ".ogg", ".png"])
@pytest.mark.parametrize("kind", ["text", "picture", "noise"])
def test_other_files_in_audio_clothing(tmp_path, kind, suffix):
    content = {
        "text": b"Nothing to hear here.\n" * 500,
        "picture": png(),
        "noise": np.random.default_rng(4).bytes(50_000),
    }[kind]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    assert "not audio" in refusal(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n", "Git LFS pointer"),
        ("\ufeff\n<!DOCTYPE html><html><title>404</title></html>", "web page"),
        ("<html>Sign in</html>", "web page"),
        ('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "answer of a server"),
    ],
)
def test_what_is_found_in_place_of_a_recording_is_called_so(tmp_path, content, what):
    (tmp_path / "x.wav").write_text(content, encoding="utf-8")
    assert what in refusal(tmp_path / "x.wav")


@pytest.mark.parametrize("suffix", [".vox", ".gsm", ".raw"])
def test_texts_with_suffixes_of_headerless_sound(tmp_path, suffix):
    path = tmp_path / f"passwords{suffix}"
    path.write_text("root:x:0:0:root:/root:/bin/bash\n" * 200, encoding="ascii")
    assert "not audio" in refusal(path)


def test_playlists_cannot_open_other_files(tmp_path):
    secret = encode(tmp_path / "secret.aac", tone(seconds=2), SAMPLE_RATE, "aac")
    assert len(read_audio(secret))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret.name}\n#EXT-X-ENDLIST\n"
    script = f"ffconcat version 1.0\nfile {secret.name}\n"
    for number, text in enumerate([playlist, script]):
        for suffix in (".m3u8", ".wav", ".m4a", ".ffconcat"):
            path = tmp_path / f"list{number}{suffix}"
            path.write_text(text, encoding="utf-8")
            assert "not audio" in refusal(path)
    # The bait works: without the list of demuxers ffmpeg does follow both.
    ffmpeg("-i", tmp_path / "list0.m3u8", tmp_path / "followed.wav")
    assert loudest_hz(read_audio(tmp_path / "followed.wav")) == pytest.approx(440, abs=1.5)


def test_nothing_in_audio_clothing_reaches_for_the_network(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/secret.aac"
        texts = {
            "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{address}\n#EXT-X-ENDLIST\n",
            "script": f"ffconcat version 1.0\nfile {address}\n",
            "session": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio {address[17:22]} RTP/AVP 0\n",
            "picture": '<svg xmlns="http://www.w3.org/2000/svg" xmlns:x="http://www.w3.org/1999/xlink">'
            f'<image x:href="{address}" width="9" height="9"/><image x:href="file:///etc/passwd"/></svg>',
            "presentation": f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
            f'mimeType="audio/mp4"><Representation id="1"><BaseURL>{address}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>",
        }
        for name, text in texts.items():
            for suffix in (".wav", ".m4a", ".mp3", ".ogg"):
                (tmp_path / f"{name}{suffix}").write_text(text, encoding="utf-8")
                assert "not audio" in refusal(tmp_path / f"{name}{suffix}")
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("kept", [0.05, 0.3, 0.5, 0.9, 0.999])
def test_flac_cut_short(tmp_path, kept):
    noisy = tone(seconds=3) + np.random.default_rng(5).normal(0, 0.01, 3 * SAMPLE_RATE)
    write_flac(tmp_path / "x.flac", noisy)
    data = (tmp_path / "x.flac").read_bytes()
    (tmp_path / "x.flac").write_bytes(data[: int(kept * len(data))])
    assert "cut short" in refusal(tmp_path / "x.flac")


@pytest.mark.parametrize("samples", [4096, 12_000, 12_288])  # whole FLAC frames, and not
def test_flac_header_that_promises_more(tmp_path, samples):
    write_flac(tmp_path / "x.flac", np.random.default_rng(5).uniform(-0.5, 0.5, samples))
    data = bytearray((tmp_path / "x.flac").read_bytes())
    data[22:26] = struct.pack(">I", samples + 3000)
    (tmp_path / "x.flac").write_bytes(data)
    assert "cut short" in refusal(tmp_path / "x.flac")


def test_flac_damaged_inside(tmp_path):
    write_flac(tmp_path / "x.flac", np.random.default_rng(6).uniform(-0.5, 0.5, 3 * SAMPLE_RATE))
    data = bytearray((tmp_path / "x.flac").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    (tmp_path / "x.flac").write_bytes(data)
    assert "damaged" in refusal(tmp_path / "x.flac")


def test_m4a_without_its_index(tmp_path):
    path = encode(tmp_path / "x.m4a", tone(seconds=2), SAMPLE_RATE, "aac")
    path.write_bytes(path.read_bytes()[:-3000])
    assert "cut short" in refusal(path)


@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".ogg", ".webm"])
def test_what_is_there_of_a_recording_cut_short(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    noisy = tone(seconds=6) + np.random.default_rng(7).normal(0, 0.01, 6 * SAMPLE_RATE)
    if suffix == ".webm":
        encode(path, noisy, SAMPLE_RATE, "libopus")
    else:
        soundfile.write(path, noisy, SAMPLE_RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples = read_audio(path)
    assert 1.5 * SAMPLE_RATE < len(samples) < 4 * SAMPLE_RATE
    assert loudest_hz(samples) == pytest.approx(440, abs=1.5)


@pytest.mark.parametrize("rate", [1, 4_000_000_000])
def test_absurd_rates(tmp_path, rate):
    soundfile.write(tmp_path / "x.wav", tone(), SAMPLE_RATE, subtype="PCM_16")
    data = bytearray((tmp_path / "x.wav").read_bytes())
    data[24:28] = struct.pack("<I", rate)
    (tmp_path / "x.wav").write_bytes(data)
    assert re.search("sample rate of 1 Hz|is not audio, or damaged", refusal(tmp_path / "x.wav"))


# The grid, and writing


def test_int16_and_back():
    every = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(to_int16(from_int16(every)), every)
    assert to_int16(np.array([1.0, 2.0, -1.0, -9.0, 0.4 / 32768, 0.6 / 32768])).tolist() == [
        32767,
        32767,
        -32768,
        -32768,
        0,
        1,
    ]
    once = quantise(np.random.default_rng(8).normal(0, 0.5, 4000))
    assert once.dtype == np.float32 and on_grid(once)
    assert np.array_equal(quantise(once), once)


def test_wrong_kinds_of_samples(tmp_path):
    for wrong in (np.zeros(4, np.int16), np.array([0.0, np.nan]), np.array([np.inf])):
        with pytest.raises(ValueError, match="samples must be"):
            to_int16(wrong)
    with pytest.raises(ValueError, match="int16"):
        from_int16(np.zeros(4))
    with pytest.raises(ValueError, match="shape"):
        write_flac(tmp_path / "x.flac", np.zeros((4, 2)))
    with pytest.raises(AudioError, match="no samples"):
        write_flac(tmp_path / "x.flac", np.zeros(0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_round_trip(tmp_path, rate):
    path = tmp_path / "new" / "folders" / "\u00e9.flac"
    samples = quantise(np.random.default_rng(9).normal(0, 0.4, 20_000))
    write_flac(path, samples, rate)
    info = soundfile.info(path)
    assert (info.format, info.subtype, info.channels, info.samplerate) == ("FLAC", "PCM_16", 1, rate)
    assert np.array_equal(read_audio(path, rate), samples)
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.flac"
    write_flac(path, tone())
    old = path.read_bytes()

    def half_written(path, data):
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", half_written)
        with pytest.raises(AudioError, match=r"x\.flac.*No space left"):
            write_flac(path, tone(880))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        with pytest.raises(AudioError, match="Permission denied"):
            write_flac(path, tone(880))
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]
    write_flac(path, tone(880))
    assert loudest_hz(read_audio(path)) == pytest.approx(880, abs=1.5)


def test_what_a_killed_writer_leaves_is_known_for_what_it_is(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(SystemExit))
        patched.setattr(Path, "unlink", lambda *_, **__: None)  # nothing is tidied up
        with pytest.raises(SystemExit):
            write_flac(tmp_path / "x.flac", tone())
    assert len(list(tmp_path.iterdir())) == 1
    remove_leftovers(tmp_path / "x.flac")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(AudioError, match="cannot be written"):
        write_flac(tmp_path / "file" / "x.flac", tone())


def test_import_is_light():
    code = "import sys, deepfake_audio.sound.reading; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    heavy = {"librosa", "tensorflow", "keras", "pydub", "scipy", "imageio_ffmpeg", "torch"}
    assert not heavy & set(result.stdout.split())
