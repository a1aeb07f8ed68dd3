"""The network of a checkpoint as ONNX, a member of its file: judging then needs no TensorFlow.

It is only kept if it was run and gave the answers that Keras gives.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import console
from ..errors import DeepfakeAudioError, ExportError
from ..features.windows import input_shape
from ..files import atomic_path
from ..text import clean
from .checkpoint import ONNX_MEMBER, Checkpoint, copy_with, read_checkpoint
from .engines import OnnxEngine

OPSET = 17
IR_VERSION = 8
"""Both old enough for every onnxruntime that requirements.txt allows."""

TOLERANCE = 1e-5
"""Largest difference between two engines' probabilities."""

PROBE_WINDOWS = 5


def export_checkpoint(checkpoint: Checkpoint) -> None:
    """Write the network of a checkpoint as ONNX into its file.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be loaded.
    ExportError
        If the network has a layer that is not known here, or the exported network answers differently.
    """
    network = checkpoint.network()
    shape = PROBE_WINDOWS, *input_shape(checkpoint.settings)
    probe = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    with atomic_path(checkpoint.path) as temporary:
        copy_with(checkpoint.path, temporary, {ONNX_MEMBER: to_onnx(network)})
        found = OnnxEngine(read_checkpoint(temporary)).predict(probe)
        expected = network.predict_on_batch(probe)
        apart = max(float(np.abs(found[name] - expected[name]).max()) for name in expected)
        if not apart <= TOLERANCE:
            raise ExportError(f"{checkpoint.path}: the ONNX answers differ from those of Keras by {apart:.1e}.")


def try_export(checkpoint: Checkpoint) -> None:
    """:func:`export_checkpoint` at the end of a training: what goes wrong is told, and the training stands."""
    try:
        export_checkpoint(checkpoint)
    except (DeepfakeAudioError, ImportError) as error:
        console.say(f"warning: no network for onnxruntime ({clean(error)}); the checkpoint is judged with Keras.")


def to_onnx(network) -> bytes:
    """Translate a functional Keras network layer by layer.

    Inside, images are channels first, as ONNX wants them; inputs, sequences and vectors are as in Keras.

    Parameters
    ----------
    network : keras.Model
        Of the layers in ``TRANSLATIONS``; its outputs have names.
    """
    from onnx import TensorProto, checker, helper

    graph = _Graph()
    names = {id(network.inputs[0]): "input"}
    for layer in network.operations:
        kind = type(layer).__name__
        if kind == "InputLayer":
            continue
        if kind not in TRANSLATIONS:
            raise ExportError(f"The layer {layer.name} ({kind}) has no translation into ONNX.")
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        names[id(layer.output)] = TRANSLATIONS[kind](graph, layer, *(names[id(tensor)] for tensor in inputs))
    outputs = {name: graph.add("Identity", names[id(tensor)], output=name) for name, tensor in network.output.items()}

    def value(name: str, tensor):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["windows", *tensor.shape[1:]])

    made = helper.make_graph(
        graph.nodes,
        network.name,
        [value("input", network.inputs[0])],
        [value(name, network.output[name]) for name in outputs],
        graph.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    checker.check_model(model)
    return model.SerializeToString()


class _Graph:
    """Nodes and constants, with names that count up."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes) -> str:
        """Append a node with one output and return the output's name."""
        from onnx import helper

        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, values) -> str:
        """Append a constant, whole numbers or weights, and return its name."""
        from onnx import numpy_helper

        values = np.asarray(values)
        values = values.astype(np.int64 if values.dtype.kind == "i" else np.float32)
        self.constants.append(numpy_helper.from_array(values, f"constant_{len(self.constants)}"))
        return self.constants[-1].name

    def reshape(self, tensor: str, *shape: int) -> str:
        """Give a batch another shape; the batch itself comes first and stays."""
        return self.add("Reshape", tensor, self.constant([0, *shape]))

    def activate(self, tensor: str, function) -> str:
        """Append what a Keras activation function does."""
        kinds = {"linear": None, "relu": "Relu", "sigmoid": "Sigmoid", "softmax": "Softmax", "tanh": "Tanh"}
        if function.__name__ not in kinds:
            raise ExportError(f"The activation {function.__name__} has no translation into ONNX.")
        kind = kinds[function.__name__]
        return self.add(kind, tensor) if kind else tensor


def _is_image(tensor) -> bool:
    return len(tensor.shape) == 4


def _reshape(graph: _Graph, layer, tensor: str) -> str:
    if _is_image(layer.input):
        tensor = graph.add("Transpose", tensor, perm=[0, 2, 3, 1])
    tensor = graph.reshape(tensor, *layer.output.shape[1:])
    return graph.add("Transpose", tensor, perm=[0, 3, 1, 2]) if _is_image(layer.output) else tensor


def _convolution(graph: _Graph, layer, tensor: str) -> str:
    kernel, *bias = layer.get_weights()
    constants = [graph.constant(kernel.transpose(3, 2, 0, 1)), *map(graph.constant, bias)]
    # SAME_UPPER is where TensorFlow puts the odd row of zeros.
    padding = {"same": "SAME_UPPER", "valid": "VALID"}[layer.padding]
    tensor = graph.add("Conv", tensor, *constants, strides=list(layer.strides), auto_pad=padding)
    return graph.activate(tensor, layer.activation)


