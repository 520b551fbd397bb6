"""Reads an ONNX file as a graph; no other file is opened.

Sizes that it claims are checked against its content before memory is allocated. Neither onnx.load
nor onnx.checker is used: they open external files that it names, and trust its sizes.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from picodet.errors import CheckpointError, GraphError
from picodet.files import regular_file
from picodet.graphs.graph import Graph, Node
from picodet.graphs.onnx_tensors import array_of
from picodet.graphs.passes.control_flow import cut
from picodet.graphs.program import MAX_DIMENSIONS, MAX_OPERATORS
from picodet.graphs.protobuf_parts import check_parts

MAX_BYTES = 128_000_000  # the largest official PicoDet has 48 million
MAX_PARTS = 200_000  # S-416 has 30,000
ONNX_DOMAINS = ("", "ai.onnx")  # domains of ONNX's own operators
DEFAULT_SLOPES = {"LeakyRelu": 0.01, "HardSigmoid": 0.2}
PARSE_ERRORS = (DecodeError, ValueError, TypeError, OverflowError)


class OperatorSpec(NamedTuple):
    """The kind of an operator, and the positions of its inputs and weights."""

    kind: str
    inputs: tuple[int, ...] | None = (0,)  # None for all
    weights: Mapping[str, int] = {}  # by role

    def required_inputs(self) -> set[int]:
        weights = (i for role, i in self.weights.items() if role != "bias")
        return {*((0,) if self.inputs is None else self.inputs), *weights}


OPERATOR_SPECS = {
    "Conv": OperatorSpec("conv", weights={"weight": 1, "bias": 2}),
    "BatchNormalization": OperatorSpec(
        "batch_norm", weights={"weight": 1, "bias": 2, "running_mean": 3, "running_var": 4}
    ),
    "HardSwish": OperatorSpec("hardswish"),
    "Relu": OperatorSpec("relu"),
    "LeakyRelu": OperatorSpec("leaky_relu"),
    "Sqrt": OperatorSpec("sqrt"),
    "HardSigmoid": OperatorSpec("hardsigmoid"),
    "Sigmoid": OperatorSpec("sigmoid"),
    "Softmax": OperatorSpec("softmax"),
    "Add": OperatorSpec("add", None),
    "Mul": OperatorSpec("mul", None),
    "Sub": OperatorSpec("sub", None),
    "Div": OperatorSpec("div", None),
    "MatMul": OperatorSpec("matmul", None),
    "Concat": OperatorSpec("concat", None),
    "Split": OperatorSpec("split"),
    "MaxPool": OperatorSpec("max_pool"),
    "GlobalAveragePool": OperatorSpec("avg_pool"),
    "AveragePool": OperatorSpec("other_avg_pool"),
    "Resize": OperatorSpec("upsample"),
    "Upsample": OperatorSpec("upsample"),
    "Reshape": OperatorSpec("reshape"),
    "Transpose": OperatorSpec("transpose"),
    "Clip": OperatorSpec("clip"),
    "Identity": OperatorSpec("identity"),
    "Cast": OperatorSpec("cast"),
    "QuantizeLinear": OperatorSpec("quantize", None),
    "DequantizeLinear": OperatorSpec("dequantize", None),
    "NonMaxSuppression": OperatorSpec("nms", (0, 1)),
}


def read_onnx(file: Path) -> tuple[onnx.ModelProto, Graph]:
    """Read an ONNX file and its graph.

    Raises CheckpointError for a damaged file or none of ONNX, GraphError for an invalid network.
    """
    try:
        if regular_file(file).stat().st_size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES:,} bytes, over twice the largest PicoDet")
        content = file.read_bytes()
        check_parts(content, onnx.ModelProto.DESCRIPTOR, MAX_PARTS)
        model = onnx.ModelProto.FromString(content)
        _check_names(text for entry in model.metadata_props for text in (entry.key, entry.value))
        return model, read_graph(model.graph)
    except GraphError as error:
        raise GraphError(f"{file}: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}") from error
    except PARSE_ERRORS as error:
        raise CheckpointError(f"{file}: not a readable ONNX file: {error}") from error


def read_graph(graph: onnx.GraphProto) -> Graph:
    """The operators of an ONNX graph; weights may be initializers, inputs or Constant operators.

    Raises GraphError for an invalid network, ValueError, TypeError or OverflowError where it
    cannot be read.
    """
    if len(graph.node) > MAX_OPERATORS or graph.sparse_initializer:
        raise ValueError(f"it has {len(graph.node):,} operators, too many, or sparse weights")
    constants: dict[str, np.ndarray] = {}
    for tensor in graph.initializer:
        _add_constant(constants, (tensor.name,), array_of(tensor))
    for operator in graph.node:
        if _is_constant(operator):
            _add_constant(constants, tuple(operator.output), _constant(operator))
    shapes = {value.name: _shape_of(value) for value in graph.input}
    if len(shapes) < len(graph.input):
        raise ValueError("two inputs have the same name")
    inputs = [name for name in shapes if name not in constants]
    outputs = tuple(value.name for value in graph.output)
    _check_names((*inputs, *outputs))
    if not inputs or not outputs:
        raise ValueError(f"it has {len(inputs)} inputs and {len(outputs)} outputs")
    return cut(
        Graph(
            nodes=tuple(_node(op, constants) for op in graph.node if not _is_constant(op)),
            inputs=tuple(sorted(inputs, key=lambda name: len(shapes[name]) != 4)),
            outputs=outputs,
            constants=constants,
        )
    )


def _add_constant(
    constants: dict[str, np.ndarray], names: tuple[str, ...], array: np.ndarray
) -> None:
    _check_names(names)
    if len(names) != 1 or names[0] in constants:
        raise ValueError(f"{', '.join(names) or 'a constant without a name'} is there twice")
    constants[names[0]] = array


def _check_names(names: Iterable[object]) -> None:
    """Raise ValueError for bytes, which protobuf returns for text that is not UTF-8."""
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"a name that is not UTF-8: {name!r:.60}")


def _is_constant(operator: onnx.NodeProto) -> bool:
    return operator.op_type == "Constant" and operator.domain in ONNX_DOMAINS


def _spec_of(operator: onnx.NodeProto) -> OperatorSpec:
    """The spec of an operator; an unknown one has its own name and all inputs."""
    is_onnx = operator.domain in ONNX_DOMAINS
    name = operator.op_type if is_onnx else f"{operator.domain}.{operator.op_type}"
    return OPERATOR_SPECS.get(name) or OperatorSpec(name.lower(), None)


def _node(operator: onnx.NodeProto, constants: Mapping[str, np.ndarray]) -> Node:
    _check_names((operator.op_type, operator.domain, *operator.input, *operator.output))
    spec = _spec_of(operator)
    inputs = {i: name for i, name in enumerate(operator.input) if name}
    outputs = tuple(name for name in operator.output if name)
    if not outputs or (
        spec in OPERATOR_SPECS.values() and not inputs.keys() >= spec.required_inputs()
    ):
        raise GraphError(f"{spec.kind} {', '.join(outputs)} has too few inputs or no output")
    return Node(
        kind=spec.kind,
        inputs=tuple(inputs[i] for i in (inputs if spec.inputs is None else spec.inputs)),
        outputs=outputs,
        weights={role: inputs[i] for role, i in spec.weights.items() if i in inputs},
        settings=_settings(operator, constants),
    )


def _settings(operator: onnx.NodeProto, constants: Mapping[str, np.ndarray]) -> dict[str, Any]:
    attributes = attributes_of(operator)
    if len(attributes) < len(operator.attribute):
        raise ValueError(f"{operator.op_type} {operator.output[0]} has an attribute twice")
    inputs = [constants.get(name) for name in operator.input]
    second = _short_list(inputs[1]) if len(inputs) > 1 else None
    found: dict[str, Any] = {}
    match operator.op_type if operator.domain in ONNX_DOMAINS else "":
        case "Transpose":
            found["permutation"] = _integers(attributes.get("perm", ()))
        case "Conv":
            found["stride"] = _integers(attributes.get("strides", (1, 1)))
            found["padding"] = _integers(attributes.get("pads", (0, 0, 0, 0)))
            found["dilation"] = _integers(attributes.get("dilations", (1, 1)))
            (found["groups"],) = _integers([attributes.get("group", 1)])
        case "BatchNormalization":
            found["epsilon"] = float(attributes.get("epsilon", 1e-5))
        case "Split":
            if (sizes := attributes.get("split") if second is None else second) is not None:
                found["sections"] = _sections(sizes, len(operator.output))
        case "DequantizeLinear":
            (found["axis"],) = _integers([attributes.get("axis", 1)])
        case "LeakyRelu" | "HardSigmoid" as name:
            found["slope"] = float(attributes.get("alpha", DEFAULT_SLOPES[name]))
            if name == "HardSigmoid":
                found["offset"] = float(attributes.get("beta", 0.5))
        case "Reshape":
            if second is not None:
                found["shape"] = _integers(second)
        case "Clip":
            found |= _clip_limits(attributes, inputs)
    return found


def _clip_limits(
    attributes: Mapping[str, Any], inputs: list[np.ndarray | None]
) -> dict[str, float | None]:
    """`low` and `high`, which are inputs since opset 11."""
    low, high = (*inputs[1:3], None, None)[:2]
    return {
        "low": attributes.get("min") if low is None else low.item(),
        "high": attributes.get("max") if high is None else high.item(),
    }


def _short_list(array: np.ndarray | None) -> Any:
    """The values of a short array, such as a shape; None for a weight."""
    return None if array is None or array.size > MAX_DIMENSIONS else array.tolist()


def _integers(values: Any) -> tuple[int, ...]:
    """A few integers, from an attribute of any type or a constant of any shape.

    Raises ValueError or TypeError for anything else.
    """
    if not all(type(value) is int for value in values) or len(values) > MAX_DIMENSIONS:
        raise ValueError(f"{len(values):,} whole numbers; expected up to {MAX_DIMENSIONS}")
    return tuple(values)


def _sections(sizes: Any, outputs: int) -> tuple[int, ...]:
    sections = _integers(sizes)
    if len(sections) != outputs:
        raise ValueError(f"a split into {list(sections)} makes {outputs} tensors")
    return sections


def _constant(operator: onnx.NodeProto) -> np.ndarray:
    for attribute in operator.attribute:
        if attribute.name == "value" and attribute.type == onnx.AttributeProto.TENSOR:
            return array_of(attribute.t)
        if attribute.name in ("value_int", "value_ints", "value_float", "value_floats"):
            array = np.asarray(onnx.helper.get_attribute_value(attribute))
            if array.dtype.kind in "if":
                return array
    raise ValueError(f"the constant {' '.join(map(str, operator.output)):.60} holds no value")


def attributes_of(operator: onnx.NodeProto) -> dict[str, Any]:
    """The attributes in the file, by name; missing ones have ONNX's default."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in operator.attribute}


def input_shape(graph: onnx.GraphProto, name: str) -> list[int | None]:
    """The shape of an input; None for a dynamic dimension."""
    (value,) = (value for value in graph.input if value.name == name)
    return _shape_of(value)


def _shape_of(value: onnx.ValueInfoProto) -> list[int | None]:
    return [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
