"""What the fuzzer found in readers of other people's files: every input is read or refused with a sentence.

The inputs are the smallest that reached each piece of the code; see tests/stress/fuzz.py.
"""

import base64
import json
from pathlib import Path

import pytest
from fuzzed import grow_targets, read, read_checkpoint, read_network

from deepfake_audio import places
from deepfake_audio.model import checkpoint

INPUTS = json.loads(Path(__file__).with_name("fuzzed.json").read_text(encoding="utf-8"))


def inputs(reader):
    return [base64.b85decode(text) for text in INPUTS[reader]]


def assert_both_occur(answers):
    assert len(answers) >= 10 and set(answers) == {True, False}


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    return grow_targets(tmp_path_factory.mktemp("trees"))


def test_lists_that_nobody_touched_are_read(targets):
    for number, (_, path) in enumerate(targets):
        assert read(targets, bytes([number]) + path.read_bytes()), path


def test_whatever_is_in_a_list_it_is_read_or_refused(targets):
    assert_both_occur([read(targets, data) for data in inputs("lists")])


def test_whatever_is_in_a_network_it_is_looked_through_or_refused():
    assert_both_occur([read_network(data) for data in inputs("networks")])


def test_whatever_a_checkpoint_says_of_itself_it_is_read_or_refused(tmp_path):
    honest = checkpoint.read_checkpoint(places.bundled()).member(checkpoint.MEMBER)
    assert_both_occur([read_checkpoint(tmp_path, data) for data in [*inputs("checkpoints"), honest]])
