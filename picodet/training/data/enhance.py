"""RandomDistort as ppdet does it since 7d6dc40793 (2023-09): Pillow's arithmetic, on bytes.

Pillow blends in float32 and cuts the fraction off (src/libImaging/Blend.c, Convert.c and
ImageEnhance.py of Pillow 13); bit for bit the same.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from picodet.training.data.pillow_hsv import turn

# of 2^16, so that all sums are whole numbers below 2^24: exact in float32 in any order
LUMA = np.array([[19595, 38470, 7471, 0x8000]], np.float32) / np.float32(0x10000)
BYTES = np.arange(256, dtype=np.uint8)


def enhance(picture: np.ndarray, changes: Iterable[tuple[str, float]]) -> np.ndarray:
    """picture [H, W, 3] uint8 RGB -> same, float32 of whole numbers.

    changes: of brightness, contrast, saturation or hue, and how much; hue in 1 / 256 of a turn.
    """
    for kind, amount in changes:
        if kind == "hue":
            picture = turn(picture, amount)
        elif kind == "saturation":
            grey = luma(picture)[..., None]
            picture = blend(np.broadcast_to(grey, picture.shape), picture, amount)
        else:
            centre = int(luma(picture).mean(dtype=np.float64) + 0.5) if kind == "contrast" else 0
            table = blend(np.full_like(BYTES, centre), BYTES, amount)
            picture = cv2.LUT(picture, table)
    return picture.astype(np.float32)


def luma(picture: np.ndarray) -> np.ndarray:
    """picture [H, W, 3] uint8 RGB -> [H, W] uint8."""
    grey: np.ndarray = cv2.transform(picture.astype(np.float32), LUMA)
    return grey.astype(np.uint8)


def blend(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Two of one shape, uint8 -> uint8: first + share * (second - first), cut off at both ends."""
    difference = np.subtract(second, first, dtype=np.float32)
    difference *= np.float32(share)
    difference += first
    return np.clip(difference, 0, 255, out=difference).astype(np.uint8)
