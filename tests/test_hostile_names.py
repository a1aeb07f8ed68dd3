"""Names that attack what shows them: one test per output, all names through each."""

import contextlib
import csv
import html.parser
import io
import json
import os
import re
import unicodedata

import numpy as np
import pytest
import soundfile
import tiny

import CNNRNNLSTM
import script
from deepfake_audio.corpus.clips import Clip
from deepfake_audio.corpus.manifest import fingerprint, report_skipped, write_manifest
from deepfake_audio.corpus.split import Splits
from deepfake_audio.settings import SAMPLE_RATE
from deepfake_audio.text import HARMFUL, JOINERS, cell

NAMES = [
    "=cmd()&A1.wav",
    "+1+1.wav",
    "-2.wav",
    "@SUM(A1).wav",
    "a;=cmd().wav",
    "a, =HYPERLINK('x').wav",
    "gpj.\u202eexe.wav",
    "bell\u2028line.wav",
    "$x_{$ \\alpha %s {0}.wav",
    "' OR 1=1 --.wav",
    "&lt;b&gt;.wav",
]
if os.name != "nt":
    NAMES += [
        "<script>alert(1)<script>.wav",
        '"><img src=x onerror=alert(1)>.wav',
        "\x1b[2J\x1b]0;owned\x07.wav",
        "two\nlines\r.wav",
        "tab\t=1.wav",
        "\x9b31m.wav",
        "back\x08\x08\x08slash\\.wav",
    ]


