"""What runs a checkpoint's network: onnxruntime on its ONNX member, which needs no TensorFlow, or Keras on its weights.

Whoever writes a checkpoint can give both different weights, which nothing here notices.
"""

from __future__ import annotations

import reprlib
import threading

import numpy as np

from .. import console
from ..errors import CheckpointError, ExportError, in_short
from ..features.windows import input_shape
from ..settings import CLASS_NAMES, Settings
from ..text import clean
from .checkpoint import ONNX_MEMBER, Checkpoint
from .trust import suspicious_graph

ENGINES = ("onnx", "keras")


def suspicious_answers(answers: dict[str, np.ndarray], windows: int, settings: Settings) -> str:
    """Say what is wrong with what a network answers to so many windows; empty if it is in order."""
    frames = settings.window.label_frames
    wanted = {
        "boundaries": (windows, frames, 1),
        "timeline": (windows, frames, 1),
        "verdict": (windows, len(CLASS_NAMES)),
    }
    found = {name: np.shape(values) for name, values in answers.items()}
    if found != wanted:
        return f"its answers have the shapes {reprlib.repr(found)}, not {wanted}"
    if not all(values.dtype.kind == "f" and np.isfinite(values).all() for values in answers.values()):
        return "its answers are not numbers"
    return ""


class OnnxEngine:
    """Runs the ONNX member of a checkpoint; several threads may use one.

    Its `mel_filters`, float32 of shape (mel_bands, bins), are what the spectrogram has to be made with.

    Raises
    ------
    CheckpointError
        If the checkpoint has no mel filters.
    ExportError
        If it has no such member, or one that is refused, cannot be run, or answers what no network here does.
    """

    name = "onnx"

    def __init__(self, checkpoint: Checkpoint):
        self._path, self._settings = checkpoint.path, checkpoint.settings
        try:
            content = checkpoint.member(ONNX_MEMBER)
        except CheckpointError as error:
            raise ExportError(f"{self._path} has no {ONNX_MEMBER}") from error
        self.mel_filters = checkpoint.mel_filters()
        # Before onnxruntime sees it: loading a network calculates what it can of it.
        try:
            reason = suspicious_graph(content)
        except ValueError as error:
            raise self._error("is no ONNX file") from error
        if reason:
            raise self._error(f"is refused because {reason}")
        try:
            import onnxruntime
        except ImportError as error:
            raise ExportError(f"onnxruntime cannot be imported ({error})") from error
        options = onnxruntime.SessionOptions()
        # Batches run side by side (see Detector); a thread inside one would only wait for its neighbour.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a type of its own for every trouble, and no common one
            raise self._error(f"cannot be run by onnxruntime ({in_short(error)})") from error
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.predict(np.zeros((1, *input_shape(self._settings)), dtype=np.float32))  # while Keras may still judge

    def _error(self, what: str) -> ExportError:
        return ExportError(f"the {ONNX_MEMBER} in {self._path} {what}")

    def predict(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        """From network inputs, shape (windows, frames, mel_bands), to the outputs by name; ExportError as above."""
        try:
            answers = dict(zip(self._outputs, self._session.run(None, {"input": windows}), strict=True))
        except Exception as error:
            raise self._error(f"cannot be run by onnxruntime ({in_short(error)})") from error
        if reason := suspicious_answers(answers, len(windows), self._settings):
            raise self._error(f"cannot be used because {reason}")
        return answers


class KerasEngine:
    """Runs the weights of a checkpoint in a Keras `network`; several threads may use one.

    Raises
    ------
    CheckpointError
        If it cannot be loaded, or answers what no network here does.
    """

    name = "keras"

    def __init__(self, checkpoint: Checkpoint):
        self._checkpoint, self.network = checkpoint, checkpoint.network()
        self._turn = threading.Lock()
        self.mel_filters = checkpoint.mel_filters()

    def predict(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        """From network inputs, shape (windows, frames, mel_bands), to the outputs by name; same error."""
        # Keras promises nothing about two threads in one network; each batch keeps all cores busy anyway.
        with self._turn:
            answers = self.network.predict_on_batch(windows)
        if reason := suspicious_answers(answers, len(windows), self._checkpoint.settings):
            raise CheckpointError(f"{self._checkpoint.path} cannot be used because {reason}; use another checkpoint.")
        return answers


def load_engine(checkpoint: Checkpoint, wanted: str = ENGINES[0]) -> OnnxEngine | KerasEngine:
    """Load a network the wanted way; where onnxruntime cannot, that is said and Keras does it.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be loaded either.
    """
    if wanted == OnnxEngine.name:
        try:
            return OnnxEngine(checkpoint)
        except ExportError as error:
            console.say(f"notice: {clean(error)}: Keras judges, which starts more slowly.")
    return KerasEngine(checkpoint)
