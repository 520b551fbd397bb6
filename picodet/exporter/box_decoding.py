"""Behind the predictors: scores and distributions as ppdet's raw exports have them, or boxes."""

import numpy as np
from onnx import TensorProto

from picodet.config import STRIDES
from picodet.exporter.graph import Map, Predicted
from picodet.exporter.onnx_builder import GraphWriter
from picodet.models.head import SCORE_EPSILON
from picodet.ops.anchor_points import make_anchor_points

CORNERS = (-1, -1, 1, 1)  # left and top are taken from a cell's centre, right and bottom added


def write_heads(writer: GraphWriter, predicted: Predicted) -> list[str]:
    """Scores [B, h * w, C] of each level, then distributions [B, h * w, 4 * bins], not softmaxed.

    This is what ppdet exports without post-processing (pico_head.py:366-371, 626-637).
    """
    scores = []
    for of_level, stride in zip(_scores(writer, predicted), STRIDES, strict=True):
        cells = _cells(writer, of_level)
        scores.append(writer.add("Transpose", [cells], f"scores_{stride}", perm=[0, 2, 1]))
    sides = []
    for raw, stride in zip(predicted.sides, STRIDES, strict=True):
        cells = _cells(writer, raw)
        sides.append(writer.add("Transpose", [cells], f"sides_{stride}", perm=[0, 2, 1]))
    return scores + sides


def write_boxes(writer: GraphWriter, predicted: Predicted, project: np.ndarray) -> tuple[str, str]:
    """Boxes [B, A, 4] xyxy in pixels of the network's input, and scores [B, C, A].

    project [bins]: the distance that each bin stands for, in strides. The arithmetic is that of
    picodet.ops.decode, in its order.
    """
    of_levels = [_cells(writer, of_level) for of_level in _scores(writer, predicted)]
    scores = writer.add("Concat", of_levels, "scores", axis=2)

    sides = writer.add("Concat", [_cells(writer, m) for m in predicted.sides], "sides", axis=2)
    last = writer.add("Transpose", [sides], "sides.last", perm=[0, 2, 1])
    bins = writer.reshape(last, [0, -1, 4, len(project)], "head.integral.bins")
    # over the last axis, where Softmax means the same before opset 13 and after
    weights = writer.add("Softmax", [bins], "head.integral.softmax", axis=3)
    values = writer.constant(project, "head.integral.project")
    column = writer.reshape(values, [-1, 1], "head.integral.column")
    # onnxruntime takes forty times as long for a vector as for a column
    means = writer.add("MatMul", [weights, column], "head.integral.means")
    distances = writer.reshape(means, [0, -1, 4], "head.integral")

    centres, strides = _lattice(writer, predicted.sides)
    signs = writer.constant(CORNERS, "corners")
    offsets = writer.add("Mul", [distances, signs], "boxes.offsets")
    corners = writer.add("Add", [centres, offsets], "boxes.in_cells")
    return writer.add("Mul", [corners, strides], "boxes"), scores


def _scores(writer: GraphWriter, predicted: Predicted) -> list[Map]:
    """Of each level: probabilities, or, with an alignment, the geometric mean of the two."""
    named = [(m, m.name.removesuffix(".logits")) for m in predicted.logits]
    if not predicted.alignment:
        return [
            Map(writer.add("Sigmoid", [m.name], f"{name}.scores"), m.channels, m.size)
            for m, name in named
        ]
    scores = []
    for (logits, name), alignment in zip(named, predicted.alignment, strict=True):
        both = [
            writer.add("Sigmoid", [logits.name], f"{name}.probabilities"),
            writer.add("Sigmoid", [alignment.name], f"{alignment.name}.probabilities"),
        ]
        product = writer.add("Mul", both, f"{name}.product")
        positive = writer.add("Add", [product, writer.number(SCORE_EPSILON)], f"{name}.positive")
        mean = writer.add("Sqrt", [positive], f"{name}.scores")
        scores.append(Map(mean, logits.channels, logits.size))
    return scores


def _cells(writer: GraphWriter, x: Map) -> str:
    """[B, C, h, w] -> [B, C, h * w]."""
    count = x.size[0] * x.size[1] if x.size else -1
    return writer.reshape(x.name, [0, x.channels, count], f"{x.name}.cells")


def _lattice(writer: GraphWriter, maps: tuple[Map, ...]) -> tuple[str, str]:
    """Centres [A, 4] (x, y, x, y) of all cells in cells of their level, and strides [A, 1]."""
    sizes = tuple(m.size for m in maps if m.size)
    if len(sizes) == len(maps):
        centres, strides = make_anchor_points(sizes)
        corners = np.concatenate([centres, centres], axis=1)
        return writer.constant(corners, "cells.centres"), writer.constant(strides, "cells.strides")
    parts = [_level(writer, m, stride) for m, stride in zip(maps, STRIDES, strict=True)]
    names = [f"cells.{what}" for what in ("centres", "strides")]
    of_centres, of_strides = (
        writer.add("Concat", column, name, axis=0)
        for column, name in zip(zip(*parts, strict=True), names, strict=True)
    )
    return of_centres, of_strides


def _level(writer: GraphWriter, x: Map, stride: int) -> tuple[str, str]:
    """The same of one level, computed from the size of its map when the graph runs."""
    name = f"cells.{stride}"
    shape = writer.add("Shape", [x.name], f"{name}.shape")
    grid = writer.slice(shape, 2, 4, 0, f"{name}.grid")
    columns = []
    for letter, axis in (("x", 1), ("y", 0)):
        side = writer.squeeze(
            writer.slice(grid, axis, axis + 1, 0, f"{name}.{letter}.side"),
            0,
            f"{name}.{letter}.count",
        )
        zero, one = writer.constant(0, "zero", "i8"), writer.constant(1, "one", "i8")
        indices = writer.add("Range", [zero, side, one], f"{name}.{letter}.indices")
        floats = writer.cast(indices, TensorProto.FLOAT, f"{name}.{letter}.floats")
        middles = writer.add("Add", [floats, writer.number(0.5)], f"{name}.{letter}.middles")
        line = writer.unsqueeze(middles, 1 - axis, f"{name}.{letter}.line")
        field = writer.add("Expand", [line, grid], f"{name}.{letter}.field")
        columns.append(writer.reshape(field, [-1, 1], f"{name}.{letter}"))
    centres = writer.add("Concat", columns * 2, f"{name}.centres", axis=1)
    ones = writer.add("Shape", [columns[0]], f"{name}.column")
    return centres, writer.filled(ones, stride, f"{name}.stride")