def harmless(text, allowed="\n"):
    bad = {c for c in text if unicodedata.category(c) in HARMFUL and c not in JOINERS + allowed}
    return not bad


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Judge files of all those names into every output; return the folder of the outputs, stdout and stderr."""
    folder, out = tmp_path_factory.mktemp("names"), tmp_path_factory.mktemp("outputs")
    model = tiny.save_untrained(tmp_path_factory.mktemp("model") / "run-1" / "model.keras", tiny.settings()).path
    sound = tiny.voice("Hybrid", 1.5, np.random.default_rng(0))
    for name in NAMES:
        with (folder / name).open("wb") as file:
            soundfile.write(file, sound, SAMPLE_RATE, format="WAV")
    (folder / NAMES[0].replace(".wav", "broken.wav")).write_bytes(b"no sound")
    told = {}
    home = os.getcwd()  # noqa: PTH109
    os.chdir(folder)  # so that the hostile part comes first, with nothing of ours before it
    try:
        for kind, options in {
            "text": ["--csv", out / "a.csv", "--report", out / "a.html", "--plot", out / "plots"],
            "json": ["--json"],
        }.items():
            streams = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
                names = [entry.name if entry.name[0] != "-" else f"./{entry.name}" for entry in folder.iterdir()]
                code = script.main([*names, "--model", str(model), *map(str, options)])
            assert code == 1, "one is broken"
            told[kind] = [stream.getvalue() for stream in streams]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            script.main([NAMES[0], "--model", str(model), "--labels", str(out / "labels.txt")])
    finally:
        os.chdir(home)
    return out, told


def test_console(judged):
    for text in judged[1]["text"] + judged[1]["json"]:
        assert harmless(text) and "Traceback" not in text
    assert sum(line.startswith("  ") is False for line in judged[1]["text"][0].splitlines()) >= len(NAMES)


def test_json(judged):
    lines = [json.loads(line) for line in judged[1]["json"][0].splitlines()]
    # Programs get the very name: JSON itself escapes what could do harm.
    assert {os.path.basename(line["path"]) for line in lines} >= set(NAMES)  # noqa: PTH119
    assert judged[1]["json"][0].isascii()


def test_csv(judged):
    text = (judged[0] / "a.csv").read_text(encoding="utf-8")
    assert harmless(text) and text.count("\n") == len(NAMES) + 2
    for row in csv.reader(io.StringIO(text)):
        for value in row:
            # As a spreadsheet reads it whose cells end at commas, semicolons or tabs.
            for part in re.split(r"[,;\t]", value):
                assert not re.match(r"\s*[=+@]|\s*-\D", part), value


def test_html(judged):
    text = (judged[0] / "a.html").read_text(encoding="utf-8")
    assert harmless(text)

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            tags.append(tag)
            assert not any(name.startswith("on") for name, _ in attributes), attributes

    tags = []
    Reader().feed(text)
    assert tags.count("script") == 1 and "img" not in tags and "b" not in tags


def test_pictures(judged):
    pictures = list((judged[0] / "plots").iterdir())
    assert len(pictures) == len(NAMES)
    for picture in pictures:
        assert re.fullmatch(r"[\w .()+-]+\.png", picture.name)
        data = picture.read_bytes()
        assert data.startswith(b"\x89PNG") and b"alert(1)" not in data and b"cmd()" not in data


def test_label_tracks(judged):
    for line in (judged[0] / "labels.txt").read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(r"\d+\.\d{6}\t\d+\.\d{6}\t(Real \d\.\d\d|Fake \d\.\d\d|No speech)", line)


def test_tables_of_a_training_run(tmp_path):
    names = [*NAMES, os.fsdecode(b"not-\xff-utf8.wav") if os.name != "nt" else "plain.wav"]
    clips = [Clip(name, tmp_path / name, "Real", speaker=name) for name in names]
    splits = Splits({"train": clips, "validation": [], "test": []}, {name: name for name in names}, [], [])
    assert len(fingerprint(splits)) == 64
    write_manifest(tmp_path / "manifest.csv", splits)
    report_skipped(clips * 3 + [Clip("x", tmp_path, "Real")] * 200, {names[0]: f"'{names[0]}' is broken."}, tmp_path)
    for table in ("manifest.csv", "skipped.csv"):
        text = (tmp_path / table).read_text(encoding="utf-8")
        assert harmless(text)
        for row in csv.reader(io.StringIO(text)):
            assert not any(re.match(r"\s*[=+@-]", value) for value in row), row


def test_numbers_stay_numbers_in_a_table():
    assert [cell(value) for value in (-1.5, 3, None, "", "a-b; c")] == ["-1.5", "3", "None", "", "a-b; c"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_what_is_said_of_a_dataset(tmp_path, capsys):
    for label in ("real", "fake"):
        for number in range(9):
            path = tmp_path / "data\x1b[2J" / label / f"voice{number}\u202e\x07" / f"{number}.wav"
            path.parent.mkdir(parents=True)
            soundfile.write(
                path,
                np.random.default_rng([number, *label.encode()]).normal(0, 0.1, SAMPLE_RATE),
                SAMPLE_RATE,
            )
    (path.parent / "broken\x1b[31m.wav").write_bytes(b"no sound")
    (path.parent / os.fsdecode(b"\xff.wav")).write_bytes(b"no sound")
    CNNRNNLSTM.main(["--check-data", "--data", str(tmp_path / "data\x1b[2J")])
    assert CNNRNNLSTM.main(["--check-data", "--data", str(tmp_path / "none\x1b[2J")]) == 1
    told = capsys.readouterr()
    assert "broken" in told.out and "[2J" in told.err
    assert harmless(told.out) and harmless(told.err)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_no_name_begins_a_line(tmp_path, capsys):
    forged = "\nwarning: forged\n"
    root = tmp_path / f"data{forged}"
    for label in ("real", "fake"):
        for number in range(9):
            path = root / label / f"voice{number}{forged}" / f"{number}{forged}.wav"
            path.parent.mkdir(parents=True)
            soundfile.write(
                path,
                np.random.default_rng([number, *label.encode()]).normal(0, 0.1, SAMPLE_RATE),
                SAMPLE_RATE,
            )
    (path.parent / f"broken{forged}.wav").write_bytes(b"no sound")
    (path.parent / f"spoof real{forged}.zip").write_bytes(b"")
    (root / "odd").mkdir()
    (root / "odd" / f"{forged}.wav").write_bytes(b"")
    CNNRNNLSTM.main(["--check-data", "--data", str(root)])
    assert CNNRNNLSTM.main(["--check-data", "--data", str(root / "odd")]) == 1
    assert CNNRNNLSTM.main(["--check-data", "--data", str(tmp_path / f"none{forged}")]) == 1
    (root / "clips.csv").write_text(f'path,label\n"{forged}.wav",real\n', encoding="utf-8")
    assert CNNRNNLSTM.main(["--check-data", "--data", str(root)]) == 1
    told = capsys.readouterr()
    for text in (told.out, told.err):
        assert "forged" in text and "warning: forged" not in text.splitlines()
    assert "\n    path,label\n" in told.err, "these are lines of their own"
