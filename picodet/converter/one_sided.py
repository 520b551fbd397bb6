"""What legitimately exists on one side only: its name, the reason, and the value it must have."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from picodet.cells import cell_centres, grids
from picodet.converter.precision import as_float32

# Constants are averaged by ppdet's EMA like weights, and come out too large by what its correction
# for the first steps gets wrong: 1.2e-4 after an epoch, 1e-2 after five steps.
EMA_TOLERANCE = 0.02


class Context(NamedTuple):
    """What the right value of a tensor may depend on."""

    arrays: Mapping[str, np.ndarray]  # the whole checkpoint
    input_size: tuple[int, int]  # height, width


class PaddleOnly(NamedTuple):
    """Tensors of a checkpoint that no model of ours has a place for."""

    pattern: re.Pattern[str]
    reason: str
    # why this value, in float32, is not the right one, or None
    problem: Callable[[re.Match[str], np.ndarray, Context], str | None]


def _unused_scale(_: re.Match[str], array: np.ndarray, __: Context) -> str | None:
    if array.shape != (1,) or not np.isfinite(array).all():
        return f"one finite number expected, found {array.ravel()[:3]} of shape {list(array.shape)}"
    return None


def _centres_of_cells(match: re.Match[str], array: np.ndarray, context: Context) -> str | None:
    centres, strides = cell_centres(grids(context.input_size))
    expected = centres if match["kind"] == "anchor_points" else strides
    if array.shape == expected.shape and np.allclose(array, expected, EMA_TOLERANCE, atol=0):
        return None
    height, width = context.input_size
    return (
        f"not those of a {height}x{width} input: {list(expected.shape)} expected, found "
        f"{list(array.shape)}; is --input-size right?"
    )


def _same_as_its_other_name(
    match: re.Match[str], array: np.ndarray, context: Context
) -> str | None:
    other = f"head.head_{match['kind']}{match['level']}.{match['leaf']}"
    if other not in context.arrays:
        return f"{other} is missing, the same layer under its other name"
    same = as_float32(context.arrays[other])
    if same is None or not np.array_equal(array, same, equal_nan=True):
        return f"differs from {other}, the same layer under its other name"
    return None


PADDLE_ONLY = (
    PaddleOnly(
        re.compile(r"head\.p[3-6]_feat\.scale_reg"),
        "made by ppdet's GFLHead, never used by PicoHead (gfl_head.py:230)",
        _unused_scale,
    ),
    PaddleOnly(
        re.compile(r"head\.(?P<kind>anchor_points|stride_tensor)"),
        "computed from the input size (pico_head.py, _generate_anchors)",
        _centres_of_cells,
    ),
    PaddleOnly(
        re.compile(r"head\.head_(?P<kind>cls|reg)_list\.(?P<level>\d+)\.(?P<leaf>weight|bias)"),
        "a predictor registered a second time (ppdet since 2022-09)",
        _same_as_its_other_name,
    ),
)

OURS_ONLY_SUFFIX = ".num_batches_tracked"
OURS_ONLY_REASON = "counts the batches torch's batch norm was trained on; starts at 0"

# Layers of an ImageNet classifier behind the backbone, by the first segment of their names; in
# ppdet's and PaddleClas's spelling.
CLASSIFIER_TAIL = re.compile(r"_?(conv2|last_conv|conv_last|fc|out)\b")
CLASSIFIER_REASON = "the classifier behind the backbone"
