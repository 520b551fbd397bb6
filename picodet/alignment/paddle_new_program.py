"""Programs as Paddle 3 writes them: `.json`, in its intermediate representation PIR.

Imported in Paddle's process only.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import paddle

from picodet.alignment.paddle_old_program import pool_kind
from picodet.graphs.graph import Graph, Node


class Spelling(NamedTuple):
    """At which positions an operator takes and makes what is of interest."""

    kind: str
    inputs: tuple[int, ...] = (0,)
    outputs: int = 1  # so many, from the first; -1 for all
    weights: Mapping[str, int] = {}  # by role


_CONV = Spelling("conv", weights={"weight": 1})
_NORM = Spelling(
    "batch_norm", weights={"running_mean": 1, "running_var": 2, "weight": 3, "bias": 4}
)
SPELLINGS = {
    "conv2d": _CONV,
    "depthwise_conv2d": _CONV,
    "batch_norm": _NORM,
    "batch_norm_": _NORM,
    "hardswish": Spelling("hardswish"),
    "relu": Spelling("relu"),
    "hardsigmoid": Spelling("hardsigmoid"),
    "sigmoid": Spelling("sigmoid"),
    "softmax": Spelling("softmax"),
    "add": Spelling("add", (0, 1)),
    "multiply": Spelling("mul", (0, 1)),
    "divide": Spelling("div", (0, 1)),
    "matmul": Spelling("matmul", (0, 1)),
    "concat": Spelling("concat"),
    "split": Spelling("split", outputs=-1),
    "split_with_num": Spelling("split", outputs=-1),
    "pool2d": Spelling("pool"),
    "nearest_interp": Spelling("upsample"),
    "reshape": Spelling("reshape"),
    "transpose": Spelling("transpose"),
    "scale": Spelling("scale"),
    "multiclass_nms3": Spelling("nms", (0, 1)),
}


class NewProgram:
    """A loaded program, its graph, and how to run it."""

    def __init__(self, prefix: Path) -> None:
        # with it, an operator may overwrite what it was given before that is fetched
        paddle.set_flags({"FLAGS_pir_apply_inplace_pass": False})
        self._executor = paddle.static.Executor(paddle.CPUPlace())
        self._program, feeds, fetches = paddle.static.load_inference_model(
            str(prefix), self._executor
        )
        block = self._program.global_block()
        for op in list(block.ops):
            if op.name() == "pd_op.fetch":
                op.erase()  # `run` fetches into the same places
        reader = _Reader(block)
        shapes = {name: reader.values[name].shape for name in feeds}
        self._values = reader.values
        self.graph = Graph(
            nodes=tuple(reader.nodes),
            inputs=tuple(sorted(feeds, key=lambda name: len(shapes[name]) != 4)),
            outputs=tuple(reader.names[value.id][0] for value in fetches),
            constants=reader.constants,
        )
        sides = shapes[self.graph.inputs[0]]
        self.input_shape = [None if side < 0 else int(side) for side in sides]

    def run(self, feed: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """The values of the named tensors."""
        fetched = [self._values[name] for name in names]
        return list(self._executor.run(self._program, feed=dict(feed), fetch_list=fetched))


class _Reader:
    """Gives names to a program's values, which have none, and lists become what is in them."""

    def __init__(self, block: Any) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.names: dict[str, tuple[str, ...]] = {}  # by the id of a value
        self.values: dict[str, Any] = {}
        self._counts: dict[str, int] = {}
        self._lists: dict[str, Any] = {  # what a list is taken apart into, by its id
            op.operands_source()[0].id: op for op in block.ops if op.name() == "builtin.split"
        }
        for op in block.ops:
            self._read(op)

    def _read(self, op: Any) -> None:
        kind, attributes = op.name().split(".")[-1], op.attrs()
        match op.name():
            case "builtin.parameter":
                name = attributes["parameter_name"]
                self._name(op.results()[0], name)
                tensor = paddle.static.global_scope().find_var(name).get_tensor()
                self.constants[name] = np.array(tensor)
            case "pd_op.data":
                self._name(op.results()[0], attributes["name"])
            case "pd_op.full" | "pd_op.full_int_array":
                name = self._new_name(op, kind)
                self._name(op.results()[0], name)
                self.constants[name] = _constant(kind, attributes)
            case "builtin.combine":
                self.names[op.results()[0].id] = sum(map(self._taken, op.operands_source()), ())
            case "builtin.split":
                pass  # named with the operator that made the list
            case _:
                self._read_operator(op, kind)

    def _read_operator(self, op: Any, kind: str) -> None:
        operands = [self._taken(value) for value in op.operands_source()]
        name = self._new_name(op, kind)
        made = [
            self._made(value, name if i == 0 else f"{name}:{i}")
            for i, value in enumerate(op.results())
        ]
        spelling = SPELLINGS.get(kind)
        if spelling is None:
            self.nodes.append(Node(kind, sum(operands, ()), sum(made, ())))
            return
        kept = made if spelling.outputs < 0 else made[: spelling.outputs]
        self.nodes.append(
            Node(
                kind=self._kind(spelling.kind, op, operands),
                inputs=sum((operands[i] for i in spelling.inputs), ()),
                outputs=sum(kept, ()),
                weights={role: operands[i][0] for role, i in spelling.weights.items()},
                settings=self._settings(kind, op, operands),
            )
        )

    def _kind(self, kind: str, op: Any, operands: list[tuple[str, ...]]) -> str:
        attributes = op.attrs()
        if kind == "pool":
            size = self._constant_of(operands, 1)
            whole = attributes["global_pooling"] or (attributes["adaptive"] and size == [1, 1])
            return pool_kind(attributes["pooling_type"], whole)
        if kind == "scale" and attributes["bias"] == 0 and self._constant_of(operands, 1) == [1]:
            return "identity"
        return kind

    def _settings(self, kind: str, op: Any, operands: list[tuple[str, ...]]) -> dict[str, Any]:
        if kind == "transpose":
            return {"permutation": tuple(op.attrs()["perm"])}
        shape = self._constant_of(operands, 1) if kind == "reshape" else None
        return {} if shape is None else {"shape": tuple(shape)}

    def _constant_of(self, operands: list[tuple[str, ...]], position: int) -> list[Any] | None:
        constant = self.constants.get(operands[position][0])
        return None if constant is None else list(constant.tolist())

    def _taken(self, value: Any) -> tuple[str, ...]:
        """Names of what an operand holds; of none where an optional one is not given."""
        return self.names[value.id] if value.initialized() else ()

    def _made(self, value: Any, name: str) -> tuple[str, ...]:
        if not value.initialized():
            return ()
        parts = self._lists.get(value.id)
        if parts is None:
            self._name(value, name)
        else:
            names = [f"{name}.{i}" for i in range(len(parts.results()))]
            for part, part_name in zip(parts.results(), names, strict=True):
                self._name(part, part_name)
            self.names[value.id] = tuple(names)
        return self.names[value.id]

    def _name(self, value: Any, name: str) -> None:
        self.names[value.id] = (name,)
        self.values[name] = value

    def _new_name(self, op: Any, kind: str) -> str:
        """Where ppdet made the operator, what it is, and which of its kind."""
        kind = kind.rstrip("_")  # of an operator that works in place
        count = self._counts[kind] = self._counts.get(kind, -1) + 1
        return f"{op.attrs().get('struct_name', '/')}{kind}_{count}"


def _constant(kind: str, attributes: Mapping[str, Any]) -> np.ndarray:
    if kind == "full_int_array":
        return np.array(attributes["value"], np.int64)
    return np.full(attributes["shape"], attributes["value"])
