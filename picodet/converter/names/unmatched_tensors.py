"""Tensors that legitimately exist on one side only: name, reason, and the value they must have."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from picodet.config import feature_map_sizes
from picodet.formats.precision import as_float32
from picodet.ops.anchor_points import make_anchor_points

# ppdet's EMA includes constants, and its bias correction makes them too large: by 1.2e-4 after an
# epoch, 1e-2 after five steps.
EMA_TOLERANCE = 0.02


Arrays = Mapping[str, np.ndarray]


class Context(NamedTuple):
    """Facts that the expected value of a tensor may depend on."""

    arrays: Arrays  # the whole checkpoint
    input_size: tuple[int, int]  # height, width


class UnmatchedRule(NamedTuple):
    """Tensors of a checkpoint that the PyTorch model does not have."""

    pattern: re.Pattern[str]
    reason: str
    # the problem of this value, in float32, or None
    problem: Callable[[re.Match[str], np.ndarray, Context], str | None]
    # to Paddle: the tensors that belong beside these arrays, by ppdet's names
    reconstruct: Callable[[Arrays], dict[str, np.ndarray]]


def _scale_problem(_: re.Match[str], array: np.ndarray, __: Context) -> str | None:
    if array.shape != (1,) or not np.isfinite(array).all():
        return f"found {array.ravel()[:3]} of shape {list(array.shape)}; expected one finite number"
    return None


def _initial_scales(arrays: Arrays) -> dict[str, np.ndarray]:
    """One for each level, with ppdet's initial value, which training does not change."""
    levels = range(3, 7) if "head.distribution_project.project" in arrays else ()
    return {f"head.p{level}_feat.scale_reg": np.ones(1, np.float32) for level in levels}


def _anchor_points_problem(match: re.Match[str], array: np.ndarray, context: Context) -> str | None:
    points, strides = make_anchor_points(feature_map_sizes(context.input_size))
    expected = points if match["kind"] == "anchor_points" else strides
    if array.shape == expected.shape and np.allclose(array, expected, EMA_TOLERANCE, atol=0):
        return None
    height, width = context.input_size
    return (
        f"found {list(array.shape)}; expected {list(expected.shape)}, the values for a "
        f"{height}x{width} input; is --input-size right?"
    )


def _reconstruct_nothing(_: Arrays) -> dict[str, np.ndarray]:
    """Nothing: not all versions of the other side have these tensors."""
    return {}


def _duplicate_problem(match: re.Match[str], array: np.ndarray, context: Context) -> str | None:
    other = f"head.head_{match['kind']}{match['level']}.{match['leaf']}"
    if other not in context.arrays:
        return f"{other}, the same layer under its other name, is missing"
    same = as_float32(context.arrays[other])
    if same is None or not np.array_equal(array, same, equal_nan=True):
        return f"differs from {other}, the same layer under its other name"
    return None


def _duplicate_predictors(arrays: Arrays) -> dict[str, np.ndarray]:
    """The predictors of PicoHeadV2 by their second names; the other head has none."""
    if not any(name.startswith("head.head_reg") for name in arrays):
        return {}
    predictors = {name: PREDICTOR.fullmatch(name) for name in arrays}
    return {
        match.expand(r"head.head_\g<kind>_list.\g<level>.\g<leaf>"): arrays[name]
        for name, match in predictors.items()
        if match
    }


PREDICTOR = re.compile(r"head\.head_(?P<kind>cls|reg)(?P<level>\d+)\.(?P<leaf>weight|bias)")

PADDLE_ONLY = (
    UnmatchedRule(
        re.compile(r"head\.p[3-6]_feat\.scale_reg"),
        "made by ppdet's GFLHead, never used by PicoHead (gfl_head.py:230)",
        _scale_problem,
        _initial_scales,
    ),
    UnmatchedRule(
        re.compile(r"head\.(?P<kind>anchor_points|stride_tensor)"),
        "computed from the input size (pico_head.py, _generate_anchors)",
        _anchor_points_problem,
        _reconstruct_nothing,
    ),
    UnmatchedRule(
        re.compile(r"head\.head_(?P<kind>cls|reg)_list\.(?P<level>\d+)\.(?P<leaf>weight|bias)"),
        "a predictor registered a second time (ppdet since 2022-09)",
        _duplicate_problem,
        _duplicate_predictors,
    ),
)


def _unused_predictor_problem(_: re.Match[str], array: np.ndarray, context: Context) -> str | None:
    bins = len(context.arrays.get("bbox_head.integral.project", ()))
    if array.shape[:1] == (4 * bins,):
        return None
    return f"found {list(array.shape)}; expected 4 x {bins} outputs, one per bin and box side"


MMDET_ONLY = (
    UnmatchedRule(
        re.compile(r"bbox_head\.p[3-6]_feat\.scale_reg"),
        "copied from ppdet by the port's ppdet2mmdet.py, never used",
        _scale_problem,
        _reconstruct_nothing,
    ),
    UnmatchedRule(
        re.compile(r"bbox_head\.gfl_reg\.\d\.(weight|bias)"),
        "made by the port's first head, never used where classes and regression share predictors",
        _unused_predictor_problem,
        _reconstruct_nothing,
    ),
)

TORCH_ONLY_SUFFIX = ".num_batches_tracked"
TORCH_ONLY_REASON = "counts the batches torch's batch norm was trained on; starts at 0"

# Layers of an ImageNet classifier behind the backbone, by the first segment of their names; in
# ppdet's and PaddleClas's spelling.
CLASSIFIER_TAIL = re.compile(r"_?(conv2|last_conv|conv_last|fc|out)\b")
CLASSIFIER_REASON = "the classifier behind the backbone"
