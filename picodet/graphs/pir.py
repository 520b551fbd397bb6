"""Reads a `.json`, the program of an inference folder as Paddle 3 writes it, without Paddle.

Its values have numbers and no names; they get names here, and `places` tells where each is made,
so that Paddle can be asked for it.
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
from picodet.graphs.paddle_operators import Setting, checked, spelled, spelling_of
from picodet.graphs.pdiparams import Declared
from picodet.graphs.pir_json import PARAMETER, PARAMETER_NAME, PirOperator, Value
from picodet.graphs.program import (
    MAX_DIMENSIONS,
    MAX_NAME,
    MAX_PARTS,
    Program,
    check_node,
    input_shapes,
    read_bytes,
)

MAX_FILLED = 1_000_000  # numbers in all constants of one value; S-416 with its NMS has 122
INPUTS, FETCH = ("pd_op.data", "pd_op.feed"), "pd_op.fetch"
CONSTANTS = ("pd_op.full", "pd_op.full_int_array")
LIST, PARTS = "builtin.combine", "builtin.split"
DTYPES = {
    **{"t_f16": "float16", "t_bf16": "bfloat16", "t_f32": "float32", "t_f64": "float64"},
    **{"t_i32": "int32", "t_i64": "int64"},
}


@dataclass(frozen=True)
class PirProgram(Program):
    """A program whose operators are known by their names in PIR, in order.

    `places` gives the operator that makes a tensor, and which of its results it is.
    """

    operators: tuple[str, ...]
    places: Mapping[str, tuple[int, int]]


def read(path: Path, weights: Path) -> PirProgram:
    """The program in `path` with the weights beside it, its graph spelled as graph.py does.

    Raises CheckpointError for files that are damaged or something else, GraphError for a program
    that is no network.
    """
    try:
        operators = pir_json.parse(read_bytes(path, pir_json.MAX_BYTES))
        reader = _Reader(operators, pdiparams.read(weights, _weights(operators)))
        graph, shapes = reader.graph()
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from error
    except ValueError as error:
        raise CheckpointError(
            f"{path}: not a readable program of Paddle 3: {error}. Expected is what ppdet's "
            "export_model.py writes"
        ) from error
    return PirProgram(graph, shapes, tuple(op.name for op in operators), reader.places)


def _weights(operators: Sequence[PirOperator]) -> list[Declared]:
    return [
        Declared(
            op.attributes[PARAMETER_NAME],
            DTYPES.get(value.dtype, f"Paddle's {value.dtype:.20}"),
            value.shape,
        )
        for op in operators
        if op.name == PARAMETER
        for value in op.results
    ]


class _Reader:
    """Gives names to values, and lists become what is in them."""

    def __init__(self, operators: Sequence[PirOperator], constants: dict[str, np.ndarray]) -> None:
        self.nodes: list[Node] = []
        self.constants = constants
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: list[str] = []
        self.places: dict[str, tuple[int, int]] = {}
        self._names: dict[int, tuple[str, ...]] = {0: ()}  # by the number of a value
        self._counts: dict[str, int] = {}
        self._filled = self._taken_in_all = 0
        self._lists = {  # what a list is taken apart into, and where
            op.operands[0]: (i, op.results)
            for i, op in enumerate(operators)
            if op.name == PARTS and op.operands
        }
        for i, op in enumerate(operators):
            self._read(i, op)

    def graph(self) -> tuple[Graph, dict[str, tuple[int | None, ...]]]:
        shapes = input_shapes(self.inputs)
        if not shapes or not self.outputs:
            raise GraphError(f"it has {len(shapes)} inputs and {len(self.outputs)} outputs")
        nodes, outputs = tuple(self.nodes), tuple(self.outputs)
        return Graph(nodes, tuple(shapes), outputs, self.constants), shapes

    def _read(self, i: int, op: PirOperator) -> None:
        operands = [self._taken(number) for number in op.operands]
        kind = op.name.rpartition(".")[2]
        if op.name == PARAMETER:
            self._name(op.results[0], op.attributes[PARAMETER_NAME], (i, 0))
        elif op.name in INPUTS:
            value, name = _only(op), op.attributes.get("name")
            if not isinstance(name, str):
                raise GraphError(f"an input whose name is {name!r:.40}")
            self._name(value, name, (i, 0))
            self.inputs[name] = value.shape
        elif op.name in CONSTANTS:
            value, name = _only(op), self._new_name(op, kind)
            self._name(value, name, (i, 0))
            self.constants[name] = self._constant(op, kind)
        elif op.name == LIST:
            if not all(len(names) == 1 for names in operands):
                raise GraphError("a list of something else than tensors")
            self._set(_only(op).number, tuple(chain(*operands)))
        elif op.name == FETCH:
            if [len(names) for names in operands] != [1]:
                raise GraphError("its fetch is not of one tensor")
            self.outputs += operands[0]
        elif op.name != PARTS:  # whose results were named with the operator that made the list
            node = self._node(i, op, kind, operands)
            check_node(node, self.inputs, self.constants)
            self.nodes.append(node)

    def _node(self, i: int, op: PirOperator, kind: str, operands: list[tuple[str, ...]]) -> Node:
        name = self._new_name(op, kind)
        made = [
            self._made(value, name if j == 0 else f"{name}:{j}", (i, j))
            for j, value in enumerate(op.results)
        ]
        spelling = spelling_of(kind)
        if spelling is None:
            return Node(kind, tuple(chain(*operands)), tuple(chain(*made)))
        given = dict(enumerate(operands))
        return spelled(
            spelling,
            inputs=tuple(
                chain(*(given.get(position, ()) for _, position in spelling.inputs)),
            ),
            outputs=made[0] if made else (),
            weights={
                role: given[operand.position][0]
                for role, operand in spelling.weights.items()
                if given.get(operand.position)
            },
            found={
                role: self._setting(op, setting, given)
                for role, setting in spelling.settings.items()
            },
        )

    def _setting(
        self, op: PirOperator, setting: Setting, operands: Mapping[int, tuple[str, ...]]
    ) -> Any:
        """None where it is computed, or not written."""
        if isinstance(setting.new, str):
            return checked(setting.new, setting, op.attributes.get(setting.new))
        names = () if setting.new is None else operands.get(setting.new, ())
        constant = self.constants.get(names[0]) if names else None
        if constant is None or constant.size > MAX_DIMENSIONS:
            return None
        number = constant.item() if constant.size == 1 else None
        value = tuple(constant.ravel().tolist()) if setting.form is tuple else number
        return checked(f"operand {setting.new}", setting, value)

    def _constant(self, op: PirOperator, kind: str) -> np.ndarray:
        value = op.attributes.get("value")
        if kind == "full_int_array":
            numbers = value if isinstance(value, tuple) else ()
            if not numbers or not all(type(n) is int and abs(n) < 2**63 for n in numbers):
                raise GraphError(f"full_int_array of {value!r:.40}, where whole numbers belong")
            return np.array(numbers, np.int64)
        shape = op.attributes.get("shape")
        if not isinstance(shape, tuple) or not all(type(side) is int for side in shape):
            raise GraphError(f"full of the shape {shape!r:.40}")
        if len(shape) > MAX_DIMENSIONS or min(shape, default=1) < 1:
            raise GraphError(f"full of the shape {shape!r:.40}")
        self._filled += prod(shape)
        if self._filled > MAX_FILLED:
            raise GraphError(
                f"full of the shape {list(shape)}: more than {MAX_FILLED:,} numbers in all "
                "constants of one value"
            )
        if not isinstance(value, int | float):
            raise GraphError(f"full of {value!r:.40}, where a number belongs")
        return np.full(shape, value)

    def _taken(self, number: int) -> tuple[str, ...]:
        """Names of what an operand holds; of none where an optional one is not given."""
        if number not in self._names:
            raise GraphError(f"value {number} is taken, and no operator before makes it")
        names = self._names[number]
        self._taken_in_all += len(names)
        if self._taken_in_all > MAX_PARTS:
            raise GraphError(f"its operators take more than {MAX_PARTS:,} values")
        return names

    def _made(self, value: Value, name: str, place: tuple[int, int]) -> tuple[str, ...]:
        if value.number == 0:
            return ()
        if value.number not in self._lists:
            self._name(value, name, place)
        else:
            i, parts = self._lists[value.number]
            names = tuple(f"{name}.{j}" for j in range(len(parts)))
            for j, (part, part_name) in enumerate(zip(parts, names, strict=True)):
                self._name(part, part_name, (i, j))
            self._set(value.number, names)
        return self._names[value.number]

    def _name(self, value: Value, name: str, place: tuple[int, int]) -> None:
        if name in self.places:
            raise GraphError(f"it has two tensors of the name {name}")
        self._set(value.number, (name,))
        self.places[name] = place

    def _set(self, number: int, names: tuple[str, ...]) -> None:
        if number in self._names:
            raise GraphError(f"it makes value {number} twice, the second time as {names[:1]}")
        self._names[number] = names

    def _new_name(self, op: PirOperator, kind: str) -> str:
        """Where ppdet made the operator, what it is, and which of its kind."""
        kind = kind.rstrip("_")  # of an operator that works in place
        count = self._counts[kind] = self._counts.get(kind, -1) + 1
        place = op.attributes.get("struct_name", "/")
        if not isinstance(place, str) or len(place) > MAX_NAME:
            raise GraphError(f"the struct_name of {kind} is no name")
        return f"{place}{kind}_{count}"


def _only(op: PirOperator) -> Value:
    if len(op.results) != 1 or op.results[0].number == 0:
        raise GraphError(f"{op.name} makes {len(op.results)} values where one is expected")
    return op.results[0]
