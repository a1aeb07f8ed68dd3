"""The stress scripts, in small: what they measure in hours, they can measure in seconds."""

import sys

import pytest
from commands import HERE, python

STRESS = HERE / "tests" / "stress"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of other systems")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("recordings", "--files", 60), "60 of 60 answered"),
        (("bombs", "--hours", 5, "--kinds", "bomb.flac"), "longer than 4 hours"),
        (("listening", "--hours", 0.1), "ended: by Ctrl-C"),
        (("folder", "--files", 40), "40 rows"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_work_measures_and_loses_nothing(arguments, told):
    done = python(STRESS, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert told in done.stdout


def test_a_work_ends_in_time():
    done = python(STRESS, "listening", "--hours", 24, "--minutes", 0.05)
    assert (done.returncode, done.stdout) == (1, "lost: not finished within 0.05 minutes\n")
