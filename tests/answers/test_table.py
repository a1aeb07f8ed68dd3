"""The table that goes on where it stopped, and the summary."""

import contextlib
import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pretender import MODEL, Pretender, recording

from deepfake_audio.answers import table as table_module
from deepfake_audio.answers.find import find_recordings
from deepfake_audio.answers.table import Summary, Table
from deepfake_audio.errors import OutputError
from deepfake_audio.files import file_sha256
from deepfake_audio.judging import many

ROOT = Path(__file__).resolve().parents[2]


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def judge_into(table, folder, detector):
    """Do what script.py does with a table."""
    done = 0
    with contextlib.closing(table):
        for path, error in find_recordings([str(folder)]):
            assert error is None
            if table.finished(path) is None:
                table.add(many.answer(path, detector, MODEL).result)
                done += 1
    return done


def test_the_summary_counts_verdicts_and_minutes():
    summary = Summary()
    for verdict, seconds in (("Real", 60.0), ("Real", 30.0), ("No speech", 6.0), (None, None)):
        summary.add({"verdict": verdict, "seconds": seconds})
    assert [line.split() for line in str(summary).splitlines()] == [
        ["Verdict", "Files", "Minutes"],
        ["Real", "2", "1.5"],
        ["No", "speech", "1", "0.1"],
        ["Error", "1", "0.0"],
        ["All", "4", "1.6"],
    ]


def test_a_table_has_a_row_per_file(tmp_path):
    folder, out = tmp_path / "calls", tmp_path / "answers.csv"
    recording(folder / "a.wav"), recording(folder / "broken.wav")
    assert judge_into(Table(out, MODEL), folder, Pretender()) == 2
    good, bad = rows(out)
    assert good["path"] == str(folder / "a.wav") and good["verdict"] == "Fake" and good["p_hybrid"] == "0.2"
    assert good["fake_segments"] == "0.50-2.00" and good["sha256"] == file_sha256(folder / "a.wav")
    assert bad["verdict"] == "" and "mend it" in bad["error"] and bad["model"] == MODEL["name"]


def test_a_table_goes_on_where_it_stopped_and_tries_failures_and_changed_files_again(tmp_path):
    folder, out = tmp_path / "calls", tmp_path / "answers.csv"
    for name in ("a.wav", "b.wav", "broken.wav"):
        recording(folder / name)
    judge_into(Table(out, MODEL), folder, Pretender())
    soundfile.write(folder / "b.wav", np.ones(99), 16_000)
    recording(folder / "c.wav")
    detector = Pretender()
    table = Table(out, MODEL)
    assert table.finished(folder / "a.wav").result["verdict"] == "Fake"
    judge_into(table, folder, detector)
    assert detector.heard == ["b.wav", "broken.wav", "c.wav"]
    assert judge_into(Table(out, MODEL), folder, Pretender()) == 1, "only the broken one"
    assert sorted(row["path"].rsplit(os.sep, 1)[1] for row in rows(out)) == ["a.wav", "b.wav", "broken.wav", "c.wav"]


@pytest.mark.parametrize("lost", [1, 40, 150, 300, 10_000])
def test_a_table_that_was_cut_in_the_middle_of_a_row_loses_that_row_only(tmp_path, lost):
    folder, out = tmp_path / "calls", tmp_path / "answers.csv"
    for number in range(4):
        recording(folder / f"{number}.wav")
    judge_into(Table(out, MODEL), folder, Pretender())
    whole = out.read_bytes()
    out.write_bytes(whole[:-lost] or whole[:20])
    assert judge_into(Table(out, MODEL), folder, Pretender()) >= 1
    assert sorted(row["path"] for row in rows(out)) == [str(folder / f"{number}.wav") for number in range(4)]


class Calls(Pretender):
    """Hears two voices in every call."""

    def judge(self, path, **options):
        one = super().judge(path, **options)
        quiet = dataclasses.replace(one, verdict="No speech", segments=(), speech_seconds=0.0)
        return dataclasses.replace(one, channels=(quiet, one), notes=("As a call.",)) if "call" in path.name else one


def judged(folder, *names, judge):
    """Return a folder with these recordings, and the table of what was answered to them."""
    for name in names:
        recording(folder / name)
    out = folder.with_name("answers.csv")
    judge_into(Table(out, MODEL), folder, judge)
    return folder, out


