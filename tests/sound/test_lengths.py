"""Every sample of a file is read, whatever its header says about their number."""

from __future__ import annotations

import io
import re
import struct
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile

from deepfake_audio.settings import SAMPLE_RATE
from deepfake_audio.sound import decoders, lengths
from deepfake_audio.sound.ffmpeg import HIDDEN, INCOMPLETE, MORE_CHANNELS, _pieces
from deepfake_audio.sound.lengths import STOPPED
from deepfake_audio.sound.reading import about_audio, read_audio, stream_audio

CODEC_SECONDS = 0.15
"""What the codecs add before the first sample and behind the last, where no header says how much: two MP3 frames at
8 kHz are the most."""


def ffmpeg(*arguments):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def seconds(path):
    return len(read_audio(path)) / SAMPLE_RATE


@pytest.fixture(scope="module")
def speech(starter):
    clips = sorted((starter / "real").glob("*.flac"))[:2]
    return np.concatenate([soundfile.read(clip, dtype="int16")[0] for clip in clips])[: 3 * SAMPLE_RATE]


@pytest.fixture(scope="module")
def source(tmp_path_factory, speech):
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    soundfile.write(path, speech, SAMPLE_RATE)
    return path


@pytest.fixture(scope="module")
def mp3s(tmp_path_factory, source):
    """Return MP3 files of 3 s by their settings, made by one ffmpeg."""
    folder, paths, command = tmp_path_factory.mktemp("mp3"), {}, ["-i", source]
    rates = {"cbr": ["-b:a", "48k"], "vbr": ["-q:a", "6"], "abr": ["-abr", "1", "-b:a", "40k"]}
    for rate in (8_000, 16_000, 22_050, 48_000):
        for channels in (1, 2):
            for name, options in rates.items():
                for xing in (0, 1):
                    path = paths[rate, channels, name, xing] = folder / f"{rate}-{channels}-{name}-{xing}.mp3"
                    command += ["-ar", rate, "-ac", channels, *options, "-write_xing", xing, path]
    ffmpeg(*command)
    return paths


def id3(kind):
    """Return a tag of 1 MB: a cover, or padding."""
    content = b"\0image/png\0\x03\0" + bytes(10**6) if kind == "cover" else bytes(10**6)
    frame = (b"APIC" + struct.pack(">IH", len(content), 0) if kind == "cover" else b"") + content
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + size + frame


@pytest.mark.parametrize("tag", ["", "cover", "padding"])
def test_mp3_of_every_kind_is_read_to_its_end(tmp_path, mp3s, tag):
    path, lengths = tmp_path / "x.mp3", {}
    for number, (kind, plain) in enumerate(mp3s.items()):
        if tag and number % 5:  # has no common divisor with the numbers of the settings: each has its turn
            continue
        path.write_bytes((id3(tag) if tag else b"") + plain.read_bytes())
        lengths[kind] = seconds(path)
        assert (about_audio(path) is not None) == bool(kind[-1]), "libsndfile reads where the count can be trusted"
    slack = {xing: 0.05 if xing else 0.05 + CODEC_SECONDS for xing in (0, 1)}
    wrong = {kind: length for kind, length in lengths.items() if not -0.05 < length - 3 < slack[kind[-1]]}
    assert lengths and not wrong


@pytest.mark.parametrize("share", [0.5, 2])
def test_mp3_whose_header_miscounts(tmp_path, mp3s, share):
    path = tmp_path / "x.mp3"
    data = bytearray(mp3s[16_000, 1, "vbr", 1].read_bytes())
    at = data.index(b"Xing") + 8
    data[at : at + 4] = struct.pack(">I", int(share * struct.unpack_from(">I", data, at)[0]))
    path.write_bytes(data)
    assert seconds(path) == pytest.approx(3, abs=0.05 + CODEC_SECONDS)


