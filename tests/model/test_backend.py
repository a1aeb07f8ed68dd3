"""Keras arrives without a page of messages, and stderr works afterwards."""

import os
import subprocess
import sys

from commands import HERE

CODE = """
import os, sys
from deepfake_audio.model.backend import keras
os.write(2, b"native ")
print("python", file=sys.stderr)
print(keras.__name__, float(keras.ops.sum(keras.ops.ones(3))))
"""


def test_nothing_is_printed_but_what_the_program_prints():
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, cwd=HERE, env=clean, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "keras 3.0\n"
    assert done.stderr == "native python\n"
