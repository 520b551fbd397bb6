"""Programs as Paddle 2 wrote them: `.pdmodel`. Imported in Paddle's process only."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import paddle

from picodet.graphs.graph import Graph, Node


class Spelling(NamedTuple):
    """How an operator names what it takes and makes; what is not named is of no interest."""

    kind: str
    inputs: tuple[str, ...] = ("X",)
    outputs: str = "Out"
    weights: Mapping[str, str] = {}  # by role


_CONV = Spelling("conv", ("Input",), "Output", {"weight": "Filter", "bias": "Bias"})
SPELLINGS = {
    "conv2d": _CONV,
    "depthwise_conv2d": _CONV,
    "batch_norm": Spelling(
        "batch_norm",
        outputs="Y",
        weights={
            "weight": "Scale",
            "bias": "Bias",
            "running_mean": "Mean",
            "running_var": "Variance",
        },
    ),
    "hard_swish": Spelling("hardswish"),
    "relu": Spelling("relu"),
    "hard_sigmoid": Spelling("hardsigmoid"),
    "sigmoid": Spelling("sigmoid"),
    "softmax": Spelling("softmax"),
    "elementwise_add": Spelling("add", ("X", "Y")),
    "elementwise_mul": Spelling("mul", ("X", "Y")),
    "elementwise_div": Spelling("div", ("X", "Y")),
    "matmul": Spelling("matmul", ("X", "Y")),
    "matmul_v2": Spelling("matmul", ("X", "Y")),
    "concat": Spelling("concat"),
    "split": Spelling("split"),
    "pool2d": Spelling("pool"),
    "nearest_interp": Spelling("upsample"),
    "nearest_interp_v2": Spelling("upsample"),
    "reshape2": Spelling("reshape"),
    "transpose2": Spelling("transpose"),
    "scale": Spelling("scale"),
    "multiclass_nms3": Spelling("nms", ("BBoxes", "Scores")),
}


class OldProgram:
    """A loaded program, its graph, and how to run it."""

    def __init__(self, prefix: Path) -> None:
        with _old_mode():
            self._executor = paddle.static.Executor(paddle.CPUPlace())
            self._program, feeds, fetches = paddle.static.load_inference_model(
                str(prefix), self._executor
            )
            block = self._program.global_block()
            shapes = {name: block.var(name).shape for name in feeds}
            self.graph = Graph(
                nodes=tuple(_nodes(block)),
                inputs=tuple(sorted(feeds, key=lambda name: len(shapes[name]) != 4)),
                outputs=tuple(variable.name for variable in fetches),
                constants=_parameters(block),
            )
        sides = shapes[self.graph.inputs[0]]
        self.input_shape = [None if side < 0 else int(side) for side in sides]

    def run(self, feed: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """The values of the named tensors."""
        with _old_mode():
            return list(self._executor.run(self._program, dict(feed), list(names)))


def _nodes(block: Any) -> Iterator[Node]:
    for op in block.ops:
        if op.type not in ("feed", "fetch"):
            yield _node(op)


def _node(op: Any) -> Node:
    spelling = SPELLINGS.get(op.type)
    if spelling is None:
        inputs, outputs = tuple(op.input_arg_names), tuple(op.output_arg_names)
        return Node(op.type, inputs, outputs)
    return Node(
        kind=_kind(spelling.kind, op),
        inputs=tuple(name for slot in spelling.inputs for name in op.input(slot)),
        outputs=tuple(op.output(spelling.outputs)),
        weights={
            role: op.input(slot)[0]
            for role, slot in spelling.weights.items()
            if slot in op.input_names and op.input(slot)
        },
        settings=_settings(op),
    )


def _kind(kind: str, op: Any) -> str:
    if kind == "pool":
        whole = op.attr("global_pooling") or (op.attr("adaptive") and op.attr("ksize") == [1, 1])
        return pool_kind(op.attr("pooling_type"), whole)
    if kind == "scale" and (op.attr("scale"), op.attr("bias")) == (1, 0):
        return "identity"  # what an export puts before each of its outputs
    return kind


def pool_kind(pooling: str, whole: bool) -> str:
    """`whole`: one value for each channel."""
    return f"{pooling}_pool" if whole == (pooling == "avg") else f"other_{pooling}_pool"


def _settings(op: Any) -> dict[str, Any]:
    if op.type.startswith("elementwise_"):
        return {"axis": op.attr("axis")}
    if op.type == "transpose2":
        return {"permutation": tuple(op.attr("axis"))}
    if op.type == "reshape2":
        computed = [slot for slot in op.input_names if slot != "X" and op.input(slot)]
        return {} if computed else {"shape": tuple(op.attr("shape"))}
    return {}


def _parameters(block: Any) -> dict[str, np.ndarray]:
    scope = paddle.static.global_scope()
    return {
        variable.name: np.array(scope.find_var(variable.name).get_tensor())
        for variable in block.vars.values()
        if variable.persistable and variable.name not in ("feed", "fetch")
    }


def _old_mode() -> AbstractContextManager[Any]:
    """Paddle 3 reads a .pdmodel only like this; Paddle 2 knows no other way."""
    guard: type[AbstractContextManager[Any]]
    guard = getattr(paddle.pir_utils, "OldIrGuard", nullcontext)
    return guard()
