"""`.npz` and `.npy` of plain arrays, read as strangers' files: nothing is run, no size believed.

Of each array the header is read first, and held against the bytes that are there for it. Those of
a compressed file may not be many more than the file's own. NumPy only.
"""

import math
import warnings
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from picodet.files import regular_file

# compressed arrays of a few values (masks, drawn pictures) shrink to a hundredth, no further
MAX_RATIO = 200  # of the bytes unpacked to the file's own
MIN_ALLOWED = 64_000_000  # bytes that any file may unpack to
MAX_ARRAYS = 100_000
MAX_HEADER = 10_000  # bytes


class ArrayFileError(Exception):
    """A file is not what it should be; the message says how."""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an `.npz`. Raises ArrayFileError."""
    try:
        with zipfile.ZipFile(regular_file(path)) as archive:
            members = archive.infolist()
            _check_members(members, path.stat().st_size)
            arrays = {}
            for member in members:
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = _read(file, member.file_size)
        return arrays
    except OSError as error:
        raise ArrayFileError(error.strerror or str(error)) from error
    except Exception as error:  # whatever damaged bytes make of two strangers' readers
        raise ArrayFileError(f"{type(error).__name__} {error}") from error


def read_npy(path: Path) -> np.ndarray:
    """The array of an `.npy`. Raises ArrayFileError."""
    try:
        with regular_file(path).open("rb") as file:
            return _read(file, path.stat().st_size)
    except OSError as error:
        raise ArrayFileError(error.strerror or str(error)) from error
    except Exception as error:  # whatever damaged bytes make of two strangers' readers
        raise ArrayFileError(f"{type(error).__name__} {error}") from error


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    if len(members) > MAX_ARRAYS or len({member.filename for member in members}) < len(members):
        raise ValueError(f"{len(members):,} arrays, or two of the same name")
    claimed, allowed = sum(member.file_size for member in members), MAX_RATIO * size
    if claimed > max(allowed, MIN_ALLOWED):
        raise ValueError(
            f"claims to hold {claimed:,} bytes in a file of {size:,}; at most {MAX_RATIO} times "
            f"its size, or {MIN_ALLOWED:,}, are unpacked"
        )


def _read(file: IO[bytes], size: int) -> np.ndarray:
    """One array; size: of header and values together, bytes."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):  # the others are for headers of more than 64 kB
        raise ValueError(f"version {version} of the format")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that Python 2 wrote
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(
            file, max_header_size=MAX_HEADER
        )
    if dtype.hasobject:
        raise ValueError("an array of Python objects")
    data_bytes = size - file.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != data_bytes:
        raise ValueError(
            f"an array of shape {list(shape)!s:.80} and {dtype} in {data_bytes:,} bytes"
        )
    values = bytearray(file.read(data_bytes))
    if len(values) != data_bytes or file.read(1):  # to the end, where a zip's checksum is
        raise ValueError(f"{len(values):,} bytes, where {data_bytes:,} are said to be")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if fortran else "C")
