"""Nothing leaves the machine: both scripts do their work where there is no network at all."""

import shutil
import subprocess
import sys

import pytest
from commands import ENVIRONMENT, HERE, JUDGE, only

CUT_OFF = ("unshare", "--net", "--map-root-user")
PROBE = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"


def possible() -> bool:
    """Say whether a command can be run without network, and whether that is what it then lacks."""
    if not shutil.which(CUT_OFF[0]):
        return False
    if subprocess.run([*CUT_OFF, "true"], capture_output=True, check=False).returncode:
        return False
    done = subprocess.run([*CUT_OFF, sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    return "unreachable" in done.stderr  # not even this computer itself


@pytest.fixture
def without_network():
    if not possible():
        pytest.skip("processes without network need Linux and the right to make them (unshare --net)")

    def run(script, *arguments):
        command = [*CUT_OFF, sys.executable, str(script), *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", cwd=HERE, env=ENVIRONMENT, timeout=600, check=False
        )

    return run


def test_training_and_judging_need_no_network(without_network, tone_corpus, tmp_path):
    before = {path: path.read_bytes() for path in tone_corpus.rglob("*") if path.is_file()}
    arguments = ["--data", tone_corpus, "--outputs", tmp_path / "outputs", "--epochs", 1]
    done = without_network(HERE / "tests" / "tiny_training.py", *arguments)
    assert done.returncode == 0, done.stderr
    run = only(tmp_path / "outputs", "run-*")
    path = next(iter(before))
    done = without_network(JUDGE, path, "--model", run / "model.keras", "--json")
    assert done.returncode == 0, done.stderr
    # No copy of a recording is made unless a report is asked for.
    assert {path: path.read_bytes() for path in tone_corpus.rglob("*") if path.is_file()} == before
    assert sorted(tmp_path.iterdir()) == sorted([tone_corpus, tmp_path / "outputs"])
