"""What the network is fed: a preprocessed array from a file, or a picture."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from picodet.config import Preprocessing, check_input_size
from picodet.data.preprocess import preprocess, read_image
from picodet.errors import RecordingError


@dataclass(frozen=True)
class NetworkInput:
    """An array [1, 3, H, W] float32, the scale factor [2] (y, x), and the picture it came from."""

    array: np.ndarray
    scale_factor: np.ndarray
    picture: bytes | None


def read_array(path: Path) -> NetworkInput:
    """A .npy of a preprocessed picture, which is then its own picture: the scale factor is 1.

    Raises RecordingError for anything that the network cannot be fed.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RecordingError(f"{path}: not a readable .npy: {error}") from error
    if (
        not isinstance(array, np.ndarray)
        or array.ndim != 4
        or array.shape[:2] != (1, 3)
        or array.dtype.kind != "f"
    ):
        found = f"{list(array.shape)} {array.dtype}" if isinstance(array, np.ndarray) else "a .npz"
        raise RecordingError(f"{path}: [1, 3, height, width] of floats is expected, found {found}")
    if not np.isfinite(array).all():
        raise RecordingError(f"{path}: holds values that are NaN or Inf")
    try:
        check_input_size((array.shape[2], array.shape[3]))
    except ValueError as error:
        raise RecordingError(f"{path}: {error}") from error
    return NetworkInput(array.astype(np.float32), np.ones(2, np.float32), None)


def from_picture(path: Path, size: tuple[int, int], preprocessing: Preprocessing) -> NetworkInput:
    """A picture through our own preprocessing, for references that have none.

    Raises ImageError for a picture that cannot be used.
    """
    array, scale_factor = preprocess(read_image(path), size, preprocessing)
    return NetworkInput(array[None], scale_factor, path.read_bytes())
