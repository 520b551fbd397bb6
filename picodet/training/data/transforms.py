"""Transforms of images and boxes: RandomCrop, RandomFlip, BatchRandomResize, normalization.

The draws from `random` are those of ppdet/data/transform/operators.py (:1459-1804, :643-700 of
PaddleDetection 666f597), one by one, and the arithmetic has its dtypes.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from picodet.config import Preprocessing
from picodet.training.recipes.schema import Size

OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)  # least IoU of a crop with some box
TRIES = 50  # crops for each of them
SCALES = (0.3, 1.0)  # of a crop's sides to the image's, before the aspect ratio
PROPORTIONS = (0.5, 2.0)  # aspect ratio of a crop, relative to the image's
EPSILON = 1e-10  # added to the union


class LabeledImage(NamedTuple):
    """An image and its ground truth."""

    image: np.ndarray  # [H, W, 3] RGB
    boxes: np.ndarray  # [n, 4] float32 xyxy, pixels
    classes: np.ndarray  # [n] int64


def crop(sample: LabeledImage, random: np.random.RandomState) -> LabeledImage:
    """RandomCrop: a crop with a random least IoU that holds a box's center, or the whole image.

    Keeps the boxes whose center is in the crop, clipped. The image is a view.
    """
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
    """RandomFlip: flip left and right with this probability."""
    if not random.uniform(0, 1) < probability:
        return sample
    boxes = sample.boxes.copy()
    boxes[:, [0, 2]] = sample.image.shape[1] - sample.boxes[:, [2, 0]]
    return LabeledImage(cv2.flip(sample.image, 1), boxes, sample.classes)


def _draw_window(
    height: int, width: int, random: np.random.RandomState
) -> tuple[int, int, int, int]:
    """A random crop: x1, y1, x2, y2, pixels."""
    scale = random.uniform(*SCALES)
    proportion = random.uniform(max(PROPORTIONS[0], scale**2), min(PROPORTIONS[1], scale**-2))
    root = math.sqrt(proportion)
    part_height, part_width = int(height * (scale / root)), int(width * (scale * root))
    # a crop as long as the image has one position; ppdet raises there, once in a billion
    y = random.randint(0, max(height - part_height, 1))
    x = random.randint(0, max(width - part_width, 1))
    return x, y, x + part_width, y + part_height


def _overlap(boxes: np.ndarray, areas: np.ndarray, part: tuple[int, int, int, int]) -> np.float32:
    """The greatest IoU of a crop with boxes [n, 4] float32 of areas [n]."""
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
    """Boxes [n, 4] clipped to the crop, in its pixels, and [n] bool: center inside, area left."""
    corners = np.array(part, np.float32)
    first, last = corners[:2], corners[2:]
    cut = np.concatenate([np.maximum(boxes[:, :2], first), np.minimum(boxes[:, 2:], last)], axis=1)
    cut -= np.tile(first, 2)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((first <= centers) & (centers < last)).all(axis=1)
    return cut, inside & (cut[:, :2] < cut[:, 2:]).all(axis=1)


RANDOM_INTERPS = (0, 1, 3, 2, 4)  # cv2's constants in ppdet's order, which random.choice indexes
BLOCK = 1 << 15  # values normalized at a time, so that they stay in the cache


def draw_resize(sizes: Sequence[Size], random: np.random.RandomState) -> tuple[Size, int]:
    """Random size and interpolation (cv2's constant) of a batch."""
    size = sizes[random.choice(len(sizes))]
    return size, int(random.choice(RANDOM_INTERPS))


def resize(image: np.ndarray, size: Size, interp: int) -> np.ndarray:
    """image [H, W, 3] -> [*size, 3] float32, without keeping the aspect ratio."""
    fy, fx = size[0] / image.shape[0], size[1] / image.shape[1]
    resized = cv2.resize(image, None, fx=fx, fy=fy, interpolation=interp)
    return resized.astype(np.float32, copy=False)


def resize_boxes(boxes: np.ndarray, image_size: Size, size: Size) -> np.ndarray:
    """boxes [n, 4] float32 xyxy, scaled from image_size to size and clipped; none is dropped."""
    factors = np.array([size[1] / image_size[1], size[0] / image_size[0]] * 2, np.float32)
    return np.clip(boxes * factors, 0, np.array([size[1], size[0]] * 2, np.float32))


def normalize_into(target: np.ndarray, image: np.ndarray, preprocessing: Preprocessing) -> None:
    """Write image [H, W, 3] float32 RGB, normalized, to target [3, H, W] float32.

    As ppdet: scaled in float32; mean and std in float64, each result rounded to float32.
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