def test_channels_have_a_row_each_behind_that_of_their_file(tmp_path):
    folder, out = tmp_path / "talks", tmp_path / "answers.csv"
    for name in ("a.wav", "call.wav", "z.wav"):
        recording(folder / name)
    judge_into(Table(out, MODEL), folder, Calls())
    found = rows(out)
    assert [row["channel"] for row in found] == ["", "", "1", "2", ""]
    assert [row["verdict"] for row in found if row["channel"]] == ["No speech", "Fake"]
    assert [row["path"].endswith("call.wav") for row in found] == [False, True, True, True, False]
    a, call, left, right, _ = found
    assert (a["channels"], call["channels"], left["channels"]) == ("", "2", "")
    assert (call["notes"], left["notes"], right["sha256"]) == ("As a call.", "", call["sha256"])
    assert (left["fake_segments"], right["fake_segments"], left["speech_seconds"]) == ("", "0.50-2.00", "0.0")


def test_a_call_whose_rows_are_not_all_there_is_judged_again(tmp_path):
    folder, out = judged(tmp_path / "talks", "call-1.wav", "call-2.wav", judge=Calls())
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    for kept in range(1, len(lines)):
        out.write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
        assert judge_into(Table(out, MODEL), folder, Calls()) == 2 - (kept - 1) // 3
        assert out.read_bytes() == whole
    assert judge_into(Table(out, MODEL), folder, Calls()) == 0
    soundfile.write(folder / "call-1.wav", np.ones(99), 16_000)
    assert judge_into(Table(out, MODEL), folder, Calls()) == 1
    changed = rows(out)
    assert [row["channel"] for row in changed] == ["", "1", "2", "", "1", "2"]
    assert {row["sha256"] for row in changed[:3]} == {file_sha256(folder / "call-1.wav")}


HOLD = """
import json, sys
from pathlib import Path
from deepfake_audio.answers.table import Table
table = Table(Path(sys.argv[1]), json.loads(sys.argv[2]))
print("holds", flush=True)
sys.stdin.read()
"""


def test_two_scans_do_not_write_one_table(tmp_path):
    folder, out = tmp_path / "calls", tmp_path / "answers.csv"
    recording(folder / "a.wav")
    command = [sys.executable, "-c", HOLD, str(out), json.dumps(MODEL)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as other:
        assert other.stdout.readline().strip() == b"holds"
        with pytest.raises(OutputError, match="by another scan: wait for its end, or name another file"):
            Table(out, MODEL)
        other.kill()  # says goodbye to nobody
        other.wait()
    assert judge_into(Table(out, MODEL), folder, Pretender()) == 1
    assert judge_into(Table(out, MODEL), folder, Pretender()) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "calls"]


@pytest.mark.skipif(sys.platform == "win32", reason="there a file that is open cannot be replaced")
def test_a_table_that_another_program_replaces_while_it_grows_is_said(tmp_path):
    folder, out = tmp_path / "calls", tmp_path / "answers.csv"
    recording(folder / "a.wav")
    table = Table(out, MODEL)
    shutil.copyfile(out, tmp_path / "saved.csv")
    (tmp_path / "saved.csv").replace(out)
    with pytest.raises(OutputError, match="removed or replaced"):
        judge_into(table, folder, Pretender())


def test_a_file_that_changed_has_one_row(tmp_path):
    folder, out = tmp_path / "calls", tmp_path / "answers.csv"
    for name in ("a.wav", "b.wav"):
        recording(folder / name)
    judge_into(Table(out, MODEL), folder, Pretender())
    before = rows(out)
    soundfile.write(folder / "a.wav", np.ones(160), 16_000)
    assert judge_into(Table(out, MODEL), folder, Pretender()) == 1
    assert [row["path"] for row in rows(out)] == [row["path"] for row in before]
    assert rows(out)[0]["sha256"] == file_sha256(folder / "a.wav") != before[0]["sha256"]
    assert rows(out)[1] == before[1]


def test_a_table_that_ends_within_a_letter_goes_on(tmp_path):
    folder, out = judged(tmp_path / "m\u00fcller", "a.wav", "b.wav", judge=Pretender())
    whole = out.read_bytes()
    out.write_bytes(whole[: whole.rindex("\u00fc".encode()) + 1])
    assert judge_into(Table(out, MODEL), folder, Pretender()) == 1
    assert out.read_bytes() == whole


