"""What a script does first: whatever keeps it from beginning is one sentence, not a traceback.

The scripts, this module and what it imports are written so that Python 3.6 can read them, too.
"""

import importlib.util
import os
import signal
import sys

from .places import how_to_install

EXIT_CODE = 130

JUDGING = ("numpy", "soundfile", "soxr", "filelock", "joblib")
"""What no verdict comes about without."""

TRAINING = (*JUDGING, "tensorflow", "keras", "onnx", "librosa", "scipy", "sklearn", "pydub", "matplotlib", "jinja2")


def begin(packages):
    """End with a sentence where Python is too old or one of `packages` is missing, and quietly at Ctrl-C.

    In a program that was frozen into one executable, a copy that was started as a decoder is one from here on.
    """
    end_quietly()
    if getattr(sys, "frozen", False):
        import multiprocessing

        multiprocessing.freeze_support()
    if sys.version_info < (3, 10):  # noqa: UP036
        version = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"error: This needs Python 3.10 or newer, but {sys.executable} is {version}: start another.")
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        names = ", ".join(missing).replace("sklearn", "scikit-learn")
        extra = "" if set(missing) & set(JUDGING) else "train"
        sys.exit(f"error: {sys.executable} lacks {names}: run '{how_to_install(extra)}' with it.")


def end_quietly():
    """End at Ctrl-C until a :class:`deepfake_audio.interrupts.Watch` begins: nothing is there that could be kept.

    Who was started to ignore it, as shells start what runs in the background, goes on doing so.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, end)


def end(*_):
    """Say so and end."""
    os.write(2, b"Interrupted before anything began.\n")
    os._exit(EXIT_CODE)
