"""Reads an ONNX file as a graph."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from onnx.checker import ValidationError

from picodet.errors import GraphError
from picodet.graphs.graph import Graph, Node


class Spelling(NamedTuple):
    """At which positions an operator takes what is of interest."""

    kind: str
    inputs: tuple[int, ...] | None = (0,)  # None for all
    weights: Mapping[str, int] = {}  # by role


SPELLINGS = {
    "Conv": Spelling("conv", weights={"weight": 1, "bias": 2}),
    "BatchNormalization": Spelling(
        "batch_norm", weights={"weight": 1, "bias": 2, "running_mean": 3, "running_var": 4}
    ),
    "HardSwish": Spelling("hardswish"),
    "Relu": Spelling("relu"),
    "HardSigmoid": Spelling("hardsigmoid"),
    "Sigmoid": Spelling("sigmoid"),
    "Softmax": Spelling("softmax"),
    "Add": Spelling("add", None),
    "Mul": Spelling("mul", None),
    "Div": Spelling("div", None),
    "MatMul": Spelling("matmul", None),
    "Concat": Spelling("concat", None),
    "Split": Spelling("split"),
    "MaxPool": Spelling("max_pool"),
    "GlobalAveragePool": Spelling("avg_pool"),
    "Resize": Spelling("upsample"),
    "Upsample": Spelling("upsample"),
    "Reshape": Spelling("reshape"),
    "Transpose": Spelling("transpose"),
    "Clip": Spelling("clip"),
    "Identity": Spelling("identity"),
    "NonMaxSuppression": Spelling("nms", (0, 1)),
}


def read_onnx(file: Path) -> tuple[onnx.ModelProto, Graph]:
    """Raises GraphError for a file that is no ONNX, or is damaged."""
    try:
        model = onnx.load(file)
        onnx.checker.check_model(model)
        return model, read_graph(model.graph)
    except (DecodeError, ValidationError, OSError, ValueError, TypeError) as error:
        raise GraphError(f"{file}: not a readable ONNX file: {error}") from error


def read_graph(graph: onnx.GraphProto) -> Graph:
    """The operators of an ONNX graph; weights may stand among its inputs, and be operators."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for operator in graph.node:
        if operator.op_type == "Constant":
            constants[operator.output[0]] = _constant(operator)
    inputs = [value.name for value in graph.input if value.name not in constants]
    if not inputs:
        raise ValueError("it has no input")
    return Graph(
        nodes=tuple(_node(op, constants) for op in graph.node if op.op_type != "Constant"),
        inputs=tuple(sorted(inputs, key=lambda name: len(sides(graph, name)) != 4)),
        outputs=tuple(value.name for value in graph.output),
        constants=constants,
    )


def _node(operator: onnx.NodeProto, constants: Mapping[str, np.ndarray]) -> Node:
    kind, positions, weights = SPELLINGS.get(
        operator.op_type, Spelling(operator.op_type.lower(), None)
    )
    given = dict(enumerate(operator.input))
    return Node(
        kind=kind,
        inputs=tuple(given[i] for i in (given if positions is None else positions) if given.get(i)),
        outputs=tuple(name for name in operator.output if name),
        weights={role: given[i] for role, i in weights.items() if given.get(i)},
        settings=_settings(operator, constants),
    )


def _settings(operator: onnx.NodeProto, constants: Mapping[str, np.ndarray]) -> dict[str, Any]:
    attributes = attributes_of(operator)
    given = [constants.get(name) for name in operator.input]
    if operator.op_type == "Transpose":
        return {"permutation": tuple(attributes.get("perm", ()))}
    if operator.op_type == "HardSigmoid":
        return {"slope": attributes.get("alpha", 0.2), "offset": attributes.get("beta", 0.5)}
    if operator.op_type == "Reshape" and len(given) == 2 and given[1] is not None:
        return {"shape": tuple(given[1].tolist())}
    if operator.op_type == "Clip":  # since opset 11 its limits are inputs
        limits = (*given[1:], None, None)
        return {
            side: attributes.get(attribute) if limit is None else limit.item()
            for side, attribute, limit in zip(("low", "high"), ("min", "max"), limits, strict=False)
        }
    return {}


def _constant(operator: onnx.NodeProto) -> np.ndarray:
    for name, value in attributes_of(operator).items():
        if name == "value":
            return numpy_helper.to_array(value)
        if name.startswith(("value_int", "value_float")):
            return np.asarray(value)
    raise ValueError(f"the constant {operator.output[0]} holds no number")


def attributes_of(operator: onnx.NodeProto) -> dict[str, Any]:
    """The settings that are written, by name; what is not written has ONNX's default."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in operator.attribute}


def sides(graph: onnx.GraphProto, name: str) -> list[int | None]:
    """Shape of an input; None for a side that is not fixed."""
    (value,) = (value for value in graph.input if value.name == name)
    return [side.dim_value or None for side in value.type.tensor_type.shape.dim]
