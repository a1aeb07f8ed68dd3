"""Run folders: what they record, and which one is resumed."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from deepfake_audio.errors import RunError
from deepfake_audio.settings import Settings, TrainingSettings
from deepfake_audio.training import runs
from deepfake_audio.training.runs import Run, tidy_finished

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Settings(training=TrainingSettings(epochs=3, seed=11))


def test_a_started_run_can_be_found_again_with_its_settings(tmp_path):
    started = Run.start(tmp_path / "outputs", SETTINGS, [tmp_path / "a", tmp_path / "b"], "c0ffee")
    started.release()
    assert started.folder.parent == tmp_path / "outputs"
    assert started.model == started.folder / "model.keras"
    found = Run.interrupted(tmp_path / "outputs")
    assert found.folder == started.folder
    assert found.settings == SETTINGS
    assert found.data == [tmp_path / "a", tmp_path / "b"]
    assert found.manifest == "c0ffee"


def test_relative_data_folders_are_found_again_from_anywhere(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    Run.start(tmp_path / "outputs", SETTINGS, [Path("speech")]).release()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Run.interrupted(tmp_path / "outputs").data == [tmp_path.resolve() / "speech"]


def test_runs_started_within_one_second_get_folders_of_their_own(tmp_path):
    runs = [Run.start(tmp_path, SETTINGS, []) for _ in range(4)]
    folders = [run.folder for run in runs]
    assert len(set(folders)) == 4
    for run in runs:
        run.release()
    assert Run.interrupted(tmp_path).folder == max(folders)


def test_the_newest_run_without_a_report_is_resumed(tmp_path):
    for number, name in enumerate(["run-20250101-000000", "run-20250102-000000", "run-20250103-000000"]):
        run = Run.start(tmp_path, dataclasses.replace(SETTINGS, training=TrainingSettings(seed=number)), [])
        run.release()
        run.folder.rename(tmp_path / name)
    (tmp_path / "run-20250103-000000" / "metrics.json").write_text("{}")
    (tmp_path / "run-20250104-000000").mkdir()  # died before it recorded anything
    found = Run.interrupted(tmp_path)
    assert found.folder.name == "run-20250102-000000"
    assert found.settings.training.seed == 1


def test_nothing_to_resume(tmp_path):
    assert Run.interrupted(tmp_path / "missing") is None
    run = Run.start(tmp_path, SETTINGS, [])
    (run.folder / "metrics.json").write_text("{}")
    assert Run.interrupted(tmp_path) is None


@pytest.mark.parametrize("left", [["run.tmp-4711.json", "in-use.lock"], ["in-use.lock"], []])
def test_a_run_that_was_killed_before_it_recorded_anything_is_removed(tmp_path, left):
    stillborn, foreign = tmp_path / "run-20250101-000000", tmp_path / "run-of-mine"
    for folder in (stillborn, foreign):
        folder.mkdir()
        for name in left:
            (folder / name).write_text("{")
    (foreign / "notes.tmp-1.txt").write_text("kept")
    assert Run.interrupted(tmp_path) is None
    assert [path.name for path in tmp_path.rglob("*")] == ["run-of-mine", "notes.tmp-1.txt"]


def test_a_run_that_is_just_starting_is_left_alone(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(runs, "to_dict", lambda settings: found.append(Run.interrupted(tmp_path)) or {})
    run = Run.start(tmp_path, SETTINGS, [])
    assert found == [None] and (run.folder / "run.json").is_file()


def test_a_run_that_cannot_be_recorded_or_is_discarded_leaves_nothing(tmp_path, monkeypatch):
    Run.start(tmp_path, SETTINGS, []).discard()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space"):
        Run.start(tmp_path, SETTINGS, [])
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_ends_while_it_is_looked_at_is_not_trained_again(tmp_path, monkeypatch):
    run = Run.start(tmp_path, SETTINGS, [])
    (run.folder / "last.keras").write_text("x")
    read = runs.from_dict

    def meanwhile(*arguments):
        (run.folder / "metrics.json").write_text("{}")
        run.tidy()
        return read(*arguments)

    monkeypatch.setattr(runs, "from_dict", meanwhile)
    assert Run.interrupted(tmp_path) is None
    assert sorted(path.name for path in run.folder.iterdir()) == ["metrics.json", "run.json"]


@pytest.mark.parametrize("left", ["last.keras", "in-use.lock"])
def test_a_run_that_was_killed_after_its_report_is_tidied_and_done(tmp_path, left):
    run = Run.start(tmp_path, SETTINGS, [])
    (run.folder / "metrics.json").write_text("{}")
    run.release()
    assert tidy_finished(tmp_path) is None
    (run.folder / left).write_text("x")
    assert tidy_finished(tmp_path) == run.folder
    assert sorted(path.name for path in run.folder.iterdir()) == ["metrics.json", "run.json"]
    assert tidy_finished(tmp_path) is None


def damaged_records():
    settings = dataclasses.asdict(SETTINGS)
    yield "half of it", json.dumps({"settings": settings})[:50]
    yield "another kind of JSON", "[]"
    yield "no settings", "{}"
    yield (
        "impossible settings",
        json.dumps(
            {"settings": settings | {"window": settings["window"] | {"frames_per_step": 0}}, "data": [], "manifest": ""}
        ),
    )


@pytest.mark.parametrize(("what", "text"), list(damaged_records()))
def test_a_damaged_record_is_explained(tmp_path, what, text):
    run = Run.start(tmp_path, SETTINGS, [])
    (run.folder / "run.json").write_text(text)
    with pytest.raises(RunError, match="without --resume"):
        Run.interrupted(tmp_path)


def test_a_run_of_another_version_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "__version__", "0.0.9")
    Run.start(tmp_path, SETTINGS, []).release()
    monkeypatch.undo()
    with pytest.raises(RunError, match=r"another version of this program \('0\.0\.9'.*without --resume"):
        Run.interrupted(tmp_path)


def test_outputs_that_cannot_hold_a_folder_are_explained(tmp_path):
    (tmp_path / "outputs").write_text("a file")
    with pytest.raises(RunError, match="give another --outputs"):
        Run.start(tmp_path / "outputs", SETTINGS, [])


HOLD = """
import sys
from pathlib import Path
from deepfake_audio.training.runs import Run
run = Run.interrupted(Path(sys.argv[1]))
print("holds", flush=True)
sys.stdin.read()
"""


def test_a_run_that_another_process_trains_is_not_resumed_until_that_is_gone(tmp_path):
    run = Run.start(tmp_path, SETTINGS, [])
    run.release()
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as other:
        assert other.stdout.readline().strip() == b"holds"
        with pytest.raises(RunError, match="by another process: wait for its end"):
            Run.interrupted(tmp_path)
        other.kill()  # says goodbye to nobody
        other.wait()
    found = Run.interrupted(tmp_path)
    assert found.folder == run.folder
    found.release()
    assert [path.name for path in run.folder.iterdir()] == ["run.json"]


def test_tidying_removes_only_what_a_resumed_run_needs(tmp_path):
    run = Run.start(tmp_path, SETTINGS, [])
    for name in ("best.keras", "last.keras", "model.keras", "metrics.json"):
        (run.folder / name).write_text("x")
    run.tidy()
    assert sorted(path.name for path in run.folder.iterdir()) == ["metrics.json", "model.keras", "run.json"]
    run.tidy()  # again, with nothing left to remove
