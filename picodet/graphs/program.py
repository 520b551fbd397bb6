"""What both readers of programs share: size limits, checks, and the result."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from picodet.errors import CheckpointError, GraphError
from picodet.files import regular_file
from picodet.graphs.graph import Graph, Node

# S-416 with its NMS has 1,461 operators; those of the pedestrian model have 14,467 inputs, outputs
# and attributes
MAX_OPERATORS = 6_000
MAX_PARTS = 200_000
MAX_DIMENSIONS = 16
MAX_NAME = 1000  # characters; longer names are derived from some


@dataclass(frozen=True)
class Program:
    """A program with its weights.

    `shapes` are those of the graph's inputs; None for a dynamic dimension.
    """

    graph: Graph
    shapes: Mapping[str, tuple[int | None, ...]]


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file. Raises CheckpointError where it cannot be read, or is too large."""
    try:
        with regular_file(path).open("rb") as file:
            content = file.read(min(path.stat().st_size, limit) + 1)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise CheckpointError(
            f"{path}: a program of more than {limit:,} bytes, over twice the largest PicoDet's; "
            "expected the output of ppdet's export_model.py"
        )
    return content


def check_node(
    node: Node, inputs: Mapping[str, object], constants: Mapping[str, np.ndarray]
) -> None:
    """Raise GraphError for a node that overwrites an input or constant, or has an invalid one."""
    for name in node.outputs:
        if name in inputs or name in constants:
            raise GraphError(f"{node.kind} writes {name}, an input or a weight of the program")
    if node.kind == "conv":
        name = node.weights.get("weight", "")
        made = bool(name) and name not in inputs and name not in constants  # by fake quantization
        if not made and (name not in constants or constants[name].ndim != 4):
            raise GraphError(f"conv {node.name} has no constant weight of four dimensions")
    if node.kind == "reshape" and node.inputs[0] in constants:
        shape, size = node.settings.get("shape"), constants[node.inputs[0]].size
        if shape is not None and not _can_reshape(size, shape):
            raise GraphError(f"reshape {node.name} of {size:,} constant values to {list(shape)}")


def _can_reshape(size: int, shape: tuple[int, ...]) -> bool:
    """Whether `size` values can have a shape; one dimension may be -1, which is inferred."""
    dims = [dim for dim in shape if dim != -1]
    if min(dims, default=1) < 1 or len(shape) - len(dims) > 1:
        return False
    return size == prod(dims) if len(dims) == len(shape) else size % prod(dims) == 0


def input_shapes(
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, tuple[int | None, ...]]:
    """The inputs with the image, which has four dimensions, first; None for a dimension below 0."""
    names = sorted(shapes, key=lambda name: len(shapes[name]) != 4)
    return {name: tuple(None if dim < 0 else dim for dim in shapes[name]) for name in names}
