"""Mosaic with mix-up, and AugmentHSV: the augmentation of picodet_s_416_coco_npu.

As ppdet/data/transform/operators.py:2193-2258 and :3177-3528 (2.6.0), with the same draws from
NumPy's generator and from Python's. Boxes that end up without area are kept, as there.
"""

import math
from collections.abc import Sequence
from random import Random

import cv2
import numpy as np

from picodet.training.data.transforms import LabeledImage

PROBABILITY = 0.6  # that an image becomes a mosaic
NUM_IMAGES = 5  # four, and the one for mix-up
SIDE = 640  # of the resulting square, pixels
GRAY = 114  # of the background
CENTERS = (0.5 * SIDE, 1.5 * SIDE)  # range of the mosaic's center, pixels
DEGREES, SCALES, SHEARS, SHIFTS = (-10, 10), (0.1, 2.0), (-2, 2), (-0.1, 0.1)
MIXED_SCALES = (0.5, 1.5)
HSV_GAINS = (5, 30, 30)  # hue 0 .. 179, saturation, value 0 .. 255


def mosaic(
    samples: Sequence[LabeledImage], random: np.random.RandomState, python_rng: Random
) -> LabeledImage:
    """Five images uint8 RGB -> one of SIDE x SIDE, or, with probability 0.4, the first."""
    if random.uniform(0.0, 1.0) > PROBABILITY:
        return samples[0]
    four = _random_affine(_mosaic_canvas(samples[:4], python_rng), python_rng)
    python_rng.random()  # draws whether to mix; the answer is always yes
    return _mix_up(four, samples[4], python_rng)


def augment_hsv(image: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """image [H, W, 3] uint8 RGB -> float32: hue, saturation and value shifted at random."""
    moves = random.uniform(-1, 1, 3) * HSV_GAINS
    moves *= random.randint(0, 2, 3)
    values = np.arange(256, dtype=np.uint8)
    hue = (values + moves[0]) % 180
    saturation, value = (np.clip(values + move, 0, 255) for move in moves[1:])
    table = np.stack([hue, saturation, value], axis=1).astype(np.uint8)[None]
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), table)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)


def _mosaic_canvas(samples: Sequence[LabeledImage], python_rng: Random) -> LabeledImage:
    """Four images around a random center of a canvas of 2 SIDE x 2 SIDE, the top two first."""
    canvas = np.full((2 * SIDE, 2 * SIDE, 3), GRAY, np.uint8)
    y, x = int(python_rng.uniform(*CENTERS)), int(python_rng.uniform(*CENTERS))
    boxes = []
    for index, (image, its_boxes, _) in enumerate(samples):
        below, right = divmod(index, 2)
        scale, resized = _resized_to_fit(image)
        height, width = resized.shape[:2]
        left, top = x - (0 if right else width), y - (0 if below else height)
        x1, x2 = max(left, 0), min(left + width, 2 * SIDE)
        y1, y2 = max(top, 0), min(top + height, 2 * SIDE)
        canvas[y1:y2, x1:x2] = resized[y1 - top : y2 - top, x1 - left : x2 - left]
        boxes.append(scale * its_boxes + np.array([left, top, left, top], np.float32))
    together = np.clip(np.concatenate(boxes), 0, 2 * SIDE)
    return LabeledImage(canvas, together, np.concatenate([each.classes for each in samples]))


def _random_affine(sample: LabeledImage, python_rng: Random) -> LabeledImage:
    """Randomly rotated, scaled, sheared and shifted into SIDE x SIDE."""
    degrees, scale = python_rng.uniform(*DEGREES), python_rng.uniform(*SCALES)
    turn = cv2.getRotationMatrix2D((0, 0), degrees, scale)
    tangent = math.tan(python_rng.uniform(*SHEARS) * math.pi / 180)
    matrix = turn + tangent * turn[::-1]
    matrix[:, 2] = python_rng.uniform(*SHIFTS) * SIDE
    image = cv2.warpAffine(sample.image, matrix, (SIDE, SIDE), borderValue=(GRAY,) * 3)
    corners = np.ones((len(sample.boxes) * 4, 3))
    corners[:, :2] = sample.boxes[:, [0, 1, 2, 3, 0, 3, 2, 1]].reshape(-1, 2)
    moved = (corners @ matrix.T).reshape(-1, 4, 2)
    boxes = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
    return LabeledImage(image, np.clip(boxes, 0, SIDE).astype(np.float32), sample.classes)


def _mix_up(sample: LabeledImage, other: LabeledImage, python_rng: Random) -> LabeledImage:
    """The mean of the sample and of a random crop of the other, randomly scaled and flipped."""
    jitter, flipped = python_rng.uniform(*MIXED_SCALES), python_rng.uniform(0, 1) > 0.5
    scale, resized = _resized_to_fit(other.image)
    canvas = np.full((SIDE, SIDE, 3), GRAY, np.uint8)
    canvas[: resized.shape[0], : resized.shape[1]] = resized
    side = int(SIDE * jitter)
    scaled = cv2.resize(canvas, (side, side))
    padded = np.zeros((max(side, SIDE), max(side, SIDE), 3), np.uint8)
    padded[:side, :side] = scaled[:, ::-1] if flipped else scaled
    spare = padded.shape[0] - SIDE
    y, x = (python_rng.randint(0, spare - 1) if spare else 0 for _ in range(2))
    part = padded[y : y + SIDE, x : x + SIDE]
    boxes = np.clip(other.boxes * np.float32(scale * jitter), 0, side)
    if flipped:
        boxes[:, [0, 2]] = side - boxes[:, [2, 0]]
    boxes = np.clip(boxes - np.array([x, y, x, y], np.float32), 0, SIDE)
    half = np.float32(0.5)
    image = half * sample.image.astype(np.float32) + half * part.astype(np.float32)
    return LabeledImage(
        image.astype(np.uint8),
        np.concatenate([sample.boxes, boxes]),
        np.concatenate([sample.classes, other.classes]),
    )


def _resized_to_fit(image: np.ndarray) -> tuple[float, np.ndarray]:
    """The factor that fits an image into SIDE x SIDE, and the resized image."""
    height, width = image.shape[:2]
    scale = min(SIDE / height, SIDE / width)
    size = int(width * scale), int(height * scale)
    return scale, cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
