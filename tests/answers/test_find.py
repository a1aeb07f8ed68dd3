"""Folders, patterns and files: what a name stands for."""

import os
import subprocess
from collections import Counter

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
from pretender import recording

from deepfake_audio.answers.find import describe_passed_over, find_recordings
from deepfake_audio.sound.reading import read_audio


def names(found):
    return [path.name if error is None else error for path, error in found]


def test_folders_are_searched_to_the_bottom_in_order_without_hidden_files_and_texts(tmp_path):
    for name in ("b.WAV", "a.mp3", "deep/er/c.flac", "deep/._c.flac", ".venv/x.wav", "zoo/d.m4a"):
        recording(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no sound", encoding="utf-8")
    assert names(find_recordings([str(tmp_path)])) == ["a.mp3", "b.WAV", "c.flac", "d.m4a"]


def test_what_begins_like_sound_is_found_whatever_its_name_and_the_rest_is_counted(tmp_path):
    soundfile.write(tmp_path / "x.wav", 0.1 * np.sin(np.arange(16_000) / 5), 16_000)
    made = {
        "a.mpeg": ["-c:a", "mp2", "-f", "mpeg"],
        "b.mpga": ["-c:a", "libmp3lame", "-id3v2_version", "0", "-write_xing", "0", "-f", "mp3"],
        "c.3ga": ["-c:a", "aac", "-f", "3gp"],
        "d.wmv": ["-c:a", "wmav2", "-f", "asf"],
        "e.voc": ["-c:a", "pcm_u8", "-f", "voc"],
        "f.ts": ["-c:a", "aac", "-f", "mpegts"],
        "g.mka": ["-c:a", "aac", "-f", "matroska"],
        "h.m2ts": ["-c:a", "aac", "-f", "mpegts", "-mpegts_m2ts_mode", "1"],
        "i.adts": ["-c:a", "aac", "-f", "adts"],
        "aac": ["-c:a", "aac", "-f", "adts"],
        "mp3": ["-c:a", "libmp3lame", "-f", "mp3"],
        "wav.part": ["-c:a", "pcm_s16le", "-f", "wav"],
    }
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-i", str(tmp_path / "x.wav")]
    for name, options in made.items():
        command += [*options, str(tmp_path / name)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    texts = {
        "component.ts": "import { x } from 'y';\nGive and take;\n" * 100,
        "other.ts": "G" * 90,
        "Makefile": "all:\n\ttrue\n",
        "page.html": "<html></html>",
        "empty": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    for number in range(40):
        (tmp_path / f"random{number}.bin").write_bytes(np.random.default_rng(number).bytes(5000))
    passed_over = Counter()
    found = find_recordings([str(tmp_path)], passed_over)
    assert names(found) == sorted([*made, "x.wav"])
    assert passed_over == {".ts": 2, "": 2, ".html": 1, ".bin": 40}
    assert describe_passed_over(passed_over).endswith(": 40 .bin, 2 without a suffix, 2 .ts, 1 .html.")
    assert all(len(read_audio(path)) == pytest.approx(16_000, abs=3500) for path, _ in found)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on Windows")
def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "holds no recording" in names(find_recordings([str(tmp_path)]))[0]


def test_an_empty_name_is_not_this_folder(tmp_path, monkeypatch):
    recording(tmp_path / "a.wav")
    monkeypatch.chdir(tmp_path)
    [(_, error)] = find_recordings([""])
    assert "A name is empty" in error
    assert names(find_recordings(["."])) == ["a.wav"]


def test_patterns_are_expanded_here_too(tmp_path):
    for name in ("one.wav", "two.wav", "in/three.wav", "in/in/four.mp3"):
        recording(tmp_path / name)
    (tmp_path / "two.txt").write_text("no sound", encoding="utf-8")
    assert names(find_recordings([f"{tmp_path}/t*"])) == ["two.wav"]
    assert names(find_recordings([f"{tmp_path}/**/*.wav"])) == ["three.wav", "one.wav", "two.wav"]
    [(_, error)] = find_recordings([f"{tmp_path}/x*.wav"])
    assert "No recording fits" in error


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path):
    recording(tmp_path / "a.wav")
    path = recording(tmp_path / "[abc].wav")
    assert find_recordings([str(path)]) == [(path, None)]


def test_each_recording_comes_once_however_often_it_is_named(tmp_path):
    path = recording(tmp_path / "in" / "a.wav")
    roundabout = tmp_path / "in" / ".." / "in" / "a.wav"
    assert names(find_recordings([str(path), str(tmp_path), str(roundabout), str(path)])) == ["a.wav"]


def test_what_stands_for_nothing_is_an_error_in_its_place(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no sound", encoding="utf-8")
    path = recording(tmp_path / "a.wav")
    found = find_recordings([str(tmp_path / "empty"), str(path), str(tmp_path / "missing.wav")])
    assert [error is None for _, error in found] == [False, True, True], "what is missing is said when it is opened"
    assert "holds no recording" in found[0][1]


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="permissions are another matter on Windows")
def test_a_folder_without_permission_is_an_error_and_the_rest_goes_on(tmp_path, monkeypatch):
    recording(tmp_path / "open" / "a.wav")
    locked = tmp_path / "locked"
    recording(locked / "b.wav")
    if os.geteuid() == 0:  # whom no permission stops
        listed = os.scandir
        monkeypatch.setattr(
            os, "scandir", lambda p: listed(p) if str(p) != str(locked) else (_ for _ in ()).throw(_denied(locked))
        )
    else:
        locked.chmod(0)
    try:
        found = find_recordings([str(tmp_path)])
    finally:
        locked.chmod(0o755)
    assert found[0] == (tmp_path / "open" / "a.wav", None)
    assert found[1][0] == locked and "Permission denied" in found[1][1] and "permissions" in found[1][1]


def _denied(path):
    return PermissionError(13, "Permission denied", str(path))
