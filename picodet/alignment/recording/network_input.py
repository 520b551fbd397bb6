"""The network's input: an array, and the image it was made from. NumPy only."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from picodet.config import check_input_size
from picodet.errors import RecordingError
from picodet.formats.npz_files import ArrayFileError, read_npy, read_npz


@dataclass(frozen=True)
class NetworkInput:
    """An array [1, 3, H, W], the scale factor [2] (y, x), and the encoded image, if any."""

    array: np.ndarray
    scale_factor: np.ndarray
    encoded_image: bytes | None
    kernels: dict[str, str] = field(default_factory=dict)  # resize_kernels.fingerprint
    is_portable: bool = True  # whether the portable resize kernels give the same array

    def save(self, path: Path) -> None:
        """Write an .npz for the recorder's process; `load` reads it."""
        encoded = np.frombuffer(self.encoded_image or b"", np.uint8)
        resized = np.array(json.dumps([self.kernels, self.is_portable]))
        arrays = {"array": self.array, "scale_factor": self.scale_factor, "image": encoded}
        np.savez(path, allow_pickle=False, resized=resized, **arrays)

    @classmethod
    def load(cls, path: Path) -> "NetworkInput":
        """Read what `save` wrote. Raises ArrayFileError or KeyError for another file."""
        stored = read_npz(path)
        encoded = stored["image"].tobytes() or None
        resized = json.loads(str(stored["resized"]))
        return cls(stored["array"], stored["scale_factor"], encoded, *resized)


def read_array(path: Path) -> NetworkInput:
    """The network's input from a .npy [1, 3, H, W] of a preprocessed image; scale factor 1.

    Raises RecordingError for a file that is not a valid input of the network.
    """
    try:
        array = read_npy(path)
    except ArrayFileError as error:
        raise RecordingError(f"{path}: not a readable .npy: {error}") from error
    found = f"{list(array.shape)} {array.dtype}"
    if not (array.ndim == 4 and array.dtype.kind == "f"):
        raise RecordingError(f"{path}: {found}; expected [1, 3, height, width] of floats")
    if array.shape[:2] != (1, 3):
        raise RecordingError(f"{path}: {found}; expected [1, 3, height, width]")
    with np.errstate(over="ignore"):  # what overflows float32 becomes Inf and is rejected below
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise RecordingError(f"{path}: values that are NaN or Inf in float32; expected finite ones")
    try:
        check_input_size((array.shape[2], array.shape[3]))
    except ValueError as error:
        raise RecordingError(f"{path}: {error}") from error
    return NetworkInput(array, np.ones(2, np.float32), None)
