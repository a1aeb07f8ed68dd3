"""Nothing leaves the machine: both scripts do their work where there is no network at all."""

import json

import pytest
from commands import JUDGE, cut_off, python


def test_training_and_judging_need_no_network(tiny_run):
    if not cut_off():
        pytest.skip("processes without network need Linux and the right to make them (unshare --net)")
    tones, run = tiny_run  # trained without one
    before = sorted(run.parent.parent.rglob("*"))
    path = tones / "real" / "voice1" / "5.flac"
    done = python(JUDGE, path, "--model", run / "model.keras", "--json", before=cut_off())
    assert done.returncode == 0 and json.loads(done.stdout)["verdict"], done.stderr
    # No copy of a recording is made unless a report is asked for.
    assert sorted(run.parent.parent.rglob("*")) == before