@pytest.mark.parametrize(("minutes", "share"), [(0, 1), (0, 0.5), (0, 0.999), (3, 1), (3, 0.5), (3, 0.999)])
def test_flac_whose_header_miscounts(tmp_path, speech, minutes, share):
    path = tmp_path / "x.flac"
    samples = np.resize(speech, minutes * 60 * SAMPLE_RATE) if minutes else speech  # numbers of several bytes
    soundfile.write(path, samples, SAMPLE_RATE)
    data = bytearray(path.read_bytes())
    assert struct.unpack_from(">I", data, 22) == (len(samples),)
    struct.pack_into(">I", data, 22, int(share * len(samples)))
    path.write_bytes(data)
    assert len(read_audio(path)) == len(samples)
    assert (about_audio(path) is None) == (share < 1)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".mp3", []),
        (".mp3", ["-write_xing", "0"]),
        (".flac", []),
        (".ogg", ["-c:a", "libvorbis"]),
        (".opus", ["-c:a", "libopus"]),
        (".aac", ["-c:a", "aac"]),
        (".wav", []),
        (".aiff", []),
        (".caf", []),
        (".au", []),
        (".tta", ["-c:a", "tta"]),
        (".m4a", ["-c:a", "aac"]),
        (".wma", ["-c:a", "wmav2"]),
        (".flv", ["-c:a", "aac"]),
        (".webm", ["-c:a", "libopus"]),
        (".mkv", ["-c:a", "aac"]),
        (".ts", ["-c:a", "aac"]),
        (".mpg", ["-c:a", "mp2"]),
    ],
)
@pytest.mark.parametrize("again", ["the same", "another", "another rate", "stereo"])
def test_joined_files_are_read_to_the_end(tmp_path, source, speech, suffix, options, again):
    first, second, joined = (tmp_path / f"{name}{suffix}" for name in ("first", "second", "joined"))
    ffmpeg("-i", source, *options, first)
    if again == "the same":
        second, expected = first, 6
    else:
        rate, channels = {"another": (SAMPLE_RATE, 1), "another rate": (24_000, 1), "stereo": (48_000, 2)}[again]
        ffmpeg("-t", 2, "-i", source, "-ar", rate, "-ac", channels, *options, second)
        expected = 5
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    notes = []
    samples = read_audio(joined, notes=notes)
    assert len(samples) / SAMPLE_RATE == pytest.approx(expected, abs=0.05 + 2 * CODEC_SECONDS)
    assert notes == ([MORE_CHANNELS] if again == "stereo" else [])
    behind = samples[3 * SAMPLE_RATE :]
    power = np.correlate(behind**2, (speech[: 2 * SAMPLE_RATE] / 32768.0) ** 2, mode="full")
    assert abs(power.argmax() - 2 * SAMPLE_RATE) < (0.05 + 2 * CODEC_SECONDS) * SAMPLE_RATE


def test_what_cannot_be_read_of_joined_files_is_said(tmp_path, source):
    ffmpeg("-i", source, "-c:a", "aac", tmp_path / "x.flv")
    (tmp_path / "x.flv").write_bytes((tmp_path / "x.flv").read_bytes() + b"FLV\x01\x04\0\0\0\x09" + bytes(9))
    notes = []
    assert len(read_audio(tmp_path / "x.flv", notes=notes)) / SAMPLE_RATE == pytest.approx(3, abs=0.05 + CODEC_SECONDS)
    assert notes == [INCOMPLETE]


@pytest.mark.parametrize("share", range(0, 20, 3))
def test_files_are_found_wherever_they_begin(tmp_path, speech, monkeypatch, share):
    monkeypatch.setattr(lengths, "SEARCHED_BYTES", 50)
    soundfile.write(tmp_path / "x.flac", speech[: 1000 + share], SAMPLE_RATE)
    data = (tmp_path / "x.flac").read_bytes()
    with (tmp_path / "x.flac").open("wb+") as file:
        file.write(3 * data)
        file.flush()
        assert lengths.starts(file) == [0, len(data), 2 * len(data)]
        monkeypatch.setattr(lengths, "MOST_JOINED", 2)
        assert lengths.starts(file) == [0]


def test_tracks_of_an_ogg_file_were_not_joined(tmp_path, source):
    ffmpeg("-i", source, "-map", 0, "-map", 0, "-c:a", "libvorbis", tmp_path / "x.ogv")
    notes = []
    assert len(read_audio(tmp_path / "x.ogv", notes=notes)) / SAMPLE_RATE == pytest.approx(3, abs=0.05)
    assert INCOMPLETE not in notes


def stopped(data, kind, size):
    """Overwrite the lengths in a header of soundfile's."""
    long = 2**64 - 1 if size == 2**32 - 1 else size
    sound = data.index(b"SSND" if kind == "AIFF" else b"data") + 4 if kind not in ("AU", "RF64") else 0
    for offset, pattern, value in {
        "WAV": [(4, "<I", size), (sound, "<I", size)],
        "WAVEX": [(sound, "<I", size)],
        "RF64": [(20, "<QQQ", None)],
        "AIFF": [(4, ">I", size), (22, ">I", size), (sound, ">I", size)],
        "CAF": [(sound, ">Q", long)],
        "AU": [(8, ">I", size)],
    }[kind]:
        struct.pack_into(pattern, data, offset, *([value] if value is not None else [long] * 3))


