"""Every number format that a checkpoint may come in, as float32."""

import numpy as np


def as_float32(array: np.ndarray) -> np.ndarray | None:
    """A float32 copy that can be written to; None for numbers that are not weights.

    float16 and bfloat16 (which NumPy lacks and Paddle stores as uint16: the upper half of a
    float32) are exact; float64 is rounded.
    """
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    if array.dtype.kind != "f":
        return None
    with np.errstate(over="ignore"):  # beyond float32 is Inf, and reported as that
        return array.astype(np.float32)
