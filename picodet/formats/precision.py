"""Converts every dtype that a checkpoint may have to float32."""

import numpy as np


def as_float32(array: np.ndarray) -> np.ndarray | None:
    """A writable float32 copy; None for a dtype that weights do not have.

    float16 and bfloat16 (which NumPy lacks and Paddle stores as uint16: the upper half of a
    float32) are exact; float64 is rounded.
    """
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    if array.dtype.kind != "f":
        return None
    with np.errstate(over="ignore"):  # overflow gives Inf, which is reported
        return array.astype(np.float32)
