"""Reads a `.json`, the program of an inference folder as Paddle 3 writes it, without Paddle.

Its values have numbers instead of names; they get names here, and `results` states the operator
that makes each, by which Paddle can return it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from picodet.errors import CheckpointError, GraphError
from picodet.graphs import pdiparams, pir_json
from picodet.graphs.graph import Graph, Node
from picodet.graphs.paddle_operators import Setting, check_setting, find_spec, make_node
from picodet.graphs.passes.control_flow import cut
from picodet.graphs.pdiparams import DeclaredWeight
from picodet.graphs.pir_json import PARAMETER, PARAMETER_NAME, PirOperator, PirValue
from picodet.graphs.program import (
    MAX_DIMENSIONS,
    MAX_NAME,
    MAX_PARTS,
    Program,
    check_node,
    input_shapes,
    read_bytes,
)

MAX_FILLED_VALUES = 1_000_000  # values in all filled constants; S-416 with its NMS has 122
INPUTS, FETCH = ("pd_op.data", "pd_op.feed"), "pd_op.fetch"
CONSTANTS = ("pd_op.full", "pd_op.full_int_array")
COMBINE, SPLIT = "builtin.combine", "builtin.split"
DTYPES = {
    **{"t_f16": "float16", "t_bf16": "bfloat16", "t_f32": "float32", "t_f64": "float64"},
    **{"t_i8": "int8", "t_i32": "int32", "t_i64": "int64"},
}


@dataclass(frozen=True)
class PirProgram(Program):
    """A program with the names of its operators in PIR, in order.

    `results` gives the operator that makes a tensor, and the index of the result.
    """

    operators: tuple[str, ...]
    results: Mapping[str, tuple[int, int]]


def read(path: Path, weights: Path) -> PirProgram:
    """The program in `path` with the weights beside it, its graph in canonical operators.

    Raises CheckpointError for damaged or unexpected files, GraphError for an invalid network.
    """
    try:
        operators = pir_json.parse(read_bytes(path, pir_json.MAX_BYTES))
        reader = _GraphReader(operators, pdiparams.read(weights, _weights(operators)))
        graph, shapes = reader.graph()
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from error
    except ValueError as error:
        raise CheckpointError(
            f"{path}: not a readable program of Paddle 3: {error}. Expected the output of "
            "ppdet's export_model.py"
        ) from error
    return PirProgram(graph, shapes, tuple(op.name for op in operators), reader.results)


def _weights(operators: Sequence[PirOperator]) -> list[DeclaredWeight]:
    return [
        DeclaredWeight(
            op.attributes[PARAMETER_NAME],
            DTYPES.get(value.dtype, f"Paddle's {value.dtype:.20}"),
            value.shape,
        )
        for op in operators
        if op.name == PARAMETER
        for value in op.results
    ]


class _GraphReader:
    """Gives names to values, and replaces lists by their elements."""

    def __init__(self, operators: Sequence[PirOperator], constants: dict[str, np.ndarray]) -> None:
        self.nodes: list[Node] = []
        self.constants = constants
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: list[str] = []
        self.results: dict[str, tuple[int, int]] = {}
        self._names: dict[int, tuple[str, ...]] = {0: ()}  # number of a value -> names
        self._counts: dict[str, int] = {}
        self._num_filled = self._num_operands = 0
        self._split_lists = {  # a list -> where it is split, and into what
            op.operands[0]: (i, op.results)
            for i, op in enumerate(operators)
            if op.name == SPLIT and op.operands
        }
        for i, op in enumerate(operators):
            self._read(i, op)

    def graph(self) -> tuple[Graph, dict[str, tuple[int | None, ...]]]:
        shapes = input_shapes(self.inputs)
        if not shapes or not self.outputs:
            raise GraphError(f"it has {len(shapes)} inputs and {len(self.outputs)} outputs")
        nodes, outputs = tuple(self.nodes), tuple(self.outputs)
        return cut(Graph(nodes, tuple(shapes), outputs, self.constants)), shapes

    def _read(self, i: int, op: PirOperator) -> None:
        operands = [self._operand_names(number) for number in op.operands]
        kind = op.name.rpartition(".")[2]
        if op.name == PARAMETER:
            self._bind_name(op.results[0], op.attributes[PARAMETER_NAME], (i, 0))
        elif op.name in INPUTS:
            value, name = _single_result(op), op.attributes.get("name")
            if not isinstance(name, str):
                raise GraphError(f"an input whose name is {name!r:.40}")
            self._bind_name(value, name, (i, 0))
            self.inputs[name] = value.shape
        elif op.name in CONSTANTS:
            value, name = _single_result(op), self._new_name(op, kind)
            self._bind_name(value, name, (i, 0))
            self.constants[name] = self._constant(op, kind)
        elif op.name == COMBINE:
            if not all(len(names) == 1 for names in operands):
                raise GraphError("a list of something other than tensors")
            self._bind(_single_result(op).number, tuple(chain(*operands)))
        elif op.name == FETCH:
            if [len(names) for names in operands] != [1]:
                raise GraphError("its fetch is not of one tensor")
            self.outputs += operands[0]
        elif op.name != SPLIT:  # its results were named with the list
            node = self._node(i, op, kind, operands)
            check_node(node, self.inputs, self.constants)
            self.nodes.append(node)

    def _node(self, i: int, op: PirOperator, kind: str, operands: list[tuple[str, ...]]) -> Node:
        name = self._new_name(op, kind)
        outputs = [
            self._name_result(value, name if j == 0 else f"{name}:{j}", (i, j))
            for j, value in enumerate(op.results)
        ]
        spec = find_spec(kind)
        if spec is None:
            return Node(kind, tuple(chain(*operands)), tuple(chain(*outputs)))
        operands_at = dict(enumerate(operands))
        return make_node(
            spec,
            inputs=tuple(
                chain(*(operands_at.get(position, ()) for _, position in spec.inputs)),
            ),
            outputs=outputs[0] if outputs else (),
            weights={
                role: operands_at[operand.position][0]
                for role, operand in spec.weights.items()
                if operands_at.get(operand.position)
            },
            values={
                role: self._setting(op, setting, operands_at)
                for role, setting in spec.settings.items()
            },
        )

    def _setting(
        self, op: PirOperator, setting: Setting, operands: Mapping[int, tuple[str, ...]]
    ) -> Any:
        """The value of a setting; None where it is computed or missing."""
        if isinstance(setting.pir_source, str):
            return check_setting(setting.pir_source, setting, op.attributes.get(setting.pir_source))
        names = () if setting.pir_source is None else operands.get(setting.pir_source, ())
        constant = self.constants.get(names[0]) if names else None
        if constant is None or constant.size > MAX_DIMENSIONS:
            return None
        number = constant.item() if constant.size == 1 else None
        value = tuple(constant.ravel().tolist()) if setting.value_type is tuple else number
        return check_setting(f"operand {setting.pir_source}", setting, value)

    def _constant(self, op: PirOperator, kind: str) -> np.ndarray:
        value = op.attributes.get("value")
        if kind == "full_int_array":
            numbers = value if isinstance(value, tuple) else ()
            if not numbers or not all(type(n) is int and abs(n) < 2**63 for n in numbers):
                raise GraphError(f"full_int_array of {value!r:.40}; expected integers")
            return np.array(numbers, np.int64)
        shape = op.attributes.get("shape")
        if not isinstance(shape, tuple) or not all(type(side) is int for side in shape):
            raise GraphError(f"full of the shape {shape!r:.40}")
        if len(shape) > MAX_DIMENSIONS or min(shape, default=1) < 1:
            raise GraphError(f"full of the shape {shape!r:.40}")
        self._num_filled += prod(shape)
        if self._num_filled > MAX_FILLED_VALUES:
            raise GraphError(
                f"full of the shape {list(shape)}: more than {MAX_FILLED_VALUES:,} values in all "
                "constants filled with one value"
            )
        if not isinstance(value, int | float):
            raise GraphError(f"full of {value!r:.40}; expected a number")
        return np.full(shape, value)

    def _operand_names(self, number: int) -> tuple[str, ...]:
        """The tensor names of an operand; none for a missing optional one."""
        if number not in self._names:
            raise GraphError(f"value {number} is used before an operator makes it")
        names = self._names[number]
        self._num_operands += len(names)
        if self._num_operands > MAX_PARTS:
            raise GraphError(f"its operators take more than {MAX_PARTS:,} values")
        return names

    def _name_result(self, value: PirValue, name: str, result: tuple[int, int]) -> tuple[str, ...]:
        if value.number == 0:
            return ()
        if value.number not in self._split_lists:
            self._bind_name(value, name, result)
        else:
            i, parts = self._split_lists[value.number]
            names = tuple(f"{name}.{j}" for j in range(len(parts)))
            for j, (part, part_name) in enumerate(zip(parts, names, strict=True)):
                self._bind_name(part, part_name, (i, j))
            self._bind(value.number, names)
        return self._names[value.number]

    def _bind_name(self, value: PirValue, name: str, result: tuple[int, int]) -> None:
        if name in self.results:
            raise GraphError(f"it has two tensors named {name}")
        self._bind(value.number, (name,))
        self.results[name] = result

    def _bind(self, number: int, names: tuple[str, ...]) -> None:
        if number in self._names:
            raise GraphError(f"it makes value {number} twice, the second time as {names[:1]}")
        self._names[number] = names

    def _new_name(self, op: PirOperator, kind: str) -> str:
        """A name from the layer's path in ppdet, the operator's kind and a count."""
        kind = kind.rstrip("_")  # of an in-place operator
        count = self._counts[kind] = self._counts.get(kind, -1) + 1
        scope = op.attributes.get("struct_name", "/")
        if not isinstance(scope, str) or len(scope) > MAX_NAME:
            raise GraphError(f"the struct_name of {kind} is not a name")
        return f"{scope}{kind}_{count}"


def _single_result(op: PirOperator) -> PirValue:
    if len(op.results) != 1 or op.results[0].number == 0:
        raise GraphError(f"{op.name} makes {len(op.results)} values; expected one")
    return op.results[0]
