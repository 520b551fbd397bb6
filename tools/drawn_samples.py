"""Pictures and boxes that are drawn from a seed, the same on every machine, for what is recorded.

np.random.RandomState, not Generator: its streams are frozen for good.
"""

import hashlib

import numpy as np


def picture(seed: int) -> np.ndarray:
    """[H, W, 3] uint8: slopes, edges and noise; of whole numbers alone."""
    drawn = np.random.RandomState(seed)
    height, width = drawn.randint(90, 240, 2)
    y, x = np.mgrid[:height, :width]
    slopes = drawn.randint(1, 5, (3, 2))
    image = np.stack([(a * y + b * x) // 3 % 256 for a, b in slopes], axis=-1)
    for _ in range(6):
        top, left = drawn.randint(0, height), drawn.randint(0, width)
        image[top : top + height // 3, left : left + width // 3] = drawn.randint(0, 256, 3)
    image = image + drawn.randint(-20, 21, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def boxes(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """[n, 4] float32 xyxy, and classes [n] of 80."""
    drawn = np.random.RandomState(1000 + seed)
    number = drawn.randint(1, 7)
    corners = drawn.uniform(0, 1, (number, 2, 2)) * [width, height]
    first, last = corners.min(axis=1), corners.max(axis=1) + 2
    drawn_boxes = np.concatenate([first, np.minimum(last, [width, height])], axis=1)
    return np.round(drawn_boxes, 3).astype(np.float32), drawn.randint(0, 80, number)


def digest(array: np.ndarray) -> str:
    """Of its values, type and shape.

    Of float64, which a turned hue is in, the values as float32, as the resize takes them: the turn
    is a product of matrices, whose last bit hangs on whether OpenBLAS's kernel for the CPU rounds
    between multiplying and adding.
    """
    values = np.ascontiguousarray(array, np.float32 if array.dtype == np.float64 else None)
    name = f"{array.dtype}{array.shape}"
    return hashlib.sha256(name.encode() + values.tobytes()).hexdigest()[:16]
