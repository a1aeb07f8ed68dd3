"""What the README tells people to type is typed here, and what it names exists."""

import re
import shlex

import pytest
from commands import HERE, JUDGE, TRAIN, python

README = (HERE / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind in ("bat", "sh") for line in block.splitlines()]


def test_both_shells_get_the_same_python_commands():
    bat, sh = (
        [line.replace("\\", "/") for line in block.splitlines() if line.startswith(("python ", "pip "))]
        for block in (next(block for kind, block in BLOCKS if kind == name) for name in ("bat", "sh"))
    )
    assert bat == [line for line in sh if "venv" not in line]
    assert "python CNNRNNLSTM.py" in bat and "pip install -r requirements.txt" in bat


def test_the_detector_command_answers_for_the_trained_model(trained):
    run, _ = trained
    line = next(line for line in COMMANDS if line.startswith("python script.py") and "/" in line)
    done = python(*shlex.split(line)[1:], "--model", run / "model.keras")
    assert done.returncode == 0, done.stderr
    assert re.search(r"confidence 0\.\d\d  \(Real 0\.\d\d, Fake 0\.\d\d, Hybrid 0\.\d\d\)", done.stdout)


def test_the_library_example_runs(trained, starter):
    run, _ = trained
    code = next(block for kind, block in BLOCKS if kind == "python")
    code = code.replace("Detector()", f"Detector({str(run / 'model.keras')!r})")
    code = code.replace("clip.wav", str(next((starter / "real").glob("*.flac"))).replace("\\", "/"))
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert re.match(r"(Real|Fake|Hybrid|Uncertain) 0\.\d+ \(Segment\(", done.stdout)


def test_the_training_command_is_the_one_that_the_end_to_end_tests_run(trained):
    _, done = trained
    assert "python CNNRNNLSTM.py" in COMMANDS
    assert "Macro F1, three classes" in done.stdout


def test_the_check_command_works_on_any_folder():
    line = re.search(r"`python (CNNRNNLSTM.py --data FOLDER --check-data)`", README)[1]
    done = python(*line.replace("FOLDER", "data/starter").split())
    assert done.returncode == 0 and done.stdout.startswith("starter: 146 Real, 146 Fake")


@pytest.mark.parametrize("script", [TRAIN, JUDGE])
def test_every_option_is_explained_and_every_explained_option_exists(script):
    helped = python(script, "--help").stdout
    table = README.split(f"| option of `{script.name}`")[1].split("\n\n")[0]
    options = set(re.findall(r"(?<![\w-])--[a-z-]+", helped)) - {"--help"}
    assert options == set(re.findall(r"--[a-z][a-z-]+", table)) - {"--help"}


def test_files_and_pictures_exist():
    for name in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (HERE / name).exists(), name
    for name in re.findall(r"`([\w/]+\.py)`", README):
        assert (HERE / name).exists() or (HERE / "deepfake_audio" / name).exists(), name


def test_no_placeholder_is_left():
    assert "@@" not in README


def test_the_test_command_is_the_one_that_continuous_integration_runs():
    assert "pip install -r requirements.txt && python -m pytest" in COMMANDS
    assert "python -m pytest" in (HERE / ".ci" / "run").read_text(encoding="utf-8")
