"""One list of packages for the two commands, and the same one in the package's extras."""

import ast
import re
from pathlib import Path

import pytest
from commands import HERE, JUDGE, TRAIN, python

from deepfake_audio import early, places, version

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
        assert EXTRAS[extra][0] == spec and {*EXTRAS[extra][1:]} <= {*EXTRAS["report"]}
        assert places.how_to_install(extra) == f'pip install "{spec}"'
    assert set(re.findall(r'"(\w[\w-]*>=[^"]+)"', CI)) <= {*EXTRAS["test"], *EXTRAS["dask"], *EXTRAS["web"]}


def test_a_script_begins_only_with_what_its_installation_brings():
    names = {"sklearn": "scikit-learn"}
    for packages, specs in ((early.JUDGING, PROJECT["dependencies"]), (early.TRAINING, EXTRAS["train"])):
        brought = {re.match(r"[\w-]+", spec)[0] for spec in (*specs, *PROJECT["dependencies"])}
        assert {names.get(name, name) for name in packages} <= brought


def test_places_of_a_checkout_exist():
    assert places.CHECKOUT == HERE
    assert places.bundled().is_file() and (places.data() / "starter").is_dir()
    assert places.outputs() == HERE / "outputs"


def test_places_of_a_wheel_are_the_package_and_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "CHECKOUT", None)
    monkeypatch.chdir(tmp_path)
    assert places.bundled() == places.PACKAGE / "pretrained" / "model.keras"
    assert places.outputs() == tmp_path / "outputs" and places.data() == tmp_path / "data"
    assert places.how_to_install("train") == 'pip install "deepfake-audio[train]"'


def test_the_version_stands_in_one_place():
    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    assert re.fullmatch(r"\d+\.\d+\.\d+", version.__version__)


@pytest.mark.parametrize("command", ["deepfake-audio", "deepfake-audio-train"])
def test_the_commands_are_the_scripts(command, tmp_path):
    module, _, function = PROJECT["scripts"][command].partition(":")
    code = f"import sys; sys.path[:0] = [{str(HERE)!r}]; from {module} import {function}; sys.exit({function}())"
    done = python("-c", code, "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"deepfake-audio {version.__version__}\n")


@pytest.mark.parametrize("script", [JUDGE, TRAIN])
class TestWhatKeepsAScriptFromBeginning:
    """Each is one sentence."""

    def test_an_old_python(self, script):
        code = "import runpy, sys; sys.version_info = (3, 8, 1); runpy.run_path(sys.argv[1], run_name='__main__')"
        done = python("-c", code, script)
        assert done.returncode == 1 and done.stdout == ""
        assert re.fullmatch(
            r"error: This needs Python 3\.10 or newer, but .* is 3\.8\.1: start another\.\n", done.stderr
        )

    def test_no_packages(self, script):
        done = python("-I", "-S", script)
        assert done.returncode == 1 and done.stdout == ""
        assert re.fullmatch(
            r"error: .* lacks numpy, .*: run 'pip install -r requirements\.txt' with it\.\n", done.stderr
        )

    def test_nothing_but_what_old_pythons_can_read(self, script):
        for path in (script, *(HERE / "deepfake_audio" / name for name in ("__init__.py", "version.py", "early.py"))):
            source = Path(path).read_text(encoding="utf-8")
            ast.parse(source, feature_version=(3, 6))
            assert "from __future__ import annotations" not in source

    def test_a_python_that_is_kept_apart_starts_it(self, script, tmp_path):
        done = python("-I", script, "--version", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"deepfake-audio {version.__version__}\n")


def test_the_public_workflow_runs_what_the_readme_says():
    workflow = (HERE / ".github" / "workflows" / "readme.yml").read_text(encoding="utf-8")
    for words in ("pip install -r requirements.txt", "python CNNRNNLSTM.py", "python script.py", "windows", "macos"):
        assert words in workflow
    assert '["3.10", "3.13"]' in workflow
