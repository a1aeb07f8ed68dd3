"""The commands of an installed package: the two scripts, which lie within it or, in a checkout, beside it."""

import importlib
import sys

from . import early
from .places import CHECKOUT


def judge() -> int:
    """Judge recordings, as script.py does; return the exit code."""
    return _main("script", early.JUDGING)


def train() -> int:
    """Train, as CNNRNNLSTM.py does; return the exit code."""
    return _main("CNNRNNLSTM", early.TRAINING)


def _main(name: str, packages: tuple[str, ...]) -> int:
    early.begin(packages)
    if CHECKOUT:
        sys.path.insert(0, str(CHECKOUT))
    return importlib.import_module(name if CHECKOUT else f"deepfake_audio.{name}").main()
