"""A recording that comes through a pipe is judged like its file, and what is none is said."""

import io
import json
import subprocess
import sys

import imageio_ffmpeg
import pytest
from commands import ENVIRONMENT, HERE, JUDGE, STARTER

from deepfake_audio.answers.find import find_recordings
from deepfake_audio.files import file_sha256

CLIP = sorted((STARTER / "fake").glob("*.flac"))[0]


def judged(data: bytes, *words: str, name: str = "-") -> subprocess.CompletedProcess:
    command = [sys.executable, str(JUDGE), name, "--jobs", "1", *words]
    return subprocess.run(command, input=data, capture_output=True, env=ENVIRONMENT, cwd=HERE, timeout=120)


def test_a_pipe_has_the_answer_of_its_file_whatever_the_container(tmp_path):
    # MP4 has its index at the end.
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([program, "-v", "error", "-i", str(CLIP), str(tmp_path / "clip.m4a")], check=True)
    for path, name in ((tmp_path / "clip.m4a", "-"), (CLIP, "/dev/stdin")):
        piped = judged(path.read_bytes(), "--json", name=name)
        assert piped.returncode == 0, piped.stderr.decode()
        (answer,) = map(json.loads, piped.stdout.splitlines())
        filed = json.loads(judged(b"", "--json", name=str(path)).stdout)
        assert answer | {"path": ""} == filed | {"path": ""} and answer["path"] == "-"
        assert answer["sha256"] == file_sha256(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "is empty"), (b"words, words\n" * 99, "is not audio"), (CLIP.read_bytes()[:9000], "cut short")],
)
def test_a_pipe_without_a_whole_recording_is_one_sentence(data, words):
    done = judged(data, "--quiet")
    errors = [line for line in done.stderr.decode().splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and done.stdout.split() == [b"Error"]
    assert len(errors) == 1 and words in errors[0] and errors[0].startswith("error: Standard input ")


def test_a_keyboard_is_no_recording_and_a_file_of_that_name_is_no_pipe(tmp_path, monkeypatch):
    class Keyboard(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Keyboard())
    ((_, error),) = find_recordings(["-"])
    assert "keyboard" in error
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_bytes(CLIP.read_bytes())
    assert find_recordings(["./-"]) == [(tmp_path / "-", None)]