def test_a_disk_that_fills_up_keeps_whole_rows_only(tmp_path, monkeypatch):
    folder, out = tmp_path / "calls", tmp_path / "answers.csv"
    for name in ("a.wav", "b.wav"):
        recording(folder / name)
    judge_into(Table(out, MODEL), folder, Pretender())
    whole = out.read_bytes()
    out.unlink()

    def full(file, data):
        file.write(data[:20])
        raise OSError(28, "No space left on device")

    table = Table(out, MODEL)
    monkeypatch.setattr(table_module, "write_all", full)
    with pytest.raises(OutputError, match="No space left"):
        judge_into(table, folder, Pretender())
    assert len(out.read_bytes().splitlines()) == 1
    monkeypatch.undo()
    assert judge_into(Table(out, MODEL), folder, Pretender()) == 2
    assert out.read_bytes() == whole
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(sys.platform == "win32", reason="there a file that is open cannot be removed")
def test_a_table_that_is_removed_while_it_grows_is_said(tmp_path):
    folder, out = tmp_path / "calls", tmp_path / "out" / "answers.csv"
    recording(folder / "a.wav")
    table = Table(out, MODEL)
    shutil.rmtree(out.parent)
    with pytest.raises(OutputError, match="was removed or replaced while it was written: start the same command again"):
        judge_into(table, folder, Pretender())
    assert judge_into(Table(out, MODEL), folder, Pretender()) == 1 and out.is_file()


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "no table at all", b"\xff\xfe\x00", '"unclosed\n'])
def test_another_file_is_not_overwritten(tmp_path, content):
    out = tmp_path / "other.csv"
    content = content if isinstance(content, bytes) else content.encode()
    out.write_bytes(content)
    with pytest.raises(OutputError, match=r"other\.csv"):
        Table(out, MODEL)
    assert out.read_bytes() == content


def test_answers_of_two_models_are_not_mixed(tmp_path):
    folder, out = tmp_path / "calls", tmp_path / "answers.csv"
    recording(folder / "a.wav")
    judge_into(Table(out, MODEL), folder, Pretender())
    with pytest.raises(OutputError, match="another file"):
        Table(out, MODEL | {"trained": "2027-01-01T00:00:00+00:00"})


def test_answers_by_two_rules_are_not_mixed(tmp_path):
    folder, out = tmp_path / "calls", tmp_path / "answers.csv"
    recording(folder / "a.wav")
    judge_into(Table(out, MODEL, "threshold 0.25"), folder, Pretender())
    assert rows(out)[0]["rule"] == "threshold 0.25"
    assert Table(out, MODEL, "threshold 0.25").finished(folder / "a.wav") is not None
    with pytest.raises(OutputError, match="threshold"):
        Table(out, MODEL)


def test_a_table_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="another file"):
        Table(tmp_path / "file" / "answers.csv", MODEL)
    with pytest.raises(OutputError):
        Table(tmp_path, MODEL)


HOSTILE = [
    "=cmd|' C calc'!A0.wav",
    "+1.wav",
    "-1.wav",
    "@SUM(A1).wav",
    "\u202egpj.wav",
    "smile 😀, \"quoted\".wav",
    "<script>alert(1)<script>.wav",
]  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", [*HOSTILE, "\x1b[31mred\x07.wav", "two\nlines.wav", "\t=1.wav", b"\xff.wav"])
def test_names_can_do_no_harm_in_a_table(tmp_path, name):
    out = tmp_path / "answers.csv"
    (tmp_path / "calls").mkdir()
    path = recording(tmp_path / "calls" / os.fsdecode(name))
    os.chdir(tmp_path / "calls")  # so that the hostile part comes first in its cell
    try:
        table = Table(out, MODEL)
        table.add(many.answer(path.relative_to(tmp_path / "calls"), Pretender(), MODEL).result)
        table.close()
        assert Table(out, MODEL).finished(path.relative_to(tmp_path / "calls")) is not None
    finally:
        os.chdir(tmp_path)
    text = out.read_text(encoding="utf-8")
    assert not any(character in text for character in "\x1b\x07\u202e\t\r") and text.count("\n") == 2
    assert rows(out)[0]["path"][0] not in "=+-@\t\r"
