"""What is written beside the answers, and what must not be written over."""

import subprocess
import sys
from pathlib import Path

import pytest
from commands import ENVIRONMENT, JUDGE, STARTER

from deepfake_audio.answers import outputs, page
from deepfake_audio.answers.find import find_recordings
from deepfake_audio.errors import OutputError
from deepfake_audio.model.checkpoint import Checkpoint
from deepfake_audio.settings import Settings

CHECKPOINT = Checkpoint(Path("run/model.keras"), Settings(), "2026-01-02", "0.1.0", 0, "", {})


@pytest.fixture
def calls(tmp_path):
    for name in ("a.wav", "b.mp3", "odd.txt"):
        path = tmp_path / "calls" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"a recording")
    return tmp_path / "calls"


@pytest.mark.parametrize("name", ["a.wav", "../calls/b.mp3", "new.FLAC"])
@pytest.mark.parametrize("option", ["csv", "report", "labels"])
def test_recordings_are_not_written_over(calls, name, option):
    found = find_recordings([str(calls / "a.wav")] if option == "labels" else [str(calls)])
    with pytest.raises(OutputError, match=f"--{option} names the recording"):
        outputs.check(found, {option: calls / name})


def test_a_recording_is_known_whatever_it_is_called(calls):
    with pytest.raises(OutputError, match="names the recording"):
        outputs.check(find_recordings([str(calls / "odd.txt")]), {"labels": calls / "odd.txt"})
    outputs.check(find_recordings([str(calls)]), {"report": calls / "odd.txt", "plot": calls})


def test_two_answers_do_not_go_into_one_file(calls):
    with pytest.raises(OutputError, match="--csv and --report name the same file"):
        outputs.check([], {"csv": calls / "x", "report": calls / ".." / "calls" / "x"})


def test_a_script_says_so_and_leaves_the_recording(calls):
    before = (calls / "a.wav").read_bytes()
    command = [sys.executable, str(JUDGE), str(calls / "a.wav"), "--report", str(calls / "a.wav")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=ENVIRONMENT, check=False)
    assert done.returncode == 1 and "--report names the recording" in done.stderr
    assert (calls / "a.wav").read_bytes() == before


def test_nothing_is_left_where_the_beginning_is_interrupted(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(page, "Report", interrupt)
    with pytest.raises(KeyboardInterrupt):
        outputs.Outputs(CHECKPOINT, {"csv": tmp_path / "a.csv", "report": tmp_path / "a.html"}, "threshold 0.5")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]  # and no lock


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
@pytest.mark.skipif(not STARTER.is_dir(), reason="no starter clips")
def test_results_that_cannot_be_printed_are_one_sentence():
    path = next((STARTER / "fake").glob("*.flac"))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, str(JUDGE), str(path)],
            stdout=full, stderr=subprocess.PIPE, encoding="utf-8", env=ENVIRONMENT, check=False,
        )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: The results cannot be printed (No space left on device)")
