"""What a checkpoint from somebody else must not hold: it is looked through before anything in it is used.

Of the Keras archive only weights are used, in a network that is built here; its description of a network, from which
Keras would import and run whatever is named there, is not read. Weights are an HDF5 file, which may point to other
files. An ONNX file may hold loops, functions, operators of libraries and weights in other files, and onnxruntime
calculates what it can while it loads one: so its protocol buffers are read here first, and only what export.py writes
is let through.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..settings import MOST_STEPS, Settings

MOST_BYTES = 2**28
"""Unpacked, all members together: room for ``MOST_UNITS`` in every layer, twice, where the default network has a
hundredth of it."""

MOST_BYTES_OF = {".json": 2**20, ".txt": 2**24}
"""By suffix: what is read as a whole. A list of clips seen in training has 13 bytes for each."""

# fmt: off
OPERATORS = frozenset({
    b"Add", b"AveragePool", b"BatchNormalization", b"Concat", b"Conv", b"Identity", b"LSTM", b"LayerNormalization",
    b"MatMul", b"MaxPool", b"Mul", b"RNN", b"ReduceMax", b"ReduceMean", b"Relu", b"Reshape", b"Sigmoid", b"Softmax",
    b"Tanh", b"Transpose",
})
# fmt: on
"""What :mod:`deepfake_audio.model.export` translates into: ONNX's own, none of which loops or reads a file."""

MOST_CONVOLUTIONS = 16
MOST_VALUES = 2**25
"""Of a window, times the filters of its widest convolution: memory is needed for the values of many windows at once."""
MOST_TIMELINE_SECONDS = 0.5
"""Pauses and segments are told in timeline frames."""
RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""What MP3 knows, in which a page keeps recordings."""


def suspicious_members(archive: zipfile.ZipFile) -> str:
    """Say what is wrong with the members of a checkpoint; nothing is unpacked. Empty if they are in order."""
    members = archive.infolist()
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # unpacked without a bound
            return f"its member {member.filename} is packed in a way that is not used here"
        most = MOST_BYTES_OF.get(PurePosixPath(member.filename).suffix, MOST_BYTES)
        if member.file_size > most:
            return f"its member {member.filename} unpacks to more than {most >> 20} MiB"
    if (size := sum(member.file_size for member in members)) > MOST_BYTES:
        return f"it unpacks to {size >> 20} MiB, more than any network here"
    return ""


def suspicious_settings(settings: Settings) -> str:
    """Say what is wrong with settings, each of which is within its own bounds; empty if they are in order."""
    window, network = settings.window, settings.network
    values = window.frames * settings.features.mel_bands * max(1, *network.convolution_filters, network.texture_filters)
    if len(network.convolution_filters) > MOST_CONVOLUTIONS or window.steps > MOST_STEPS or values > MOST_VALUES:
        return "its settings ask for a larger network than any here"
    if settings.features.sample_rate not in RATES_HZ:
        return f"it hears at {settings.features.sample_rate} Hz, which is none of the usual rates"
    if settings.label_seconds > MOST_TIMELINE_SECONDS:
        return f"its timeline frames have {settings.label_seconds:g} s, and {MOST_TIMELINE_SECONDS:g} s is the most"
    return ""


def suspicious_weights(path: Path) -> str:
    """Say what is wrong with an HDF5 file of weights; none of them is read.

    Raises
    ------
    OSError, RuntimeError
        If it is none.
    """
    import h5py

    def not_inside(name: str, part: h5py.Group | h5py.Dataset) -> str | None:
        # Where nothing is packed and nothing left out, no more is read than the file has.
        if isinstance(part, h5py.Dataset) and (
            part.chunks
            or part.external
            or part.is_virtual
            or part.dtype.kind not in "fiu"
            or part.id.get_storage_size() < part.nbytes
        ):
            return f"its weights {name} are not in the file as they are"
        return None

    def elsewhere(name: str, link: h5py.HardLink | h5py.SoftLink | h5py.ExternalLink) -> str | None:
        return None if isinstance(link, h5py.HardLink) else f"its weights {name} point somewhere else"

    with h5py.File(path, "r") as file:
        return file.visititems_links(elsewhere) or file.visititems(not_inside) or ""


# ONNX: the numbers are those of the fields in onnx.proto.
MODEL_GRAPH, MODEL_TRAINING, MODEL_FUNCTIONS = 7, 20, 25
GRAPH_NODE, GRAPH_WEIGHTS, GRAPH_SPARSE_WEIGHTS = 1, 5, 15
NODE_OPERATOR, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
PLAIN_ATTRIBUTE = frozenset({1, 2, 3, 4, 7, 8, 9, 13, 20})
"""Name, number, text, lists of both, documentation, type: no tensor, and no graph to be run in a loop or a branch."""
WEIGHTS_ELSEWHERE = 13

MOST_FIELDS = 2**12
"""In a file and in its graph; with ``FEW_FIELDS`` in all that is inside, reading stays a matter of milliseconds."""
FEW_FIELDS = 2**6


def suspicious_graph(content: bytes) -> str:
    """Say what is wrong with an ONNX file, which no ONNX library has seen yet; empty if it is in order.

    Raises
    ------
    ValueError
        If it is no ONNX file.
    """
    graphs = 0
    for number, part in _fields(content, MOST_FIELDS):
        graphs += number == MODEL_GRAPH
        if number in (MODEL_TRAINING, MODEL_FUNCTIONS) or graphs > 1:
            return "it holds functions of its own"
        for kind, piece in _fields(part, MOST_FIELDS) if number == MODEL_GRAPH else ():
            if kind == GRAPH_SPARSE_WEIGHTS or (kind == GRAPH_WEIGHTS and WEIGHTS_ELSEWHERE in dict(_fields(piece))):
                return "its weights are not in the file"
            if kind == GRAPH_NODE and (reason := _suspicious_node(piece)):
                return reason
    return ""


def _suspicious_node(node: memoryview) -> str:
    named = {number: bytes(value) for number, value in _fields(node) if number in (NODE_OPERATOR, NODE_DOMAIN)}
    operator, domain = named.get(NODE_OPERATOR, b""), named.get(NODE_DOMAIN, b"")
    if domain or operator not in OPERATORS:
        called = b".".join(filter(None, (domain, operator)))[:80].decode(errors="replace")
        return f"it wants to run {called}, which is no operator used here"
    for number, value in _fields(node):
        if number == NODE_ATTRIBUTE and not PLAIN_ATTRIBUTE.issuperset(dict(_fields(value))):
            return f"its {operator.decode()} holds more than numbers and names"
    return ""


def _fields(message: bytes | memoryview, most: int = FEW_FIELDS) -> Iterator[tuple[int, memoryview]]:
    """Yield the fields of a protocol buffer, as number and content; of those that hold a number, without it.

    More than `most` are none of ours.

    The wire format: https://protobuf.dev/programming-guides/encoding
    """
    message, at, left = memoryview(message), 0, most

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise ValueError("no protocol buffer")

    try:
        while at < len(message):
            number, kind = divmod(varint(), 8)
            left -= 1
            if left < 0:
                raise ValueError("too many fields")
            if kind == 0:
                varint()
                yield number, message[:0]
                continue
            if kind not in (1, 2, 5):
                raise ValueError("no protocol buffer")
            size = varint() if kind == 2 else {1: 8, 5: 4}[kind]
            if size > len(message) - at:
                raise ValueError("no protocol buffer")
            at += size
            yield number, message[at - size : at] if kind == 2 else message[:0]
    except IndexError as error:
        raise ValueError("no protocol buffer") from error
