"""Both scripts as a user runs them: real processes, real starter clips, one short training."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
from commands import ENVIRONMENT, HERE, JUDGE, STARTER, TRAIN, only, python

import CNNRNNLSTM
import script
from deepfake_audio.evaluation.metrics import evaluate
from deepfake_audio.evaluation.scores import read_scores
from deepfake_audio.files import file_sha256
from deepfake_audio.model.checkpoint import read_checkpoint
from deepfake_audio.settings import CLASS_NAMES, SAMPLE_RATE, Settings

pytestmark = pytest.mark.skipif(not (STARTER / "clips.csv").is_file(), reason="the starter clips are not here")


def listed_clips():
    with (STARTER / "clips.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def small_corpus(tmp_path_factory):
    """Copy every fifth starter clip."""
    folder = tmp_path_factory.mktemp("corpus") / "small"
    rows = listed_clips()[::5]
    for row in rows:
        (folder / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(STARTER / row["path"], folder / row["path"])
    with (folder / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def one_real_one_fake():
    rows = listed_clips()
    return [STARTER / next(row["path"] for row in rows if row["label"] == label) for label in ("real", "fake")]


# What is answered before anything heavy is loaded


@pytest.mark.parametrize("script", [TRAIN, JUDGE])
def test_help_answers_at_once(script):
    started = time.monotonic()
    done = python("-X", "importtime", script, "--help")
    assert time.monotonic() - started < 5
    assert done.returncode == 0 and done.stdout.startswith("usage:")
    for heavy in ("tensorflow", "keras", "librosa", "sklearn", "matplotlib"):
        assert not re.search(rf"\| +{heavy}\b", done.stderr), f"{heavy} was imported"


@pytest.mark.parametrize("script", [TRAIN, JUDGE])
def test_a_wrong_command_line_is_exit_code_2(script):
    done = python(script, "--no-such-option", timeout=30)
    assert done.returncode == 2
    assert done.stdout == "" and "usage:" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (CNNRNNLSTM.main, ["--epochs", "0"]),
        (CNNRNNLSTM.main, ["--epochs", "three"]),
        (CNNRNNLSTM.main, ["--batch-size", "-1"]),
        (CNNRNNLSTM.main, ["--seed", "--1"]),
        (CNNRNNLSTM.main, ["--resume", "--check-data"]),
        (CNNRNNLSTM.main, ["--decode-all"]),
        (script.main, ["a.wav", "--seconds", "5"]),
        (script.main, ["--seconds", "0"]),
        (script.main, ["a.wav", "--jobs", "0"]),
        (script.main, ["a.wav", "--jobs", "999"]),
        (script.main, ["a.wav", "--engine", "abacus"]),
        (script.main, ["a.wav", "--threshold", "1.5"]),
        (script.main, ["a.wav", "--threshold", "half"]),
        (script.main, ["a.wav", "--json", "--quiet"]),
    ],
)
def test_whatever_is_wrong_with_it(main, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    assert ended.value.code == 2 and told.out == "" and "usage:" in told.err


def test_check_data_shows_the_split_and_trains_nothing(tmp_path):
    done = python(TRAIN, "--data", STARTER, "--outputs", tmp_path / "outputs", "--check-data")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("starter: 146 Real, 146 Fake")
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert lines["Set"][:3] == list(CLASS_NAMES)
    sets = [lines[split] for split in ("train", "validation", "test")]
    assert all(int(split[0]) >= 3 and int(split[1]) >= 3 for split in sets)
    assert sum(int(n) for split in sets for n in split[:3]) <= len(listed_clips())
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--data", "no-such-folder"], "no-such-folder"),
        (["--data", "empty"], "empty"),
        (["--data", "small", "--evaluate", "text.keras"], "text.keras"),
        (["--data", "small", "--outputs", "text.keras"], "text.keras"),
        (["--data", "small", "--cache", "text.keras"], "give another --cache"),
    ],
)
def test_training_that_cannot_start_is_exit_code_1_in_one_sentence(
    arguments, reason, small_corpus, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.keras").write_text("no checkpoint", encoding="utf-8")
    arguments = [str(small_corpus) if word == "small" else word for word in arguments]
    assert CNNRNNLSTM.main(["--outputs", str(tmp_path / "outputs"), *arguments]) == 1
    told = capsys.readouterr()
    errors = [line for line in told.err.splitlines() if line.startswith("error:")]
    assert told.out == "" and len(errors) == 1 and reason in errors[0] and "Traceback" not in told.err
    assert not list((tmp_path / "outputs").glob("run-*")), "it would be resumed later"


PRINTS = """
import sys, CNNRNNLSTM
from types import SimpleNamespace
report = SimpleNamespace(folder="folder", tell=lambda: print("x" * {}))
CNNRNNLSTM.train = lambda *rest: CNNRNNLSTM.tell(report, rest[-1])
sys.exit(CNNRNNLSTM.main([]))
"""


@pytest.mark.skipif(os.name == "nt", reason="pipes and devices of other systems")
@pytest.mark.parametrize(("count", "unbuffered"), [(10, ""), (10, "1"), (1_000_000, "")])
def test_results_that_nobody_takes_are_no_fault_of_the_outputs(count, unbuffered):
    command, options = [sys.executable, "-c", PRINTS.format(count)], {"cwd": HERE, "stderr": subprocess.PIPE}
    options["env"] = ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdout=subprocess.PIPE, **options) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == (b"", 1)
    if Path("/dev/full").exists():
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(command, stdout=full, timeout=60, **options)
        assert done.returncode == 1
        assert done.stderr == b"error: The results cannot be printed (No space left on device).\n"


def test_ctrl_c_once_all_is_written_says_so(tmp_path, capsys):
    from deepfake_audio import interrupts

    class Report:
        folder = tmp_path

        def tell(self):
            raise KeyboardInterrupt

    with interrupts.Watch("never said") as watch:
        CNNRNNLSTM.tell(Report(), watch)
    assert capsys.readouterr().err == f"\nInterrupted, but all is done: the report is in {tmp_path}.\n"


def test_a_run_that_was_killed_when_all_was_written_is_not_trained_again(tmp_path):
    from deepfake_audio.training.runs import Run

    run = Run.start(tmp_path / "outputs", Settings(), [])
    for name in ("metrics.json", "last.keras"):
        (run.folder / name).write_text("{}", encoding="utf-8")
    run.release()
    done = python(TRAIN, "--resume", "--outputs", tmp_path / "outputs", timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"The run that was interrupted is done: the report is in {run.folder}.\n"
    assert only(tmp_path / "outputs", "run-*") == run.folder


@pytest.mark.parametrize("content", [None, b"just some text"])
def test_a_bad_model_is_exit_code_1_in_one_sentence(content, tmp_path, one_real_one_fake):
    path = tmp_path / "bad.keras"
    if content:
        path.write_bytes(content)
    done = python(JUDGE, one_real_one_fake[0], "--model", path, timeout=60)
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert done.stderr.startswith("error:") and "bad.keras" in done.stderr and done.stderr.count("\n") == 1


# One training, and what it leaves


def test_a_training_leaves_the_files_it_promises_and_nothing_temporary(trained):
    run, _ = trained
    for name in ("model.keras", "scores.csv", "metrics.json", "MODEL_CARD.md", "manifest.csv", "log.csv"):
        assert (run / name).stat().st_size > 0, name
    for split in ("train", "validation", "test"):
        assert (run / "hybrids" / split / "spans.csv").stat().st_size > 0
    plots = {path.stem for path in (run / "plots").glob("*.png")}
    assert plots >= {
        *("learning_curves", "confusion_matrix", "det_curve", "reliability", "mel_spectrogram_sample"),
        *("timeline_real", "timeline_fake", "timeline_hybrid"),
    }
    left = [path.name for path in run.rglob("*") if ".tmp-" in path.name or path.name in ("best.keras", "last.keras")]
    assert left == []


def test_results_are_on_stdout_and_everything_else_on_stderr(trained):
    run, done = trained
    assert "accuracy" in done.stdout.lower() and all(name in done.stdout for name in CLASS_NAMES)
    paths = [line for line in done.stdout.splitlines() if line.startswith(str(run))]
    assert {Path(p).name for p in paths} >= {"scores.csv", "metrics.json", "MODEL_CARD.md", "confusion_matrix.png"}
    assert all(Path(p).is_file() for p in paths)
    assert "python script.py FILE --model" in done.stdout
    assert "Unless --model names another, the bundled model answers from now on" in done.stdout
    assert "Epoch" not in done.stdout and "Epoch 3/3" in done.stderr
    assert "Traceback" not in done.stderr and "\r" not in done.stderr, "no progress bars where nobody watches"


def test_every_figure_comes_from_the_scores_file(trained):
    run, _ = trained
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    choice = metrics.pop("choice")
    assert choice["own"] is False and "too few to tell" in choice["why"], "the starter clips are few"
    again = evaluate(read_scores(run / "scores.csv"))
    assert metrics == json.loads(json.dumps(again))


def test_the_test_set_is_judged_and_nobody_in_it_was_heard_in_training(trained):
    run, _ = trained
    with (run / "manifest.csv").open(encoding="utf-8", newline="") as file:
        manifest = list(csv.DictReader(file))
    assert len(manifest) == len(listed_clips())
    by_split = {split: [row for row in manifest if row["split"] == split] for split in ("train", "validation", "test")}
    scores = read_scores(run / "scores.csv")
    assert {s.path for s in scores if s.kind in ("real", "fake")} == {row["clip"] for row in by_split["test"]}
    assert {s.kind for s in scores} == {"real", "fake", "hybrid", "real+real", "fake+fake"}
    seen = read_checkpoint(run / "model.keras").seen()
    assert {file_sha256(row["path"])[:12] for row in by_split["train"] + by_split["validation"]} <= seen
    assert not {file_sha256(row["path"])[:12] for row in by_split["test"]} & seen


def test_three_epochs_learn_more_than_chance(trained):
    run, done = trained
    with (run / "log.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert float(rows[-1]["verdict_accuracy"]) > 0.4, done.stderr


def test_evaluating_on_the_same_corpus_gives_the_scores_of_the_run(trained, tmp_path):
    run, _ = trained
    done = python(TRAIN, "--evaluate", run / "model.keras", "--data", STARTER, "--outputs", tmp_path)
    assert done.returncode == 0, done.stderr
    folder = only(tmp_path, "evaluation-*")
    first, second = read_scores(run / "scores.csv"), read_scores(folder / "scores.csv")
    assert [s.path for s in first] == [s.path for s in second]
    for one, other in zip(first, second, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)
        assert (one.label, one.kind, one.true_spans) == (other.label, other.kind, other.true_spans)
    assert "its test set is used" in done.stderr
    assert not (folder / "features").exists() and (folder / "MODEL_CARD.md").is_file()


# Ctrl-C and --resume


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to another process on Windows")
def test_ctrl_c_is_exit_code_130_and_resume_finishes_the_run(small_corpus, tmp_path):
    outputs = tmp_path / "outputs"
    command = HERE / "tests" / "tiny_training.py"
    arguments = [command, "--outputs", outputs, "--data", small_corpus.name, "--epochs", "3", "--seed", "4"]
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=small_corpus.parent,
        env=ENVIRONMENT,
    )
    try:
        told = []
        for line in process.stderr:
            told.append(line)
            if line.startswith("Epoch 2/"):
                process.send_signal(signal.SIGINT)
                break
        out, rest = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, "".join(told) + rest
    assert out == "" and "--resume" in rest and "Traceback" not in rest
    run = only(outputs, "run-*")
    assert not (run / "metrics.json").exists()

    done = python(TRAIN, "--outputs", outputs, "--resume", cwd=tmp_path)  # which has other defaults
    assert done.returncode == 0, done.stderr
    assert only(outputs, "run-*") == run and str(run) in done.stderr
    with (run / "log.csv").open(encoding="utf-8", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]
    assert "Epoch 1/" not in done.stderr, "the finished epoch is not trained again"
    training = read_checkpoint(run / "model.keras").settings.training
    assert (training.epochs, training.seed) == (3, 4)
    assert training.batch_size == tiny.settings().training.batch_size != Settings().training.batch_size
    assert (run / "metrics.json").is_file()


def test_a_run_is_not_resumed_with_other_clips(small_corpus, tmp_path):
    from deepfake_audio.training.runs import Run

    run = Run.start(tmp_path, Settings(), [small_corpus], "fingerprint of other clips")
    run.release()
    done = python(TRAIN, "--outputs", tmp_path, "--resume")
    assert done.returncode == 1 and done.stdout == ""
    assert f"error: The clips are not those that {run.folder} was started with" in done.stderr


# script.py


KEYS = (
    *("schema", "path", "verdict", "reason", "confidence", "probabilities", "seconds", "speech_seconds"),
    *("fake_seconds", "segments", "channels", "notes", "sha256", "model", "threshold", "operating_point", "error"),
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, one_real_one_fake):
    """Lay out good files, odd ones and bad ones."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "text.wav").write_text("this is no sound", encoding="utf-8")
    soundfile.write(folder / "silent.wav", np.zeros(2 * SAMPLE_RATE), SAMPLE_RATE)
    soundfile.write(folder / "blip.wav", 0.1 * np.sin(np.arange(SAMPLE_RATE // 5) / 3), SAMPLE_RATE)
    shutil.copyfile(one_real_one_fake[0], folder / "Gespräch vom 3. März, łódź 录音.flac")
    return folder


def test_many_files_as_json(trained, recordings, one_real_one_fake):
    run, _ = trained
    odd = next(path for path in recordings.iterdir() if "März" in path.name)
    silent, blip, text = (recordings / f"{name}.wav" for name in ("silent", "blip", "text"))
    (recordings / "empty").mkdir()
    paths = [text, *one_real_one_fake, recordings / "missing.wav", silent, blip, odd, recordings / "empty"]
    done = python(JUDGE, *paths, recordings, "--json", "--model", run / "model.keras", "--jobs", "2")
    assert done.returncode == 1, "some files failed"
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["path"] for answer in answers] == list(map(str, paths)), "nothing is judged twice"
    checkpoint = read_checkpoint(run / "model.keras")
    for answer in answers:
        assert tuple(answer) == KEYS
        assert answer["model"] == {
            "name": f"{run.name}/model.keras",
            "trained": checkpoint.trained,
            "version": checkpoint.version,
        }
        if answer["error"]:
            assert answer["verdict"] is None and answer["segments"] == []
            continue
        assert answer["sha256"] == file_sha256(answer["path"])
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=2e-3)
        shares = answer["probabilities"]
        assert answer["confidence"] == shares.get(answer["verdict"], max(shares.values()))
        for segment in answer["segments"]:
            assert list(segment) == ["start", "end", "label", "fake_probability"]
            assert 0 <= segment["start"] < segment["end"] <= answer["seconds"] + 1e-6
    failed = {Path(answer["path"]).name for answer in answers if answer["error"]}
    assert failed == {"text.wav", "missing.wav", "empty"}
    assert done.stderr.count("error:") == 3 and "Traceback" not in done.stderr
    by_path = {answer["path"]: answer for answer in answers}
    assert by_path[str(silent)]["verdict"] == "No speech" and by_path[str(silent)]["segments"] == []
    real, same = by_path[str(paths[1])], by_path[str(odd)]
    assert {k: v for k, v in real.items() if k != "path"} == {k: v for k, v in same.items() if k != "path"}
    assert real["segments"][0]["start"] == 0 and real["segments"][-1]["end"] == real["seconds"]
    assert real["seconds"] == pytest.approx(soundfile.info(paths[1]).duration, abs=1e-3)


def test_people_read_verdict_and_timeline_on_any_console_from_any_folder(trained, recordings):
    run, _ = trained
    odd = next(path for path in recordings.iterdir() if "März" in path.name)
    arguments = [JUDGE, odd.name, "--model", run / "model.keras"]
    done = python(*arguments, cwd=recordings, encoding="cp1252")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Gespräch vom 3. März, \\u0142ód\\u017a \\u5f55\\u97f3.flac"
    verdict = r"  ((Real|Fake|Hybrid),|Uncertain, closest to \w+ with) confidence [01]\.\d\d  \(Real [01]\.\d\d, Fake"
    assert re.match(verdict, lines[1])
    assert re.match(r"  \d+\.\d s, \d+\.\d s of speech or other sound, \d+\.\d s in fake segments", lines[2])
    segments = [line for line in lines if re.match(r" +\d+\.\d\d - +\d+\.\d\d s  (Real|Fake|Unclear) +prob", line)]
    assert segments and lines[-1].startswith("  Next: ")
    assert f"trained {read_checkpoint(run / 'model.keras').trained}" in done.stderr


def test_the_newest_model_is_the_default_and_quiet_is_one_word_per_file(trained, one_real_one_fake, tmp_path):
    run, _ = trained
    # A checkout of its own, so that the outputs of this one do not matter.
    shutil.copytree(HERE / "deepfake_audio", tmp_path / "deepfake_audio")
    for each in (JUDGE, TRAIN):
        shutil.copyfile(each, tmp_path / each.name)
    none = python(tmp_path / "script.py", one_real_one_fake[0])
    assert none.returncode == 1 and "train one with: python CNNRNNLSTM.py" in none.stderr

    model = tmp_path / "outputs" / "run-1" / "model.keras"
    model.parent.mkdir(parents=True)
    shutil.copyfile(run / "model.keras", model)
    done = python(tmp_path / "script.py", *one_real_one_fake, "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(model) in done.stderr
    words = done.stdout.splitlines()
    assert len(words) == 2 and set(words) <= {*CLASS_NAMES, "Uncertain"}
