"""The commands of an installed package: the two scripts, which lie within it or, in a checkout, beside it."""

from __future__ import annotations

import importlib
import sys

from .places import CHECKOUT


def judge() -> int:
    """Judge recordings, as script.py does; return the exit code."""
    return _script("script").main()


def train() -> int:
    """Train, as CNNRNNLSTM.py does; return the exit code."""
    return _script("CNNRNNLSTM").main()


def _script(name: str):
    if CHECKOUT:
        sys.path.insert(0, str(CHECKOUT))
    return importlib.import_module(name if CHECKOUT else f"deepfake_audio.{name}")
