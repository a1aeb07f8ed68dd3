"""Whatever is handed to script.py: a clear answer, never a traceback, and nothing hangs."""

import contextlib
import io
import json
import os
import struct
import subprocess
import time

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
import tiny

import script
from deepfake_audio.settings import CLASS_NAMES, NO_SPEECH, SAMPLE_RATE, UNCERTAIN
from deepfake_audio.sound.reading import to_int16, write_flac

VERDICTS = {*CLASS_NAMES, UNCERTAIN, NO_SPEECH}
SOUND = 0.5 * np.clip(np.random.default_rng(0).normal(0, 0.3, 2 * SAMPLE_RATE), -1, 1).astype(np.float32)
TIMES = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE


def wave(path, samples=SOUND, rate=SAMPLE_RATE, **options):
    soundfile.write(path, samples, rate, **options)


def wave_that_promises_more(path):
    wave(path)
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", 10**9)  # length of the samples
    path.write_bytes(data)


def mp3_with_a_picture_for_every_second(path):
    wave(path.with_suffix(".helper"), format="WAV")
    program = imageio_ffmpeg.get_ffmpeg_exe()
    command = [
        program,
        "-v",
        "error",
        "-i",
        path.with_suffix(".helper"),
        "-f",
        "lavfi",
        "-i",
        "testsrc=d=2:r=1:s=64x64",
    ]
    command += ["-map", "0:a", "-map", "1:v", "-c:a", "libmp3lame", "-c:v", "mjpeg", "-f", "avi", path]
    subprocess.run(command, check=True)


def protected(path):
    """Look like a song from a shop: the right beginning, then nothing that anybody could read."""
    path.write_bytes(b"\0\0\0\x20ftypM4P \0\0\0\0M4P mp42isom\0\0\0\0" + np.random.default_rng(1).bytes(50_000))


def shouting(path):
    wave(path, np.clip(20 * SOUND, -1, 1))


def telephone(path):
    wave(path, np.clip(SOUND[:SAMPLE_RATE], -0.9, 0.9), 8000, subtype="ULAW")


def music(path):
    chord = sum(np.sin(2 * np.pi * f * TIMES) for f in (220, 277.2, 329.6, 440)) * (0.3 + (TIMES * 4 % 1)) / 8
    wave(path, chord)


MADE = {
    "empty.wav": (lambda path: path.write_bytes(b""), "is empty"),
    "text.wav": (lambda path: path.write_text("this is no sound", encoding="utf-8"), "is not audio"),
    "garbage.m4a": (protected, "is not audio|cut short"),
    "promises-more.wav": (wave_that_promises_more, None),
    "with-video.mp3": (mp3_with_a_picture_for_every_second, None),
    "one-sample.wav": (lambda path: wave(path, SOUND[:1]), None),
    "silence.wav": (lambda path: wave(path, 0 * SOUND), None),
    "tone.wav": (lambda path: wave(path, 0.5 * np.sin(2 * np.pi * 440 * TIMES)), None),
    "music.wav": (music, None),
    "shouting.wav": (shouting, None),
    "telephone.wav": (telephone, None),
    "96-khz.flac": (lambda path: wave(path, SOUND, 96_000), None),
    "seven-channels.wav": (lambda path: wave(path, np.tile(SOUND[:, None], 7)), None),
    "'quotes' & <i>tags.wav": (wave, None),
    "smile 😀.wav": (wave, None),
    "not-numbers.wav": (lambda path: wave(path, SOUND * np.nan, subtype="FLOAT"), "NaN"),
}
if os.name != "nt":
    MADE['"><script>alert(1)<.wav'] = (wave, None)
    MADE["pipe.wav"] = (os.mkfifo, "not a regular file")


