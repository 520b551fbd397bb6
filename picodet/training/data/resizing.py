"""BatchRandomResize, NormalizeImage and Permute: a picture -> its place in the batch.

As ppdet/data/transform/batch_operators.py:121-160 and operators.py:370-432, :848-867; whatever
the picture is, bytes, float32 or float64, it is resized as that, and then it is float32.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from picodet.config import Preprocessing
from picodet.training.recipes.schema import Size

INTERPS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
BLOCK = 1 << 15  # values that are normalised at a time, so that they stay in the cache


def draw_resize(sizes: Sequence[Size], random: np.random.RandomState) -> tuple[Size, int]:
    """The size and the interpolation of a batch."""
    size = sizes[random.choice(len(sizes))]
    return size, int(random.choice(INTERPS))


def resize(picture: np.ndarray, size: Size, interp: int) -> np.ndarray:
    """picture [H, W, 3] -> [*size, 3] float32, without regard to proportions."""
    fy, fx = size[0] / picture.shape[0], size[1] / picture.shape[1]
    resized = cv2.resize(picture, None, fx=fx, fy=fy, interpolation=interp)
    return resized.astype(np.float32, copy=False)


def resize_boxes(boxes: np.ndarray, picture: Size, size: Size) -> np.ndarray:
    """boxes [n, 4] float32 xyxy in pixels of a picture -> of one that was resized; cut off there.

    None is left out, however small.
    """
    factors = np.array([size[1] / picture[1], size[0] / picture[0]] * 2, np.float32)
    return np.clip(boxes * factors, 0, np.array([size[1], size[0]] * 2, np.float32))


def normalise_into(target: np.ndarray, picture: np.ndarray, preprocessing: Preprocessing) -> None:
    """picture [H, W, 3] float32 RGB -> target [3, H, W] float32.

    Scaled in float32; then mean and std in float64, after each rounded to float32, as ppdet.
    """
    wide = np.empty(BLOCK)
    channels = zip(cv2.split(picture), target, preprocessing.mean, preprocessing.std, strict=True)
    for channel, plane, mean, std in channels:
        values, normalised = channel.reshape(-1), plane.reshape(-1)
        for start in range(0, values.size, BLOCK):
            part = normalised[start : start + BLOCK]
            scratch = wide[: part.size]
            np.multiply(values[start : start + BLOCK], np.float32(1 / 255), out=part)
            scratch[:] = part
            scratch -= mean
            part[:] = scratch
            scratch[:] = part
            scratch /= std
            part[:] = scratch
