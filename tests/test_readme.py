"""What the README tells people to type is typed here, and what it names exists."""

import re
import shlex

import pytest
from commands import HERE, JUDGE, TRAIN, python

README = (HERE / "README.md").read_text(encoding="utf-8")
PAGES = sorted(path for pattern in ("*.md", "*/*.md", "tests/*/*.md") for path in HERE.glob(pattern))
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind in ("bat", "sh") for line in block.splitlines()]


def test_it_can_be_read_in_one_sitting():
    assert len(README.encode()) <= 10_000


def test_both_shells_get_the_same_commands_from_the_clone_on():
    bat, sh = (
        [line.replace("\\", "/") for line in block.splitlines() if "venv" not in line and "conda" not in line]
        for block in (next(block for kind, block in BLOCKS if kind == name) for name in ("bat", "sh"))
    )
    assert bat == sh
    assert [line.split()[0] for line in sh] == ["git", "cd", "pip", "python"]


def test_the_first_command_answers_at_once_and_the_example_is_its_answer():
    line = next(line for line in COMMANDS if line.startswith("python script.py") and "/" in line)
    done = python(*shlex.split(line)[1:], "--model", "outputs/pretrained")
    assert done.returncode == 0, done.stderr
    example = next(block for kind, block in BLOCKS if kind == "text" and "confidence" in block)
    assert example.splitlines()[0] == shlex.split(line)[-1] == done.stdout.splitlines()[0]
    pattern = r"(Real|Fake|Hybrid), confidence 0\.\d\d  \(Real 0\.\d\d, Fake 0\.\d\d, Hybrid 0\.\d\d\)"
    assert re.search(pattern, done.stdout)[1] == re.search(pattern, example)[1]


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
    assert "`python CNNRNNLSTM.py`" in README
    assert "Macro F1, three classes" in done.stdout


@pytest.mark.parametrize("script", [TRAIN, JUDGE])
def test_every_option_is_explained_by_help_and_every_named_option_exists(script):
    helped = python(script, "--help").stdout
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", helped))
    assert not re.search(r"^  (-\S, )?--[a-z-]+( [A-Z/.|=\[\] ]+)?\n(?! {8})", helped, re.MULTILINE)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for line in re.findall(rf"python {re.escape(script.name)} ([^`\n]*)", text):
            assert set(re.findall(r"(?<!\S)--[a-z][a-z-]+", line)) <= options, f"{page}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HERE)))
def test_files_and_pictures_exist(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", text):
        assert (page.parent / name).exists(), name
    for name in re.findall(r"`((?:deepfake_audio|tests)/[\w/]+\.py)`", text):
        assert (HERE / name).exists(), name


def test_no_placeholder_is_left():
    assert "@@" not in README


def test_the_test_command_is_the_one_that_continuous_integration_runs():
    assert "pip install -r requirements.txt && python -m pytest" in COMMANDS
    assert "python -m pytest" in (HERE / ".ci" / "run").read_text(encoding="utf-8")
