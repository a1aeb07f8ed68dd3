"""One list of packages for the two commands, and the same one in the package's extras."""

import re
import sys

import pytest
from commands import HERE

from deepfake_audio import places, version

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read pyproject.toml")

PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
LINES = (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()
NEEDED = {line.partition("#")[0].strip().replace('"', "'") for line in LINES} - {""}
OPTIONAL = {spec for line in LINES if line.startswith("# optional: ") for spec in re.findall(r'"(.+?)"', line)}
CI = (HERE / ".ci" / "run").read_text(encoding="utf-8")


def test_requirements_are_the_base_and_the_extras_of_the_two_commands():
    in_both = {*PROJECT["dependencies"], *EXTRAS["train"], *EXTRAS["mic"], *EXTRAS["report"]}
    assert in_both == {spec for spec in NEEDED if not spec.startswith("pytest")}
    everything = {*PROJECT["dependencies"], *(spec for extra in EXTRAS.values() for spec in extra)}
    assert everything == NEEDED | OPTIONAL


def test_what_is_optional_is_named_with_the_same_versions_everywhere():
    for extra, spec in places.OPTIONAL.items():
        assert EXTRAS[extra] == [spec]
        assert places.how_to_install(extra) == f'pip install "{spec}"'
    assert set(re.findall(r'"(\w[\w-]*>=[^"]+)"', CI)) <= {*EXTRAS["test"], *EXTRAS["dask"]}


def test_places_of_a_checkout_exist():
    assert places.CHECKOUT == HERE
    assert (places.bundled() / "model.keras").is_file() and (places.data() / "starter").is_dir()
    assert places.outputs() == HERE / "outputs"


def test_places_of_a_wheel_are_the_package_and_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "CHECKOUT", None)
    monkeypatch.chdir(tmp_path)
    assert places.bundled() == places.PACKAGE / "pretrained"
    assert places.outputs() == tmp_path / "outputs" and places.data() == tmp_path / "data"
    assert places.how_to_install("train") == 'pip install "deepfake-audio[train]"'


def test_the_version_stands_in_one_place():
    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    assert re.fullmatch(r"\d+\.\d+\.\d+", version.__version__)


def test_the_commands_are_the_scripts():
    from deepfake_audio import commands

    script = commands._script("script")
    assert script is sys.modules["script"] and script.main.__module__ == "script"
    assert PROJECT["scripts"] == {
        "deepfake-audio": "deepfake_audio.commands:judge",
        "deepfake-audio-train": "deepfake_audio.commands:train",
    }


def test_the_public_workflow_runs_what_the_readme_says():
    workflow = (HERE / ".github" / "workflows" / "readme.yml").read_text(encoding="utf-8")
    for words in ("pip install -r requirements.txt", "python CNNRNNLSTM.py", "python script.py", "windows", "macos"):
        assert words in workflow
    assert '["3.10", "3.13"]' in workflow