def _normalise_batch(graph: _Graph, layer, tensor: str) -> str:
    weights = layer.get_weights()  # gamma, beta, mean, variance
    if _is_image(layer.input):  # onnxruntime makes it a part of the convolution before
        return graph.add("BatchNormalization", tensor, *map(graph.constant, weights), epsilon=layer.epsilon)
    gamma, beta, mean, variance = (values.astype(np.float64) for values in weights)
    scale = gamma / np.sqrt(variance + layer.epsilon)
    tensor = graph.add("Mul", tensor, graph.constant(scale))
    return graph.add("Add", tensor, graph.constant(beta - mean * scale))


def _normalise_layer(graph: _Graph, layer, tensor: str) -> str:
    return graph.add("LayerNormalization", tensor, *map(graph.constant, layer.get_weights()), epsilon=layer.epsilon)


def _dense(graph: _Graph, layer, tensor: str) -> str:
    kernel, *bias = layer.get_weights()
    tensor = graph.add("MatMul", tensor, graph.constant(kernel))
    for values in bias:
        tensor = graph.add("Add", tensor, graph.constant(values))
    return graph.activate(tensor, layer.activation)


def _pool_image(graph: _Graph, layer, tensor: str) -> str:
    padding = {"same": "SAME_UPPER", "valid": "VALID"}[layer.padding]
    size, strides = list(layer.pool_size), list(layer.strides)
    return graph.add("MaxPool", tensor, kernel_shape=size, strides=strides, auto_pad=padding)


def _average(graph: _Graph, layer, tensor: str) -> str:
    padding = {"same": "SAME_UPPER", "valid": "VALID"}[layer.padding]
    size, strides = list(layer.pool_size), list(layer.strides)
    tensor = graph.add("Transpose", tensor, perm=[0, 2, 1])
    tensor = graph.add("AveragePool", tensor, kernel_shape=size, strides=strides, auto_pad=padding)
    return graph.add("Transpose", tensor, perm=[0, 2, 1])


def _repeat(graph: _Graph, layer, tensor: str) -> str:
    steps, units = layer.input.shape[1:]
    copies = graph.add("Concat", *[graph.reshape(tensor, steps, 1, units)] * layer.size, axis=2)
    return graph.reshape(copies, *layer.output.shape[1:])


def _both_directions(graph: _Graph, layer, tensor: str) -> str:
    kinds = {"SimpleRNN": ("RNN", [0], ["Tanh"]), "LSTM": ("LSTM", [0, 3, 1, 2], ["Sigmoid", "Tanh", "Tanh"])}
    forward, backward = layer.forward_layer, layer.backward_layer
    if type(forward).__name__ not in kinds:
        raise ExportError(f"The layer {layer.name} ({type(forward).__name__}) has no translation into ONNX.")
    kind, gates, activations = kinds[type(forward).__name__]  # Keras orders gates i f c o, ONNX i o f c

    def ordered(values: np.ndarray) -> np.ndarray:
        parts = np.split(values, len(gates), axis=-1)
        return np.concatenate([parts[gate] for gate in gates], axis=-1).T

    weights = [[ordered(values) for values in one.get_weights()] for one in (forward, backward)]
    kernel, recurrent, bias = (np.stack(pair) for pair in zip(*weights, strict=True))
    constants = [graph.constant(v) for v in (kernel, recurrent, np.concatenate([bias, np.zeros_like(bias)], axis=1))]
    tensor = graph.add("Transpose", tensor, perm=[1, 0, 2])  # time first
    tensor = graph.add(
        kind, tensor, *constants, hidden_size=forward.units, direction="bidirectional", activations=activations * 2
    )
    tensor = graph.add("Transpose", tensor, perm=[2, 0, 1, 3])  # from time, direction, window, unit
    return graph.reshape(tensor, *layer.output.shape[1:])


TRANSLATIONS: dict[str, Callable[..., str]] = {
    "Reshape": _reshape,
    "Conv2D": _convolution,
    "BatchNormalization": _normalise_batch,
    "LayerNormalization": _normalise_layer,
    "Activation": lambda graph, layer, tensor: graph.activate(tensor, layer.activation),
    "Dense": _dense,
    "MaxPooling2D": _pool_image,
    "AveragePooling1D": _average,
    "UpSampling1D": _repeat,
    "GlobalAveragePooling1D": lambda graph, layer, tensor: graph.add("ReduceMean", tensor, axes=[1], keepdims=0),
    "GlobalMaxPooling1D": lambda graph, layer, tensor: graph.add("ReduceMax", tensor, axes=[1], keepdims=0),
    "Concatenate": lambda graph, layer, *tensors: graph.add("Concat", *tensors, axis=-1),
    "Bidirectional": _both_directions,
    "Dropout": lambda graph, layer, tensor: tensor,
    "SpatialDropout1D": lambda graph, layer, tensor: tensor,
    "SpatialDropout2D": lambda graph, layer, tensor: tensor,
}
"""From the name of a stock layer to what appends its nodes. A wrong one is noticed when the file is run."""
