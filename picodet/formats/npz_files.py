"""Reads `.npz` and `.npy` files of plain arrays from untrusted sources: nothing is executed.

The header of each array is read first and checked against the bytes that are there for it. What a
compressed file unpacks to is limited by the file's size. NumPy only.
"""

import math
import warnings
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from picodet.files import regular_file

# compressed arrays of few values (masks, synthetic images) shrink to a hundredth, no further
MAX_RATIO = 200  # of unpacked bytes to those of the file
MIN_ALLOWED = 64_000_000  # bytes that a file of any size may unpack to
MAX_ARRAYS = 100_000
MAX_HEADER = 10_000  # bytes


class ArrayFileError(Exception):
    """A file cannot be read as arrays; the message states why."""


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
        raise ValueError(f"{len(members):,} arrays, or a duplicate name")
    claimed, allowed = sum(member.file_size for member in members), MAX_RATIO * size
    if claimed > max(allowed, MIN_ALLOWED):
        raise ValueError(
            f"unpacks to {claimed:,} bytes, in a file of {size:,}; expected at most {MAX_RATIO} "
            f"times its size, or {MIN_ALLOWED:,}"
        )


def _read(file: IO[bytes], size: int) -> np.ndarray:
    """Read one array; size: bytes of header and values together."""
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
        raise ValueError(f"found {len(values):,} bytes of values; expected {data_bytes:,}")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if fortran else "C")
