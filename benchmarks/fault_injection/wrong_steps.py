"""Mistakes of ports in the steps before and after the network.

Each replaces a function of picodet.data.preprocess, picodet.ops.decode or picodet.ops.postprocess.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from picodet.config import FeatureMapSize, Preprocessing
from picodet.data import preprocess
from picodet.models.head import HeadOutput
from picodet.ops import decode as decoding
from picodet.ops import postprocess
from picodet.ops.anchor_points import make_anchor_points
from picodet.ops.nms import multiclass_nms
from picodet.ops.postprocess import Candidates, Detections

Function = Callable[[Tensor], Tensor]


# images


def resize_with(interp: int) -> Callable[..., np.ndarray]:
    """Resize that ignores the requested interp."""
    right = preprocess.resize
    return lambda image, size, _: right(image, size, interp)


def size_swapped(image: np.ndarray, size: tuple[int, int], interp: int) -> np.ndarray:
    """Resize with height and width swapped, as in cv2.resize(image, (h, w))."""
    resized = cv2.resize(image, size, interpolation=interp)
    return np.ascontiguousarray(resized.transpose(1, 0, 2)) if size[0] != size[1] else resized


def letterbox(image: np.ndarray, size: tuple[int, int], interp: int) -> np.ndarray:
    """Resize that keeps the aspect ratio and pads with gray."""
    factor = min(size[0] / image.shape[0], size[1] / image.shape[1])
    inner = cv2.resize(image, None, fx=factor, fy=factor, interpolation=interp)
    result = np.full((*size, 3), 114, np.uint8)
    height, width = inner.shape[:2]
    result[:height, :width] = inner[: size[0], : size[1]]
    return result


def floats(image: np.ndarray, size: tuple[int, int], interp: int) -> np.ndarray:
    """Resize of float32 values instead of bytes."""
    fy, fx = size[0] / image.shape[0], size[1] / image.shape[1]
    return cv2.resize(image.astype(np.float32), None, fx=fx, fy=fy, interpolation=interp)


def normalize_with(
    scale: float = 255, bgr: bool = False, numbers_reversed: bool = False, in_one: bool = False
) -> Callable[[np.ndarray, Preprocessing], np.ndarray]:
    """Normalization with ppdet's roundings; in_one: by one factor and one offset in float32."""
    order = slice(None, None, -1 if numbers_reversed else 1)

    def normalize(image: np.ndarray, numbers: Preprocessing) -> np.ndarray:
        mean, std = np.array(numbers.mean[order]), np.array(numbers.std[order])
        rgb = (image if bgr else image[..., ::-1]).astype(np.float32)
        if in_one:
            factor, offset = (1 / (std * scale)).astype("f4"), (mean / std).astype("f4")
            array = rgb * factor - offset
        else:
            centered = (rgb * np.float32(1 / scale) - mean).astype(np.float32)
            array = (centered / std).astype(np.float32)
        return np.ascontiguousarray(array.transpose(2, 0, 1))

    return normalize


# boxes


def anchor_points_with(
    shift: Callable[[np.ndarray, np.ndarray], np.ndarray], stride64: int = 64
) -> Callable[[tuple[FeatureMapSize, ...]], tuple[np.ndarray, np.ndarray]]:
    """Shifted anchor points, and strides with another value for the coarsest level."""

    def function(levels: tuple[FeatureMapSize, ...]) -> tuple[np.ndarray, np.ndarray]:
        points, strides = make_anchor_points(levels)
        moved = np.ascontiguousarray(shift(points, strides), np.float32)
        return moved, np.where(strides == 64, np.float32(stride64), strides)

    return function


def boxes_of(order: list[int]) -> Callable[[Tensor, Tensor], Tensor]:
    """Boxes from distances in another order than left, top, right, bottom."""
    right = decoding.distances_to_boxes
    return lambda points, distances: right(points, distances[..., order])


def decode_then(
    boxes: Function = lambda x: x, scores: Function = lambda x: x
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Decoding with another function applied to the boxes or the scores."""
    right = decoding.decode

    def decode(output: HeadOutput, project: Function) -> tuple[Tensor, Tensor]:
        made = right(output, project)
        return boxes(made[0]), scores(made[1])

    return decode


def nms_with(**settings: Any) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """NMS that ignores the requested settings and uses these."""
    return lambda boxes, scores, *_, **__: multiclass_nms(boxes, scores, **settings)


def nms_plus_one(boxes: np.ndarray, scores: np.ndarray, *_: Any) -> tuple[np.ndarray, np.ndarray]:
    """NMS of boxes that are one pixel larger, as with `normalized=False`."""
    return multiclass_nms(boxes + np.array([0, 0, 1, 1], boxes.dtype), scores)


def nms_over_all(boxes: np.ndarray, scores: np.ndarray, *_: Any) -> tuple[np.ndarray, np.ndarray]:
    """NMS in which a box suppresses those of other classes too."""
    best = scores.argmax(axis=0)
    kept = multiclass_nms(boxes, scores.max(axis=0, keepdims=True))[1]
    return best[kept], kept


def nms_last_of_equal(
    boxes: np.ndarray, scores: np.ndarray, *_: Any
) -> tuple[np.ndarray, np.ndarray]:
    """NMS in which the last of equal scores comes first, as after an unstable sort."""
    classes, kept = multiclass_nms(boxes[::-1], scores[:, ::-1])
    return classes, len(boxes) - 1 - kept


def nms_by_score(boxes: np.ndarray, scores: np.ndarray, *_: Any) -> tuple[np.ndarray, np.ndarray]:
    """NMS whose result is sorted by score instead of by class."""
    classes, kept = multiclass_nms(boxes, scores)
    order = np.argsort(-scores[classes, kept], kind="stable")
    return classes[order], kept[order]


def apply_nms_with(
    factor: Callable[[np.ndarray], np.ndarray] = lambda yx: yx,
    after: Callable[[np.ndarray], np.ndarray] = lambda boxes: boxes,
) -> Callable[..., Detections]:
    """Post-processing with a changed scale factor, or with changed boxes at the end."""
    right = postprocess.apply_nms

    def apply_nms(candidates: Candidates, yx: np.ndarray, threshold: float) -> Detections:
        found = right(candidates, factor(yx), threshold)
        return Detections(after(found.boxes), found.scores, found.classes)

    return apply_nms