@pytest.mark.parametrize("size", [0, 2**32 - 1, 100_000])
@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAV", "IMA_ADPCM"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("CAF", "PCM_16"),
        ("AU", "PCM_16"),
    ],
)
def test_what_a_stopped_recorder_leaves_is_read_to_the_end(tmp_path, speech, kind, subtype, size):
    path, encoded, notes = tmp_path / "x", io.BytesIO(), []
    samples = speech / 32768 if subtype == "FLOAT" else speech
    soundfile.write(encoded, samples, SAMPLE_RATE, format=kind, subtype=subtype)
    path.write_bytes(encoded.getvalue())
    whole = read_audio(path, notes=notes)
    assert notes == []
    data = bytearray(encoded.getvalue())
    stopped(data, kind, size)
    path.write_bytes(data)
    assert np.array_equal(read_audio(path, notes=notes), whole)
    assert notes == [STOPPED]


@pytest.mark.parametrize(
    "behind",
    [
        b"LIST" + struct.pack("<I", 4) + b"INFO",
        b"id3 " + struct.pack("<I", 3) + b"ID3\0",
        bytes(300),
        b"TAG" + bytes(125),
    ],
    ids=["chunk", "odd chunk", "padding", "tag"],
)
def test_what_stands_behind_the_sound_is_no_sound(tmp_path, speech, behind):
    path, notes = tmp_path / "x.wav", []
    soundfile.write(path, speech, SAMPLE_RATE)
    path.write_bytes(path.read_bytes() + behind)
    assert len(read_audio(path, notes=notes)) == len(speech)
    assert notes == []


def test_headers_of_blocks_are_no_sound(tmp_path, source, speech):
    ffmpeg("-i", source, "-c:a", "pcm_s16le", tmp_path / "x.voc")
    assert np.array_equal(read_audio(tmp_path / "x.voc"), speech / np.float32(32768))


def with_a_gap(path, source, *options, seconds=20):
    """Store 3 s with 20 s between the packets after one second."""
    ffmpeg("-i", source, "-af", f"asetpts='PTS+gte(T,1)*{seconds}/TB'", *options, path)


CLOCKED = [
    *((".webm", "libopus"), (".mkv", "aac"), (".m4a", "aac"), (".flv", "aac"), (".wma", "wmav2"), (".ts", "aac")),
    (".mpg", "mp2"),
]


@pytest.mark.parametrize(("suffix", "codec"), CLOCKED)
def test_gaps_between_packets_take_their_time(tmp_path, source, speech, suffix, codec):
    with_a_gap(tmp_path / f"gap{suffix}", source, "-c:a", codec)
    samples = read_audio(tmp_path / f"gap{suffix}")
    assert len(samples) / SAMPLE_RATE == pytest.approx(23, abs=0.05 + CODEC_SECONDS)
    assert not samples[round(1.3 * SAMPLE_RATE) : round(20.8 * SAMPLE_RATE)].any()
    later = samples[21 * SAMPLE_RATE :]
    power = np.correlate(later**2, (speech[SAMPLE_RATE:] / 32768.0) ** 2, mode="full")
    assert abs(power.argmax() - (len(speech) - SAMPLE_RATE - 1)) < 0.15 * SAMPLE_RATE
    ffmpeg("-i", source, "-c:a", codec, tmp_path / f"whole{suffix}")
    assert seconds(tmp_path / f"whole{suffix}") == pytest.approx(3, abs=0.05 + CODEC_SECONDS)


def change(path, name, *values, at=0):
    """Write whole numbers of 32 bits into a box of an MP4 file."""
    data = bytearray(path.read_bytes())
    struct.pack_into(f">{len(values)}I", data, data.index(name) + at, *values)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("kind", "share"),
    [("whole", None), ("half a copy", 0.5), ("cut by its edit list", 0.69), ("no time passes", 0.02), ("joined", None)],
)
def test_sound_that_an_mp4_has_and_does_not_play_is_said(tmp_path, source, kind, share):
    path, notes = tmp_path / "x.m4a", []
    ffmpeg("-i", source, "-c:a", "aac", "-movflags", "+faststart", path)
    if kind == "half a copy":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "cut by its edit list":
        change(path, b"elst", SAMPLE_RATE, at=16)
    elif kind == "no time passes":
        change(path, b"stts", 1, 100, 0, at=8)
    elif kind == "joined":
        ffmpeg("-t", 1, "-i", source, "-c:a", "aac", tmp_path / "y.m4a")
        path.write_bytes(path.read_bytes() + (tmp_path / "y.m4a").read_bytes())
    read_audio(path, notes=notes)
    assert len(notes) == (share is not None)
    for note in notes:
        said = int(re.match(HIDDEN.split("{")[0] + r"(\d+)%", note)[1])
        assert said == pytest.approx(100 * share, abs=10)


