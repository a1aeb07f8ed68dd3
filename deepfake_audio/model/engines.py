"""What runs a checkpoint's network: onnxruntime on its ONNX twin, or Keras on the checkpoint itself.

The twin is ``model.onnx`` beside ``model.keras``, written by :mod:`deepfake_audio.model.export`. It is bound to its
checkpoint by hash, and carries librosa's mel filters, so that a verdict needs neither TensorFlow nor librosa.

Whoever writes a twin can write that hash, and other weights with it, which nothing here notices: a twin is to come from
whoever the checkpoint comes from.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import reprlib
import threading
import zlib
from pathlib import Path

import numpy as np

from .. import console
from ..errors import CheckpointError, ExportError, in_short
from ..features.log_mel import mel_filters
from ..files import file_sha256
from ..settings import CLASS_NAMES, Settings, to_dict
from ..text import clean
from .checkpoint import Checkpoint
from .trust import MOST_BYTES, onnx_metadata, suspicious_graph

ENGINES = ("onnx", "keras")

DIGEST_CHARACTERS = 64
SEAL = b"\x72\x4c\x0a\x08contents\x12\x40"
"""Protocol buffers may be appended to: one more entry of the metadata, whose value is the hash of all before."""


def onnx_file(checkpoint: Path) -> Path:
    """Return where the ONNX twin of a checkpoint is."""
    return checkpoint.with_suffix(".onnx")


def describe(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the metadata of the twin: whose it is, and the mel filters that its input is made with."""
    filters = np.ascontiguousarray(mel_filters(checkpoint.settings.features), dtype="<f4")
    return {
        "checkpoint": file_sha256(checkpoint.path),
        "settings": _settings(checkpoint),
        "mel_filters": base64.b64encode(zlib.compress(filters.tobytes(), 9)).decode("ascii"),
    }


def _settings(checkpoint: Checkpoint) -> str:
    """Return what the network's input and output depend on."""
    return json.dumps([to_dict(checkpoint.settings.features), to_dict(checkpoint.settings.window), CLASS_NAMES])


def seal(content: bytes) -> bytes:
    """Append the hash by which a damaged file is known, without an ONNX library."""
    return content + SEAL + hashlib.sha256(content).hexdigest().encode("ascii")


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
    """Runs the ONNX twin of a checkpoint; several threads may use one.

    Parameters
    ----------
    checkpoint : Checkpoint
        Whose answers are wanted.
    path : Path, optional
        The twin, where it is not beside the checkpoint.

    Attributes
    ----------
    mel_filters : ndarray of float32, shape (mel_bands, bins)
        What the spectrogram has to be made with.

    Raises
    ------
    ExportError
        If there is no such file, or it is damaged, of another checkpoint, holds what no network here needs, or cannot
        be run, or answers what no network here does.
    """

    name = "onnx"

    def __init__(self, checkpoint: Checkpoint, path: Path | None = None):
        path = path or onnx_file(checkpoint.path)
        try:
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise ExportError(f"{path} cannot be read ({error.strerror})") from error
        if len(content) > MOST_BYTES:
            raise ExportError(f"{path} has more than {MOST_BYTES >> 20} MiB, more than any network here")
        if content != seal(content[: -len(SEAL) - DIGEST_CHARACTERS]):
            raise ExportError(f"{path} is damaged or cut short")
        # Before onnxruntime sees it: loading a network calculates what it can of it.
        try:
            about, reason = onnx_metadata(content), suspicious_graph(content)
        except ValueError as error:
            raise ExportError(f"{path} is no ONNX file") from error
        if about.get("checkpoint") != file_sha256(checkpoint.path):
            raise ExportError(f"{path} belongs to another checkpoint")
        if about.get("settings") != _settings(checkpoint):
            raise ExportError(f"{path} was made with other settings")
        if reason:
            raise ExportError(f"{path} is refused because {reason}")
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
            raise ExportError(f"{path} cannot be run by onnxruntime ({in_short(error)})") from error
        self.mel_filters = _filters(about, checkpoint, path)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._path, self._settings = path, checkpoint.settings
        window, features = checkpoint.settings.window, checkpoint.settings.features
        self.predict(np.zeros((1, window.frames, features.mel_bands), dtype=np.float32))  # while Keras may still judge

    def predict(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        """From network inputs, shape (windows, frames, mel_bands), to the outputs by name; same errors."""
        try:
            answers = dict(zip(self._outputs, self._session.run(None, {"input": windows}), strict=True))
        except Exception as error:
            raise ExportError(f"{self._path} cannot be run by onnxruntime ({in_short(error)})") from error
        if reason := suspicious_answers(answers, len(windows), self._settings):
            raise ExportError(f"{self._path} cannot be used because {reason}")
        return answers


def _filters(about: dict[str, str], checkpoint: Checkpoint, path: Path) -> np.ndarray:
    features = checkpoint.settings.features
    shape = features.mel_bands, features.fft_samples // 2 + 1
    try:
        packed = base64.b64decode(about["mel_filters"])
        # No more than is wanted, whatever it unpacks to.
        filters = np.frombuffer(zlib.decompressobj().decompress(packed, 4 * math.prod(shape)), dtype="<f4")
        filters = filters.reshape(shape).astype(np.float32)
    except (KeyError, ValueError, zlib.error) as error:
        raise ExportError(f"{path} lacks its mel filters") from error
    if not np.isfinite(filters).all():
        raise ExportError(f"{path} has mel filters that are not numbers")
    return filters


class KerasEngine:
    """Runs the checkpoint itself; several threads may use one.

    Parameters
    ----------
    checkpoint : Checkpoint
        Whose answers are wanted.

    Attributes
    ----------
    network : keras.Model
        The network.

    Raises
    ------
    CheckpointError
        If it cannot be loaded, or answers what no network here does.
    """

    name = "keras"

    def __init__(self, checkpoint: Checkpoint):
        self._checkpoint, self.network = checkpoint, checkpoint.network()
        self._turn = threading.Lock()
        self.mel_filters = mel_filters(checkpoint.settings.features)

    def predict(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        """From network inputs, shape (windows, frames, mel_bands), to the outputs by name; same error."""
        # Keras promises nothing about two threads in one network; each batch keeps all cores busy anyway.
        with self._turn:
            answers = self.network.predict_on_batch(windows)
        if reason := suspicious_answers(answers, len(windows), self._checkpoint.settings):
            raise CheckpointError(f"{self._checkpoint.path} cannot be used because {reason}; use another checkpoint.")
        return answers


def load_engine(checkpoint: Checkpoint, wanted: str = ENGINES[0]) -> OnnxEngine | KerasEngine:
    """Load a network the wanted way; without a fitting ONNX file, that is said and Keras does it.

    Parameters
    ----------
    checkpoint : Checkpoint
        Whose answers are wanted.
    wanted : str
        One of ``ENGINES``.

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
