"""Writes what follows the predictors: raw scores and distributions as ppdet exports, or boxes."""

import numpy as np
from onnx import TensorProto

from picodet.config import STRIDES
from picodet.exporter.graph import FeatureMap, PredictedMaps
from picodet.exporter.onnx_builder import OnnxBuilder
from picodet.models.head import SCORE_EPSILON
from picodet.ops.anchor_points import make_anchor_points

CORNER_SIGNS = (
    -1,
    -1,
    1,
    1,
)  # left and top are subtracted from the anchor point, right and bottom added


def write_heads(builder: OnnxBuilder, predicted: PredictedMaps) -> list[str]:
    """Write the outputs of level "heads"; return their names.

    Scores [B, h * w, C] of each level, then distributions [B, h * w, 4 * bins] before the softmax:
    what ppdet exports without post-processing (pico_head.py:366-371, 626-637).
    """
    scores = []
    for level_map, stride in zip(_write_scores(builder, predicted), STRIDES, strict=True):
        flat = _flatten_map(builder, level_map)
        scores.append(builder.add("Transpose", [flat], f"scores_{stride}", perm=[0, 2, 1]))
    reg = []
    for raw, stride in zip(predicted.reg, STRIDES, strict=True):
        flat = _flatten_map(builder, raw)
        reg.append(builder.add("Transpose", [flat], f"reg_{stride}", perm=[0, 2, 1]))
    return scores + reg


def write_boxes(
    builder: OnnxBuilder, predicted: PredictedMaps, project: np.ndarray
) -> tuple[str, str]:
    """Write boxes [B, A, 4] xyxy in pixels of the network's input, and scores [B, C, A].

    project [bins]: the distance of each regression bin, in strides. The arithmetic and its order
    are those of picodet.ops.decode. Returns the names of both outputs.
    """
    level_scores = [
        _flatten_map(builder, level_map) for level_map in _write_scores(builder, predicted)
    ]
    scores = builder.add("Concat", level_scores, "scores", axis=2)

    reg = builder.add("Concat", [_flatten_map(builder, m) for m in predicted.reg], "reg", axis=2)
    last = builder.add("Transpose", [reg], "reg.last", perm=[0, 2, 1])
    bins = builder.reshape(last, [0, -1, 4, len(project)], "head.integral.bins")
    # over the last axis, where Softmax is the same before and after opset 13
    weights = builder.add("Softmax", [bins], "head.integral.softmax", axis=3)
    values = builder.constant(project, "head.integral.project")
    column = builder.reshape(values, [-1, 1], "head.integral.column")
    # a column: onnxruntime takes forty times as long for a vector
    means = builder.add("MatMul", [weights, column], "head.integral.means")
    distances = builder.reshape(means, [0, -1, 4], "head.integral")

    centers, strides = _anchor_points(builder, predicted.reg)
    signs = builder.constant(CORNER_SIGNS, "corners")
    offsets = builder.add("Mul", [distances, signs], "boxes.offsets")
    corners = builder.add("Add", [centers, offsets], "boxes.in_strides")
    return builder.add("Mul", [corners, strides], "boxes"), scores


def _write_scores(builder: OnnxBuilder, predicted: PredictedMaps) -> list[FeatureMap]:
    """Class probabilities per level; with PicoHeadV2 the geometric mean with the alignment's."""
    named = [(m, m.name.removesuffix(".logits")) for m in predicted.logits]
    if not predicted.alignment:
        return [
            FeatureMap(builder.add("Sigmoid", [m.name], f"{name}.scores"), m.channels, m.size)
            for m, name in named
        ]
    scores = []
    for (logits, name), alignment in zip(named, predicted.alignment, strict=True):
        probabilities = [
            builder.add("Sigmoid", [logits.name], f"{name}.probabilities"),
            builder.add("Sigmoid", [alignment.name], f"{alignment.name}.probabilities"),
        ]
        product = builder.add("Mul", probabilities, f"{name}.product")
        positive = builder.add("Add", [product, builder.scalar(SCORE_EPSILON)], f"{name}.positive")
        mean = builder.add("Sqrt", [positive], f"{name}.scores")
        scores.append(FeatureMap(mean, logits.channels, logits.size))
    return scores


def _flatten_map(builder: OnnxBuilder, x: FeatureMap) -> str:
    """[B, C, h, w] -> [B, C, h * w]."""
    count = x.size[0] * x.size[1] if x.size else -1
    return builder.reshape(x.name, [0, x.channels, count], f"{x.name}.flat")


def _anchor_points(builder: OnnxBuilder, maps: tuple[FeatureMap, ...]) -> tuple[str, str]:
    """Anchor points [A, 4] (x, y, x, y) in units of the stride, and strides [A, 1]."""
    sizes = tuple(m.size for m in maps if m.size)
    if len(sizes) == len(maps):
        centers, strides = make_anchor_points(sizes)
        corners = np.concatenate([centers, centers], axis=1)
        return builder.constant(corners, "anchor_points.centers"), builder.constant(
            strides, "anchor_points.strides"
        )
    parts = [
        _level_anchor_points(builder, m, stride) for m, stride in zip(maps, STRIDES, strict=True)
    ]
    names = [f"anchor_points.{what}" for what in ("centers", "strides")]
    all_centers, all_strides = (
        builder.add("Concat", column, name, axis=0)
        for column, name in zip(zip(*parts, strict=True), names, strict=True)
    )
    return all_centers, all_strides


def _level_anchor_points(builder: OnnxBuilder, x: FeatureMap, stride: int) -> tuple[str, str]:
    """Anchor points and strides of one level, computed from the map's size at run time."""
    name = f"anchor_points.{stride}"
    shape = builder.add("Shape", [x.name], f"{name}.shape")
    grid = builder.slice(shape, 2, 4, 0, f"{name}.grid")
    columns = []
    for letter, axis in (("x", 1), ("y", 0)):
        length = builder.squeeze(
            builder.slice(grid, axis, axis + 1, 0, f"{name}.{letter}.side"),
            0,
            f"{name}.{letter}.count",
        )
        zero, one = builder.constant(0, "zero", "i8"), builder.constant(1, "one", "i8")
        indices = builder.add("Range", [zero, length, one], f"{name}.{letter}.indices")
        floats = builder.cast(indices, TensorProto.FLOAT, f"{name}.{letter}.floats")
        cell_centers = builder.add("Add", [floats, builder.scalar(0.5)], f"{name}.{letter}.middles")
        line = builder.unsqueeze(cell_centers, 1 - axis, f"{name}.{letter}.line")
        plane = builder.add("Expand", [line, grid], f"{name}.{letter}.field")
        columns.append(builder.reshape(plane, [-1, 1], f"{name}.{letter}"))
    centers = builder.add("Concat", columns * 2, f"{name}.centers", axis=1)
    ones = builder.add("Shape", [columns[0]], f"{name}.column")
    return centers, builder.full(ones, stride, f"{name}.stride")
