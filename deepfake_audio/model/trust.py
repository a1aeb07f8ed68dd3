"""What a checkpoint from somebody else must not hold: it is looked through before anything in it is used.

A Keras archive describes its network as JSON, from which Keras would import and run whatever is named there; its
weights are an HDF5 file, which may point to other files. So only the layers that this project uses are let through.
An ONNX file may hold loops, functions, operators of libraries and weights in other files, and onnxruntime calculates
what it can while it loads one: so its protocol buffers are read here first, and only what export.py writes is let
through.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..errors import in_short
from ..settings import MOST_STEPS, MOST_UNITS, Settings

MOST_BYTES = 2**27
"""Unpacked, all members together, and all weights together: room for ``MOST_UNITS`` in every layer, where the default
network has a hundredth of it."""

MOST_MEMBERS = 32
MOST_BYTES_OF = {".json": 2**20, ".txt": 2**24}
"""By suffix: what is read as a whole. A list of clips seen in training has 13 bytes for each."""

MOST_PARTS = 2**10
"""Groups and arrays of weights; the default network has a tenth of it."""

NETWORK_MEMBER = "config.json"
WEIGHTS_MEMBER = "model.weights.h5"

ENCRYPTED = 1
"""Bit of a member's flags."""

PLAIN_NAME = re.compile(r"\w[\w.-]*", re.ASCII)

# fmt: off
LAYERS = frozenset({
    "Activation", "AveragePooling1D", "BatchNormalization", "Bidirectional", "Concatenate", "Conv2D", "Dense",
    "Dropout", "Functional", "GlobalAveragePooling1D", "GlobalMaxPooling1D", "InputLayer", "LSTM", "LayerNormalization",
    "MaxPooling2D", "Reshape", "Sequential", "SimpleRNN", "SpatialDropout2D",
})
# fmt: on
"""What :mod:`deepfake_audio.model.network` builds from; nothing in them runs code of the file."""

PARTS = frozenset(["__keras_tensor__", "DTypePolicy", "GlorotUniform", "Ones", "Orthogonal", "Zeros"])
"""What Keras notes beside them."""

# fmt: off
OPERATORS = frozenset({
    b"Add", b"AveragePool", b"BatchNormalization", b"Concat", b"Conv", b"Identity", b"LSTM", b"LayerNormalization",
    b"MatMul", b"MaxPool", b"Mul", b"RNN", b"ReduceMax", b"ReduceMean", b"Relu", b"Reshape", b"Sigmoid", b"Softmax",
    b"Tanh", b"Transpose",
})
# fmt: on
"""What :mod:`deepfake_audio.model.export` translates into: ONNX's own, none of which loops or reads a file."""

MOST_NODES = 512

LARGEST = {"units": MOST_UNITS, "filters": MOST_UNITS, "kernel_size": 32, "pool_size": MOST_STEPS}
"""A network is built before its weights are read: what is larger than these is not one of ours."""

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
        if not PLAIN_NAME.fullmatch(member.filename):
            return f"its member {member.filename!r} leads out of the file"
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & ENCRYPTED:
            return f"its member {member.filename} is encrypted, or packed in a way that is not used here"
        most = MOST_BYTES_OF.get(PurePosixPath(member.filename).suffix, MOST_BYTES)
        if member.file_size > most:
            return f"its member {member.filename} unpacks to more than {most >> 20} MiB"
    if len({member.filename for member in members}) < len(members):
        return "it holds two members of the same name"
    size = sum(member.file_size for member in members)
    if len(members) > MOST_MEMBERS or size > MOST_BYTES:
        return f"it unpacks to {len(members)} members of {size >> 20} MiB, more than any network here"
    return ""


def suspicious_network(archive: zipfile.ZipFile) -> str:
    """Say what is wrong with the network that an archive describes; Keras is not asked.

    Raises
    ------
    ValueError, KeyError, RecursionError
        If it does not describe any.
    """
    for part in _parts(json.loads(archive.read(NETWORK_MEMBER))):
        name = part.get("class_name", "")
        module = part.get("module") or "keras"
        called = in_short(f"{module}.{name}", 80)
        if "class_name" in part and name not in LAYERS | PARTS:
            return f"it wants to run {called}, which is none of the layers used here"
        if module.split(".")[0] != "keras" or part.get("registered_name") not in (None, name):
            return f"it wants to run {called}, which is not part of Keras"
        for key, most in LARGEST.items():
            values = part.get(key, 0)
            for value in values if isinstance(values, list) else [values]:
                if not isinstance(value, int) or value > most:
                    return f"a layer has {key} of {in_short(value, 80)}, and {most} is the most used here"
    return ""


