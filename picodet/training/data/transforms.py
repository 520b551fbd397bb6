"""RandomCrop and RandomFlip: what moves the boxes of an image.

Draws from `random` are those of ppdet/data/transform/operators.py (:1459-1804, :643-700 of
PaddleDetection 666f597), one by one, and the arithmetic is done in its dtypes.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from picodet.config import Preprocessing
from picodet.training.recipes.schema import Size

OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)  # IoU with some box that a crop must reach
TRIES = 50  # for each of them
SCALES = (0.3, 1.0)  # of a crop's sides, before its proportions
PROPORTIONS = (0.5, 2.0)  # width over height, of what they are in the image
EPSILON = 1e-10  # beside the union


class LabeledImage(NamedTuple):
    """An image, and what there is to find in it."""

    image: np.ndarray  # [H, W, 3] RGB
    boxes: np.ndarray  # [n, 4] float32 xyxy, pixels
    classes: np.ndarray  # [n] int64


def crop(sample: LabeledImage, random: np.random.RandomState) -> LabeledImage:
    """A part that holds the center of a box, or all: which overlap is asked for is drawn."""
    areas = (sample.boxes[:, 2] - sample.boxes[:, 0]) * (sample.boxes[:, 3] - sample.boxes[:, 1])
    for index in random.permutation(len(OVERLAPS) + 1):
        if index == len(OVERLAPS):  # no crop
            break
        overlap = OVERLAPS[index]
        for _ in range(TRIES):
            part = _draw_window(sample.image.shape[0], sample.image.shape[1], random)
            if overlap and _overlap(sample.boxes, areas, part) < overlap:
                continue
            boxes, kept = _crop_boxes(sample.boxes, part)
            if kept.any():
                x1, y1, x2, y2 = part
                return LabeledImage(sample.image[y1:y2, x1:x2], boxes[kept], sample.classes[kept])
    return sample


def flip(sample: LabeledImage, probability: float, random: np.random.RandomState) -> LabeledImage:
    """Left and right exchanged, in a share of all cases."""
    if not random.uniform(0, 1) < probability:
        return sample
    boxes = sample.boxes.copy()
    boxes[:, [0, 2]] = sample.image.shape[1] - sample.boxes[:, [2, 0]]
    return LabeledImage(cv2.flip(sample.image, 1), boxes, sample.classes)


def _draw_window(
    height: int, width: int, random: np.random.RandomState
) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2, pixels."""
    scale = random.uniform(*SCALES)
    proportion = random.uniform(max(PROPORTIONS[0], scale**2), min(PROPORTIONS[1], scale**-2))
    root = math.sqrt(proportion)
    part_height, part_width = int(height * (scale / root)), int(width * (scale * root))
    # a side as long as the image's has one place; ppdet fails there, once in a billion
    y = random.randint(0, max(height - part_height, 1))
    x = random.randint(0, max(width - part_width, 1))
    return x, y, x + part_width, y + part_height


def _overlap(boxes: np.ndarray, areas: np.ndarray, part: tuple[int, int, int, int]) -> np.float32:
    """The greatest IoU of a part with boxes [n, 4] float32 of areas [n]."""
    corners = np.array(part, np.float32)
    sides = np.minimum(boxes[:, 2:], corners[2:])
    sides -= np.maximum(boxes[:, :2], corners[:2])
    np.maximum(sides, 0, out=sides)
    shared = sides[:, 0] * sides[:, 1]
    union = areas + (corners[2] - corners[0]) * (corners[3] - corners[1]) - shared
    iou: np.float32 = (shared / (union + EPSILON)).max()
    return iou


def _crop_boxes(
    boxes: np.ndarray, part: tuple[int, int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [n, 4] in the part, cut at its sides, and which [n] have their center in it."""
    corners = np.array(part, np.float32)
    first, last = corners[:2], corners[2:]
    cut = np.concatenate([np.maximum(boxes[:, :2], first), np.minimum(boxes[:, 2:], last)], axis=1)
    cut -= np.tile(first, 2)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((first <= centers) & (centers < last)).all(axis=1)
    return cut, inside & (cut[:, :2] < cut[:, 2:]).all(axis=1)


INTERPOLATIONS = (
    cv2.INTER_NEAREST,
    cv2.INTER_LINEAR,
    cv2.INTER_AREA,
    cv2.INTER_CUBIC,
    cv2.INTER_LANCZOS4,
)
BLOCK = 1 << 15  # values that are normalized at a time, so that they stay in the cache


def draw_resize(sizes: Sequence[Size], random: np.random.RandomState) -> tuple[Size, int]:
    """The size and the interpolation of a batch."""
    size = sizes[random.choice(len(sizes))]
    return size, int(random.choice(INTERPOLATIONS))


def resize(image: np.ndarray, size: Size, interp: int) -> np.ndarray:
    """image [H, W, 3] -> [*size, 3] float32, without regard to proportions."""
    fy, fx = size[0] / image.shape[0], size[1] / image.shape[1]
    resized = cv2.resize(image, None, fx=fx, fy=fy, interpolation=interp)
    return resized.astype(np.float32, copy=False)


def resize_boxes(boxes: np.ndarray, image_size: Size, size: Size) -> np.ndarray:
    """boxes [n, 4] float32 xyxy in pixels of an image -> of one that was resized; cut off there.

    None is left out, however small.
    """
    factors = np.array([size[1] / image_size[1], size[0] / image_size[0]] * 2, np.float32)
    return np.clip(boxes * factors, 0, np.array([size[1], size[0]] * 2, np.float32))


def normalize_into(target: np.ndarray, image: np.ndarray, preprocessing: Preprocessing) -> None:
    """image [H, W, 3] float32 RGB -> target [3, H, W] float32.

    Scaled in float32; then mean and std in float64, after each rounded to float32, as ppdet.
    """
    wide = np.empty(BLOCK)
    channels = zip(cv2.split(image), target, preprocessing.mean, preprocessing.std, strict=True)
    for channel, plane, mean, std in channels:
        values, normalized = channel.reshape(-1), plane.reshape(-1)
        for start in range(0, values.size, BLOCK):
            part = normalized[start : start + BLOCK]
            scratch = wide[: part.size]
            np.multiply(values[start : start + BLOCK], np.float32(1 / 255), out=part)
            scratch[:] = part
            scratch -= mean
            part[:] = scratch
            scratch[:] = part
            scratch /= std
            part[:] = scratch
