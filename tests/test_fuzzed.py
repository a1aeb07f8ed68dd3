"""What the fuzzer found in readers of lists: every input is read or refused with a sentence.

The inputs are the smallest that reached each piece of the code; see tests/stress/fuzz.py.
"""

import base64
import json
from pathlib import Path

import pytest
from fuzzed import grow_targets, read

INPUTS = json.loads(Path(__file__).with_name("fuzzed.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    return grow_targets(tmp_path_factory.mktemp("trees"))


def test_lists_that_nobody_touched_are_read(targets):
    for number, (_, path) in enumerate(targets):
        assert read(targets, bytes([number]) + path.read_bytes()), path


def test_whatever_is_in_a_list_it_is_read_or_refused(targets):
    answers = [read(targets, base64.b85decode(text)) for text in INPUTS]
    assert len(answers) >= 20 and {True, False} == set(answers)
