"""Color jitter: RandomDistort in the two forms that ppdet had.

ppdet-2.6 (used for the official weights; operators.py:484-595 of release/2.6) works on floats
without clipping, so values may leave 0 .. 255; hue is rotated by up to 18 half turns, which is any
hue. ppdet-2.7 (7d6dc40793) works on bytes, as Pillow's ImageEnhance: `enhance`.

Random numbers are drawn first, in ppdet's order; the arithmetic has its dtypes and order.
"""

from collections.abc import Iterable
from itertools import takewhile
from typing import Literal

import cv2
import numpy as np

from picodet.training.data.pillow_hsv import rotate_hue

# in 2^-16: all sums are below 2^24 of these, exact in float32 in any order
PILLOW_LUMA = np.array([[19595, 38470, 7471, 0x8000]], np.float32) / np.float32(0x10000)
BYTES = np.arange(256, dtype=np.uint8)


def enhance(image: np.ndarray, changes: Iterable[tuple[str, float]]) -> np.ndarray:
    """image [H, W, 3] uint8 RGB -> [H, W, 3] float32, whole numbers: the form of ppdet-2.7.

    changes: (brightness, contrast, saturation or hue; amount), hue in 1 / 256 of a turn.
    """
    for kind, amount in changes:
        if kind == "hue":
            image = rotate_hue(image, amount)
        elif kind == "saturation":
            gray = luma(image)[..., None]
            image = blend(np.broadcast_to(gray, image.shape), image, amount)
        else:
            gray_level = int(luma(image).mean(dtype=np.float64) + 0.5) if kind == "contrast" else 0
            table = blend(np.full_like(BYTES, gray_level), BYTES, amount)
            image = cv2.LUT(image, table)
    return image.astype(np.float32)


def luma(image: np.ndarray) -> np.ndarray:
    """image [H, W, 3] uint8 RGB -> [H, W] uint8."""
    gray: np.ndarray = cv2.transform(image.astype(np.float32), PILLOW_LUMA)
    return gray.astype(np.uint8)


def blend(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """first, second uint8 -> uint8: first + share * (second - first), clipped to 0 .. 255."""
    difference = np.subtract(second, first, dtype=np.float32)
    difference *= np.float32(share)
    difference += first
    return np.clip(difference, 0, 255, out=difference).astype(np.uint8)


Kind = Literal["brightness", "contrast", "saturation", "hue"]
Change = tuple[Kind, float]

KINDS: tuple[Kind, ...] = ("brightness", "contrast", "saturation", "hue")
RANGES = dict.fromkeys(KINDS, (0.5, 1.5)) | {"hue": (-18, 18)}
SKIP_PROBABILITY = 0.5  # of each kind
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.321), (0.211, -0.523, 0.311))
FROM_YIQ = ((1.0, 0.956, 0.621), (1.0, -0.272, -0.647), (1.0, -1.107, 1.705))
BLOCK = 1 << 13  # values of a plane processed at a time, so that they stay in the cache


def distort(
    image: np.ndarray, form: Literal["ppdet-2.6", "ppdet-2.7"], random: np.random.RandomState
) -> np.ndarray:
    """Random color jitter: image [H, W, 3] uint8 RGB -> [H, W, 3].

    ppdet-2.6: float32, float64 if hue came last, uint8 if nothing was done; ppdet-2.7: float32.
    """
    changes = draw_changes(random)
    if form == "ppdet-2.7":
        return enhance(image, changes)
    return apply_changes(image, changes)


def draw_changes(random: np.random.RandomState) -> list[Change]:
    """Random changes, in order: kind and amount."""
    changes: list[Change] = []
    for index in random.permutation(len(KINDS)):
        if not random.uniform(0.0, 1.0) < SKIP_PROBABILITY:
            kind = KINDS[index]
            changes.append((kind, random.uniform(*RANGES[kind])))
    return changes


def apply_changes(image: np.ndarray, changes: Iterable[Change]) -> np.ndarray:
    """image [H, W, 3] uint8 RGB -> [H, W, 3] uint8, float32 or float64: the form of ppdet-2.6."""
    changes = list(changes)
    if not changes:
        return image
    # up to the first change that mixes channels, a lookup table per byte does
    bytewise = list(takewhile(lambda each: each[0] in ("brightness", "contrast"), changes))
    table = np.arange(256, dtype=np.float32)
    for kind, amount in bytewise:
        _change_values(table, kind, amount)
    rest = changes[len(bytewise) :]
    if not rest:
        return cv2.LUT(image, table)
    planes = [cv2.LUT(plane, table) for plane in cv2.split(image)]
    for kind, amount in rest:
        planes = [plane.astype(np.float32, copy=False) for plane in planes]
        if kind == "hue":
            planes = _rotate_hue(planes, amount)
        elif kind == "saturation":
            _saturate(planes, amount)
        else:
            for plane in planes:
                _change_values(plane, kind, amount)
    return cv2.merge(planes)


def _change_values(values: np.ndarray, kind: Kind, amount: float) -> None:
    """values float32, in place."""
    if kind == "brightness":
        values += np.float32(amount)
    else:
        values *= np.float32(amount)


def _saturate(planes: list[np.ndarray], amount: float) -> None:
    """planes 3 of [H, W] float32 RGB, in place: away from their luma."""
    red, green, blue = planes
    luma = red * LUMA[0]
    luma += green * LUMA[1]
    luma += blue * LUMA[2]
    luma *= np.float32(1.0 - amount)
    for plane in planes:
        np.multiply(plane, np.float32(amount), out=plane)
        np.add(plane, luma, out=plane)


def _rotate_hue(planes: list[np.ndarray], half_turns: float) -> list[np.ndarray]:
    """planes 3 of [H, W] float32 RGB -> float64: rotated about the gray axis in YIQ."""
    cosine, sine = np.cos(half_turns * np.pi), np.sin(half_turns * np.pi)
    rotation = np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])
    matrix = np.dot(np.dot(np.array(FROM_YIQ), rotation), np.array(TO_YIQ))
    turned = [np.empty(planes[0].shape) for _ in planes]
    sources = [plane.ravel() for plane in planes]
    targets = [plane.reshape(-1) for plane in turned]
    product = np.empty(BLOCK)
    for start in range(0, sources[0].size, BLOCK):
        red, green, blue = (s[start : start + BLOCK].astype(np.float64) for s in sources)
        scratch = product[: red.size]
        for row, target in zip(matrix, targets, strict=True):
            total = target[start : start + BLOCK]
            np.multiply(red, row[0], out=total)
            np.multiply(green, row[1], out=scratch)
            total += scratch
            np.multiply(blue, row[2], out=scratch)
            total += scratch
    return turned
