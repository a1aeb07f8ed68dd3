"""The scores file: written harmless, read back exactly, refused where it is none."""

import csv
import dataclasses
import gzip
import re

import numpy as np
import pytest
from test_metrics import METRICS, clip, pool

from deepfake_audio.errors import RunError
from deepfake_audio.evaluation.metrics import evaluate
from deepfake_audio.evaluation.scores import read_scores, write_scores
from deepfake_audio.text import clean_lines


def test_round_trip(tmp_path):
    scores = pool(20)
    odd = {"path": 'söme, "odd"\nname.wav', "speaker": "", "language": ""}
    scores.append(clip("hybrid", **odd, frame_probabilities=(0.5,) * 30_000))
    path = tmp_path / "run" / "scores.csv"
    write_scores(path, scores)
    back = read_scores(path)
    assert back[-1].path == scores[-1].path
    assert len(back[-1].frame_probabilities) == 30_000
    assert back[2].true_spans == pytest.approx(np.array(scores[2].true_spans), abs=1e-4)
    assert list(path.parent.iterdir()) == [path]
    write_scores(tmp_path / "again.csv", back)
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()
    first, second = evaluate(scores, resamples=20), evaluate(back, resamples=20)
    for name in METRICS:
        assert second[name]["value"] == pytest.approx(first[name]["value"], abs=1e-4)


def test_a_compressed_file_without_frames_says_all_but_frames(tmp_path):
    scores = [clip("hybrid", family="f", sample_rate="8000", original_format="amr"), clip()]
    write_scores(tmp_path / "scores.csv.gz", scores, frames=False)
    text = gzip.decompress((tmp_path / "scores.csv.gz").read_bytes()).decode("utf-8")
    assert "frame_probabilities" not in text and "0.100 0.100" not in text
    first, second = read_scores(tmp_path / "scores.csv.gz")
    assert first == dataclasses.replace(scores[0], frame_probabilities=()) and second.family == ""
    metrics = evaluate([first, second], resamples=0)
    assert metrics["frame_eer_20ms"]["value"] is None and metrics["frame_f1"]["value"] == 1.0
    again = tmp_path / "again.csv.gz"
    write_scores(again, scores, frames=False)
    assert again.read_bytes() == (tmp_path / "scores.csv.gz").read_bytes()


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data[:20] + b"xx" + data[22:], lambda _: b"a,b"]
)
def test_a_compressed_file_that_is_damaged_is_refused(tmp_path, damage):
    path = tmp_path / "scores.csv.gz"
    write_scores(path, [clip()] * 3)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError, match=r"scores\.csv\.gz is not a scores file"):
        read_scores(path)


def test_names_are_written_harmless_and_read_exactly(tmp_path):
    names = [
        "=1",
        "'=1",
        "''\t+1",
        "a;-b",
        "@x,\u202e\x1b[2J\n",
        "back\\n",
        "\\x41\\\\",
        "'quoted'",
        "\udcff",
        "-",
        "é\u200d",
    ]
    scores = [clip(path=n, speaker=n, generator=n, source=n, language=n) for n in names]
    write_scores(tmp_path / "scores.csv", scores)
    for score, name in zip(read_scores(tmp_path / "scores.csv"), names, strict=True):
        assert {score.path, score.speaker, score.generator, score.source, score.language} == {name}
    text = (tmp_path / "scores.csv").read_text(encoding="utf-8")
    assert text.count("\n") == len(names) + 1 and clean_lines(text) == text
    for row in csv.reader(text.splitlines()):
        assert not re.search(r"(^|[;,\t])\s*[=+@-]", row[0]), row[0]


def test_a_file_keeps_the_frames_that_metrics_need(tmp_path):
    clips = [clip("hybrid"), clip("hybrid", true_spans=()), *map(clip, ("real", "fake", "real+real", "fake+fake"))]
    write_scores(tmp_path / "scores.csv", clips)
    assert [len(score.frame_probabilities) for score in read_scores(tmp_path / "scores.csv")] == [200, 0, 0, 0, 0, 0]


def test_spans_are_written_as_documented(tmp_path):
    path = tmp_path / "scores.csv"
    write_scores(path, [clip("hybrid", true_spans=((0.512, 1.234), (2, 2.5)), frame_probabilities=(0.012, 0.934))])
    text = path.read_text(encoding="utf-8")
    assert "0.5120-1.2340 2.0000-2.5000" in text
    assert text.rstrip().endswith("0.012 0.934")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Hybrid", "Hybird", "Hybird"),
        ("1.0000-2.0000", "1.0000:2.0000", "start-end"),
        ("speaker", "spaeker", "speaker"),
        ("s1,", "", "fields"),
        ("0.100 0.100", "0.1OO", "0.1OO"),
    ],
)
def test_bad_files_are_refused(tmp_path, old, new, message):
    path = tmp_path / "scores.csv"
    write_scores(path, [clip("hybrid")])
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(RunError, match=message) as caught:
        read_scores(path)
    assert "scores.csv" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"RIFF\x00\x00", b"[1, 2]\n"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "scores.csv"
    path.write_bytes(content)
    with pytest.raises(RunError, match="not a scores file"):
        read_scores(path)


def test_missing_and_empty_files_are_refused(tmp_path):
    with pytest.raises(RunError, match=r"cannot read.*scores\.csv"):
        read_scores(tmp_path / "scores.csv")
    write_scores(tmp_path / "empty.csv", [])
    with pytest.raises(RunError, match="no clips"):
        read_scores(tmp_path / "empty.csv")


def test_a_crash_leaves_the_old_file(tmp_path):
    path = tmp_path / "scores.csv"
    write_scores(path, [clip()])
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_scores(path, [clip(), None])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
