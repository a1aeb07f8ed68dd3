"""Folders, patterns and files: what a name stands for."""

import os

import pytest
from pretender import recording

from deepfake_audio.answers.find import find_recordings


def names(found):
    return [path.name if error is None else error for path, error in found]


def test_folders_are_searched_to_the_bottom_in_order_without_hidden_files_and_texts(tmp_path):
    for name in ("b.WAV", "a.mp3", "deep/er/c.flac", "deep/._c.flac", ".venv/x.wav", "notes.txt", "zoo/d.m4a"):
        recording(tmp_path / name)
    assert names(find_recordings([str(tmp_path)])) == ["a.mp3", "b.WAV", "c.flac", "d.m4a"]


def test_an_empty_name_is_not_this_folder(tmp_path, monkeypatch):
    recording(tmp_path / "a.wav")
    monkeypatch.chdir(tmp_path)
    [(_, error)] = find_recordings([""])
    assert "A name is empty" in error
    assert names(find_recordings(["."])) == ["a.wav"]


def test_patterns_are_expanded_here_too(tmp_path):
    for name in ("one.wav", "two.wav", "two.txt", "in/three.wav", "in/in/four.mp3"):
        recording(tmp_path / name)
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
