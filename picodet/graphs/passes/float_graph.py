"""Graphs in half precision or with quantization -> the network in floats that they were made of.

Fake quantization, of training aware of it and of observers, rounds values that stay floats: it is
left out. A weight that is stored as integers becomes integer times scale, which is what the file
computes with. Graphs that have neither stay as they are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from picodet.errors import GraphError
from picodet.graphs.graph import Graph, Node

FAKE_QUANTIZATION, QUANTIZE, DEQUANTIZE = "fake_quantization", "quantize", "dequantize"
OUTPUT_DEQUANTIZATION = "output_dequantization"
QUANTIZATION = {FAKE_QUANTIZATION, QUANTIZE, DEQUANTIZE, OUTPUT_DEQUANTIZATION}
# of paddle/static/quantization, of onnxruntime and of torch.onnx
SCALE = re.compile(r"scale|zero_?point|quant|\.(state|accum)(_|$)", re.IGNORECASE)
MAX_INTEGER = 127.0  # of 8 bits
INTEGER_KINDS = ("qlinearconv", "convinteger", "qlinearmatmul", "matmulinteger")


@dataclass(frozen=True)
class FloatGraph:
    """A graph in floats, and notes on what was left out of the file's."""

    graph: Graph
    notes: tuple[str, ...] = ()
    scales: tuple[str, ...] = ()  # constants of the quantization, which is left out


def to_float(graph: Graph) -> FloatGraph:
    """The graph without quantization and without casts between float16 and float32.

    Raises GraphError for convolutions of integers, and for integers without a usable scale.
    """
    kinds = [node.kind for node in graph.nodes]
    for node in graph.nodes:
        if node.kind in INTEGER_KINDS:
            raise GraphError(
                f"{node.kind} {node.name} computes with integers; expected floats, or integers "
                "between QuantizeLinear and DequantizeLinear: convert what it was quantized from"
            )
    quantized = QUANTIZATION & set(kinds)
    is_half = any(array.dtype == np.float16 for array in graph.constants.values())
    if not quantized and not is_half:
        return FloatGraph(graph)
    removed = QUANTIZATION | ({"cast"} if is_half else set())
    constants, nodes, restored = dict(graph.constants), [], 0
    producers, known = graph.producers(), set[str]()
    for node in graph.nodes:
        stored = constants.get(node.inputs[0]) if node.inputs else None
        if node.kind == DEQUANTIZE and stored is not None:
            constants[node.name] = _dequantized(node, graph.constants)
            restored += 1
        elif node.kind == OUTPUT_DEQUANTIZATION:
            nodes.append(Node("identity", node.inputs[:1], node.outputs[:1]))
            restored += _restore_weight(node, producers.get(node.inputs[0]), constants)
        elif node.kind in removed:
            if node.kind in QUANTIZATION and node.outputs[0] in known:
                continue  # Paddle quantizes a tensor again for each operator that takes it
            known.add(node.outputs[0])
            kind = "relu" if _is_relu(node, producers, constants) else "identity"
            nodes.append(Node(kind, node.inputs[:1], node.outputs[:1]))
        else:
            nodes.append(node)
    notes = []
    count = kinds.count(FAKE_QUANTIZATION) + kinds.count(QUANTIZE)
    if count:
        notes.append(f"{count} operators that quantize are left out: the model computes in floats")
    if restored:
        notes.append(
            f"{restored} weights are stored as integers: converted as integer times scale, which "
            "is what the file computes with; the floats they were rounded from are not in it"
        )
    scales = tuple(name for name in graph.constants if quantized and SCALE.search(name))
    changed = replace(graph, nodes=tuple(nodes), constants=constants)
    return FloatGraph(changed, tuple(notes), scales)


def _is_relu(
    node: Node, producers: Mapping[str, Node], constants: Mapping[str, np.ndarray]
) -> bool:
    """Whether a quantizer after a convolution has no negative numbers.

    onnxruntime takes a ReLU out of a graph whose quantizer does the same
    (onnxruntime/python/tools/quantization/operators/activation.py).
    """
    before = producers.get(node.inputs[0])
    zero = constants.get(node.inputs[2]) if len(node.inputs) > 2 else None
    if node.kind != QUANTIZE or before is None or before.kind != "conv" or zero is None:
        return False
    return zero.dtype.kind in "iu" and bool((zero == np.iinfo(zero.dtype).min).all())


def _restore_weight(node: Node, conv: Node | None, constants: dict[str, np.ndarray]) -> bool:
    """Turn the weight of a convolution of integers, which are stored as floats, into what it was.

    Source: paddle/static/quantization/quantization_pass.py, QuantizationFreezePass. The scales are
    those of the channels and of the input; for one scale of all channels, max_range holds it.
    """
    name = conv.weights.get("weight", "") if conv is not None and conv.kind == "conv" else ""
    weight = constants.get(name)
    if weight is None or weight.dtype.kind != "f":
        return False
    if not np.array_equal(weight, np.round(weight)) or not 1 < np.abs(weight).max() <= MAX_INTEGER:
        return False  # it is quantized in the graph, from the floats
    if "max_range" in node.settings:
        scale = np.array([MAX_INTEGER**2 / node.settings["max_range"]], np.float32)
    else:
        scale = constants.get(node.inputs[1], np.empty(0, np.float32)).ravel()
    if scale.size not in (1, len(weight)) or not np.isfinite(scale).all():
        raise GraphError(
            f"{node.name}: the convolution before it has {len(weight)} channels of integers, and "
            f"scales of the shape {list(scale.shape)}; expected one number, or one for each"
        )
    shape = (scale.size, *[1] * (weight.ndim - 1))
    constants[name] = weight * (scale / np.float32(MAX_INTEGER)).reshape(shape)
    return True


def _dequantized(node: Node, constants: Mapping[str, np.ndarray]) -> np.ndarray:
    """Integers times scale, in float32; a scale of several values belongs to `axis`.

    Paddle's scale is of the largest integer, ONNX's of 1. Paddle may store integers as floats.
    """
    integers = constants[node.inputs[0]]
    if not np.array_equal(integers, np.round(integers)):
        raise GraphError(f"{node.inputs[0]}: expected integers to dequantize, found fractions")
    scale, zero = (constants.get(name) for name in (*node.inputs[1:3], "", "")[:2])
    axis = int(node.settings.get("axis", 0))
    if axis < 0:
        axis += max(integers.ndim, 1)
    shape = [1] * integers.ndim
    if scale is not None and scale.size > 1 and axis < integers.ndim:
        shape[axis] = scale.size
    if (
        scale is None
        or not np.isfinite(scale).all()
        or (scale.size > 1 and (axis >= integers.ndim or integers.shape[axis] != scale.size))
        or (zero is not None and zero.size not in (1, scale.size))
    ):
        found = "none" if scale is None else f"{list(scale.shape)} at axis {axis}"
        raise GraphError(
            f"the integers {node.inputs[0]} of shape {list(integers.shape)} have the scale "
            f"{found}; expected one number, or one for each of their channels"
        )
    values = integers.astype(np.float32)
    if zero is not None:
        values -= zero.astype(np.float32).reshape(shape if zero.size > 1 else 1)
    levels = node.settings.get("levels", 1.0)
    return values * (scale.astype(np.float32) / np.float32(levels)).reshape(shape)
