"""Keras on TensorFlow, imported without TensorFlow's start-up chatter; import this only when a network is needed.

``from .backend import keras`` is how every other module gets at Keras.
"""

import json
import os
import sys
from pathlib import Path

from .. import console

__all__ = ["keras"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


BACKENDS = ("tensorflow", "jax")
NEEDED = {"image_data_format": "channels_last", "floatx": "float32"}


def _import_quietly():
    # What another project wrote into ~/.keras/keras.json, or the environment, would change what this network answers.
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        wanted = json.loads((home / "keras.json").read_text(encoding="utf-8"))
        wanted = wanted if isinstance(wanted, dict) else {}
    except (OSError, ValueError):
        wanted = {}
    backend = os.environ.get("KERAS_BACKEND") or wanted.get("backend") or BACKENDS[0]
    if "keras" not in sys.modules and backend not in BACKENDS:
        os.environ["KERAS_BACKEND"] = BACKENDS[0]
        console.say(f"notice: Keras runs on {BACKENDS[0]} here, not on {backend!r} as its settings have it.")
    # TensorFlow's native code writes a page about CPUs and missing GPUs to stderr before any setting can stop it.
    overridden: list[str] = []
    sys.stderr.flush()
    kept = os.dup(2)
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silent, 2)
        import keras

        for name, value in NEEDED.items():
            found = getattr(keras.config, name)()
            if found != value:
                getattr(keras.config, f"set_{name}")(value)
                overridden.append(f"{name} {value} here, not {found}")
        keras.ops.zeros(1)  # the first operation looks for devices, which is the rest of the page
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silent)
    for change in overridden:
        console.say(f"notice: Keras has {change} as {home / 'keras.json'} has it.")
    return keras


keras = _import_quietly()