def heard(path, notes):
    """Return where the last sound ends, in seconds, and how long all of it is, without keeping it."""
    length = last = 0
    for piece in stream_audio(path, notes=notes):
        loud = np.flatnonzero(np.abs(piece) > 0.02)
        last = length + loud[-1] if len(loud) else last
        length += len(piece)
    return last / SAMPLE_RATE, length / SAMPLE_RATE


@pytest.mark.parametrize(("suffix", "codec"), [(".webm", "libopus"), (".mkv", "aac"), (".ts", "aac"), (".m4a", "aac")])
def test_gaps_of_hours_take_their_time(tmp_path, source, suffix, codec):
    with_a_gap(tmp_path / f"gap{suffix}", source, "-c:a", codec, seconds=2 * 3600)
    notes = []
    last, length = heard(tmp_path / f"gap{suffix}", notes)
    assert length == pytest.approx(7203, abs=0.2) and last == pytest.approx(7203, abs=0.3) and not notes


@pytest.mark.parametrize(("suffix", "codec"), [(".webm", "libopus"), (".mkv", "aac"), (".wma", "wmav2")])
def test_a_leap_of_years_is_said_and_not_filled(tmp_path, source, suffix, codec):
    with_a_gap(tmp_path / f"gap{suffix}", source, "-c:a", codec, seconds=10**9)
    notes = []
    assert heard(tmp_path / f"gap{suffix}", notes) == pytest.approx((3, 3), abs=0.2)
    assert len(notes) == 1 and "hours, which were left out" in notes[0]


def test_many_gaps_are_filled_up_to_some_hours(tmp_path, source):
    ffmpeg("-i", source, "-af", "asetpts='PTS+trunc(T/0.2)*10000/TB'", "-c:a", "aac", tmp_path / "gaps.mkv")
    notes = []
    _, length = heard(tmp_path / "gaps.mkv", notes)
    assert 10_000 < length < 14_405 and len(notes) == 1


def test_sound_that_begins_late_in_a_video_and_its_further_tracks(tmp_path, source):
    picture = ["-f", "lavfi", "-i", "color=c=red:s=32x32:r=10:d=6", "-itsoffset", "2"]
    ffmpeg(*picture, "-i", source, "-map", 0, "-map", 1, "-map", 1, "-c:v", "mpeg4", "-c:a", "aac", tmp_path / "x.mp4")
    notes = []
    samples = read_audio(tmp_path / "x.mp4", notes=notes)
    assert len(samples) / SAMPLE_RATE == pytest.approx(5, abs=0.05 + CODEC_SECONDS)
    assert not samples[: round(1.8 * SAMPLE_RATE)].any() and samples[round(2.2 * SAMPLE_RATE) :].any()
    assert notes == ["It has 2 sound tracks: the first one was judged."]


def test_what_is_known_at_the_end_is_said_of_recordings_that_begin_with_silence(tmp_path, source, monkeypatch):
    monkeypatch.setattr(decoders, "BLOCK_VALUES", 4000)
    monkeypatch.setattr("deepfake_audio.sound.ffmpeg.PIECE_BYTES", 4000)
    ffmpeg("-i", source, "-af", "adelay=3000", "-map", 0, "-map", 0, "-c:a", "alac", tmp_path / "x.m4a")
    notes = []
    read_audio(tmp_path / "x.m4a", notes=notes)
    assert notes == ["It has 2 sound tracks: the first one was judged."]


@pytest.mark.parametrize(("times", "seconds"), [((0.0, 0.1, 9000.0, 9000.0, 9000.0), 0.5), ((0.0, 0.1, 9.0, 9.1), 9.2)])
def test_a_single_wrong_time_is_no_gap(times, seconds):
    notes, blocks = [], ((SAMPLE_RATE, 1, time, bytes(4 * SAMPLE_RATE // 10)) for time in times)
    assert sum(len(piece) for _, piece in _pieces(blocks, True, notes)) == seconds * SAMPLE_RATE and not notes