def judged(*arguments):
    """Run script.py within this process; return exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = script.main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.save_untrained(tmp_path_factory.mktemp("bad") / "run-1" / "model.keras", tiny.settings()).path


@pytest.fixture(scope="module")
def answers(model, tmp_path_factory):
    """Judge all of them at once, with every output there is."""
    folder = tmp_path_factory.mktemp("inputs")
    for name, (make, _) in MADE.items():
        make(folder / name)
    (folder / "with-video.helper").unlink()
    outputs = tmp_path_factory.mktemp("outputs")
    started = time.process_time()
    code, out, err = judged(
        *(
            folder,
            folder / "missing.wav",
            folder / "smile 😀.wav",
            "--json",
            "--model",
            model,
            "--csv",
            outputs / "a.csv",
        ),
        *("--report", outputs / "a.html", "--plot", outputs / "plots"),
    )
    assert time.process_time() - started < 120
    assert code == 1 and "Traceback" not in out + err
    assert (outputs / "a.html").stat().st_size and (outputs / "a.csv").stat().st_size
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == len(MADE) + 1, "what is named twice is judged once"
    assert len(list((outputs / "plots").iterdir())) == sum(not line["error"] for line in lines)
    return {os.path.basename(line["path"]): line for line in lines}  # noqa: PTH119 - also of odd names


@pytest.mark.parametrize("name", list(MADE))
def test_every_odd_file_has_a_clear_answer(answers, name):
    wanted = MADE[name][1]
    answer = answers[name]
    if wanted is None:
        assert answer["error"] is None and answer["verdict"] in VERDICTS
        assert answer["seconds"] >= 0 and len(answer["sha256"]) == 64
    else:
        assert answer["verdict"] is None and name in answer["error"]
        assert any(part in answer["error"] for part in wanted.split("|")), answer["error"]


@pytest.mark.parametrize("name", ["one-sample.wav", "silence.wav"])
def test_where_nobody_speaks_there_is_no_speech(answers, name):
    assert answers[name]["verdict"] == NO_SPEECH and answers[name]["segments"] == []


def test_a_missing_file_says_that_it_is_missing(answers):
    assert "does not exist" in answers["missing.wav"]["error"]


def test_what_there_is_of_a_cut_file_is_judged(answers):
    assert answers["promises-more.wav"]["seconds"] == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("arguments", [["empty"], ["*.nothing"], ["missing.wav"], ["empty", "missing.wav", "--quiet"]])
def test_nothing_to_judge_is_said_at_once_without_loading_a_network(model, tmp_path, monkeypatch, arguments):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    code, out, err = judged(*arguments, "--model", model)
    assert code == 1 and "error: " in err and "Traceback" not in err
    assert set(out.split()) <= {"Error", "Verdict", "Files", "Minutes", "All", "0.0", "1", "2"}


def test_labels_need_one_recording(model, tmp_path):
    write_flac(tmp_path / "a.flac", tiny.voice("Hybrid", 1.5, np.random.default_rng(0)))
    code, _, err = judged(tmp_path / "a.flac", "--model", model, "--labels", tmp_path / "labels.txt")
    assert code == 0, err
    assert (tmp_path / "labels.txt").read_text(encoding="utf-8").startswith("0.000000\t")
    write_flac(tmp_path / "b.flac", to_int16(SOUND) / 2.0**15)
    code, out, err = judged(tmp_path, "--model", model, "--labels", tmp_path / "labels.txt")
    assert code == 1 and out == "" and "2 are named" in err


def test_outputs_that_cannot_be_written_are_one_sentence(model, tmp_path):
    write_flac(tmp_path / "a.flac", SOUND)
    (tmp_path / "file").write_text("", encoding="utf-8")
    for option in ("--csv", "--report", "--plot", "--labels"):
        code, _, err = judged(tmp_path / "a.flac", "--model", model, option, tmp_path / "file" / "x")
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == 1 and len(errors) == 1 and "cannot be written" in errors[0], (option, err)


def test_an_interrupted_scan_keeps_the_answers_that_were_given(model, tmp_path, monkeypatch):
    from deepfake_audio.judging.detector import Detector

    for number in range(3):
        write_flac(tmp_path / "in" / f"{number}.flac", SOUND)
    judge = Detector.judge

    def stop_at_the_second(self, path, **options):
        if path.name == "1.flac":
            raise KeyboardInterrupt
        return judge(self, path, **options)

    monkeypatch.setattr(Detector, "judge", stop_at_the_second)
    arguments = [tmp_path / "in", "--model", model, "--jobs", "1", "--csv", tmp_path / "a.csv", "--quiet"]
    code, out, err = judged(*arguments, "--report", tmp_path / "a.html")
    assert code == 130 and len(out.split()) == 1 and "a.csv keeps what was answered" in err
    assert "0.flac" in (tmp_path / "a.html").read_text(encoding="utf-8")
    monkeypatch.setattr(Detector, "judge", judge)
    code, out, err = judged(*arguments)
    assert code == 0 and len(out.split()) == 2 and "1 of 3 recordings were already answered" in err


def test_a_page_and_pictures_hold_what_the_table_answered_before_too(model, tmp_path):
    for number in range(3):
        write_flac(tmp_path / "in" / f"{number}.flac", SOUND)
    table, arguments = tmp_path / "a.csv", [tmp_path / "in", "--model", model, "--csv", tmp_path / "a.csv", "--quiet"]
    assert judged(*arguments)[0] == 0
    rows = table.read_text(encoding="utf-8")
    code, out, err = judged(*arguments, "--report", tmp_path / "a.html", "--plot", tmp_path / "plots")
    assert code == 0 and len(out.split()) == 3 and "judged again" in err and "already answered" not in err
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("<article") == 3 and len(list((tmp_path / "plots").glob("*.png"))) == 3
    assert table.read_text(encoding="utf-8") == rows, "no answer stands there twice"
    code, out, err = judged(*arguments)
    assert code == 0 and not out and "3 of 3 recordings were already answered" in err
    code, _, _ = judged(tmp_path / "in" / "0.flac", *arguments[1:], "--labels", tmp_path / "labels.txt")
    assert code == 0 and (tmp_path / "labels.txt").stat().st_size


def test_a_threshold_decides_and_says_what_it_costs(model, tmp_path):
    write_flac(tmp_path / "a.flac", tiny.voice("Real", 1.5, np.random.default_rng(0)))
    verdicts = []
    for threshold in ("0.001", "0.999"):
        code, out, err = judged(tmp_path / "a.flac", "--model", model, "--threshold", threshold, "--json")
        assert code == 0 and f"threshold {threshold}" in err
        answer = json.loads(out)
        assert answer["threshold"] == float(threshold)
        verdicts.append(answer["verdict"])
    assert verdicts[0] != "Real" and verdicts[1] == "Real"


def test_what_is_odd_about_a_file_is_said_in_each_answer_and_what_is_passed_over_once(model, tmp_path):
    folder, page = tmp_path / "calls", tmp_path / "page.html"
    folder.mkdir()
    wave(folder / "loud.wav", 8 * SOUND / np.abs(SOUND).max(), subtype="FLOAT")
    (folder / "notes.txt").write_text("no sound", encoding="utf-8")
    code, out, err = judged(folder, "--json", "--report", page, "--model", model)
    (note,) = json.loads(out)["notes"]
    assert code == 0 and "18.1 dB above full scale" in note
    assert f"note: '{folder / 'loud.wav'}': {note}" in err and err.count("Passed over") == 1 and "1 .txt" in err
    assert note in page.read_text(encoding="utf-8")
