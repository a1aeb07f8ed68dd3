"""Keras on TensorFlow, imported without TensorFlow's start-up chatter; import this only when a network is needed.

``from .backend import keras`` is how every other module gets at Keras.
"""

import os
import sys

from .. import console

__all__ = ["keras"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow uses these kernels by itself only where the processor has AVX-512: elsewhere training takes twice as long.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def _import_quietly():
    # What another project wrote into ~/.keras/keras.json, or the environment, would change what this network answers.
    asked = [os.environ.get("KERAS_BACKEND") or "tensorflow"]
    if asked[0] != "jax":
        os.environ["KERAS_BACKEND"] = "tensorflow"
    # TensorFlow's native code writes a page about CPUs and missing GPUs to stderr before any setting can stop it.
    sys.stderr.flush()
    kept = os.dup(2)
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silent, 2)
        import keras

        asked += [keras.config.image_data_format(), keras.config.floatx()]
        keras.config.set_image_data_format("channels_last")
        keras.config.set_floatx("float32")
        keras.ops.zeros(1)  # the first operation looks for devices, which is the rest of the page
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silent)
    if others := [one for one in asked if one not in ("tensorflow", "jax", "channels_last", "float32")]:
        console.say(f"Keras is set to {', '.join(others)}, which counts for nothing here.")
    return keras


keras = _import_quietly()