def described_shapes(archive: zipfile.ZipFile) -> dict[str, object]:
    """Return what an archive says of the shapes of input and outputs, by the names of their layers; same errors."""
    layers = json.loads(archive.read(NETWORK_MEMBER))["config"]["layers"]
    sizes = ("batch_shape", "target_shape", "units")
    return {
        layer["config"]["name"]: next(layer["config"][size] for size in sizes if size in layer["config"])
        for layer in layers
        if layer["config"].get("name") in ("log_mel", "verdict", "timeline", "boundaries")
    }


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


def _parts(node: object) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
    if isinstance(node, (dict, list)):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _parts(child)


def suspicious_weights(path: str | Path) -> str:
    """Say what is wrong with an HDF5 file of weights; none of them is read.

    Raises
    ------
    OSError, KeyError, RuntimeError
        If it is none.
    """
    import h5py

    def look(group: h5py.Group) -> Iterator[str]:
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                yield f"its weights {name} point somewhere else"
            part = group[name]
            address = h5py.h5o.get_info(part.id).addr
            if address in seen:  # twice as many ways to it, and again for each part that is
                yield f"its weights {name} are in it twice"
            seen.add(address)
            if len(seen) > MOST_PARTS:
                yield f"its weights have more than {MOST_PARTS} parts, more than any network here"
            if isinstance(part, h5py.Group):
                yield from look(part)
                continue
            # A piece is unpacked as a whole, however little of it is wanted.
            sizes.append(max(part.nbytes, math.prod(part.chunks or ()) * part.dtype.itemsize))
            if part.external or part.is_virtual or part.dtype.kind not in "fiu":
                yield f"its weights {name} are not in the file"
            if sum(sizes) > MOST_BYTES:
                yield f"its weights take more than {MOST_BYTES >> 20} MiB, more than any network here"

    sizes: list[int] = []
    with h5py.File(path, "r") as file:
        seen = {h5py.h5o.get_info(file["/"].id).addr}
        return next(look(file), "")


# ONNX: the numbers are those of the fields in onnx.proto.
MODEL_GRAPH, MODEL_METADATA, MODEL_TRAINING, MODEL_FUNCTIONS = 7, 14, 20, 25
GRAPH_NODE, GRAPH_WEIGHTS, GRAPH_SPARSE_WEIGHTS = 1, 5, 15
NODE_OPERATOR, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
PLAIN_ATTRIBUTE = frozenset({1, 2, 3, 4, 7, 8, 9, 13, 20})
"""Name, number, text, lists of both, documentation, type: no tensor, and no graph to be run in a loop or a branch."""
WEIGHTS_ELSEWHERE = 13

MOST_FIELDS = 2**12
"""In a file and in its graph; with ``FEW_FIELDS`` in all that is inside, reading stays a matter of milliseconds."""
FEW_FIELDS = 2**6


def onnx_metadata(content: bytes) -> dict[str, str]:
    """Return what an ONNX file says of itself, without an ONNX library.

    Raises
    ------
    ValueError
        If it is no ONNX file.
    """
    pairs = (dict(_fields(part)) for number, part in _fields(content, MOST_FIELDS) if number == MODEL_METADATA)
    return {bytes(pair.get(1, b"")).decode(): bytes(pair.get(2, b"")).decode() for pair in pairs}


def suspicious_graph(content: bytes) -> str:
    """Say what is wrong with an ONNX file, which no ONNX library has seen yet; empty if it is in order.

    Raises
    ------
    ValueError
        If it is no ONNX file.
    """
    graphs = nodes = 0
    for number, part in _fields(content, MOST_FIELDS):
        graphs += number == MODEL_GRAPH
        if number in (MODEL_TRAINING, MODEL_FUNCTIONS) or graphs > 1:
            return "it holds functions of its own"
        for kind, piece in _fields(part, MOST_FIELDS) if number == MODEL_GRAPH else ():
            if kind == GRAPH_SPARSE_WEIGHTS or (kind == GRAPH_WEIGHTS and WEIGHTS_ELSEWHERE in dict(_fields(piece))):
                return "its weights are not in the file"
            nodes += kind == GRAPH_NODE
            if nodes > MOST_NODES:
                return f"it has more than {MOST_NODES} nodes, more than any network here"
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
