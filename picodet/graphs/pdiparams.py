"""Reads a `.pdiparams`: the weights of a program one after another, without names.

Paddle writes them in the order of their names (paddle/static/io.py, pir_io.py: `sorted`), each as
a version, its levels of detail, another version, a TensorDesc and the values
(paddle/phi/core/framework/dense_tensor_serialize.cc). Sizes that the file claims are checked
against its content before memory is allocated.
"""

import mmap
import struct
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from picodet.errors import CheckpointError
from picodet.files import regular_file
from picodet.graphs.program import MAX_DIMENSIONS
from picodet.graphs.program_proto import parse

MAX_LOD_LEVELS = 8  # levels of detail; weights have none
MAX_DESCRIPTION = 1000  # bytes; a TensorDesc of four dimensions has about 12
# TensorDesc.data_type; bfloat16, which NumPy lacks, is uint16 (picodet.formats.precision)
DTYPES = {
    **{2: "int32", 3: "int64", 4: "float16", 5: "float32", 6: "float64"},
    **{21: "int8", 22: "bfloat16"},
}
NUMPY_DTYPES = {
    name: np.dtype(name).newbyteorder("<") for name in DTYPES.values() if name != "bfloat16"
}
NUMPY_DTYPES["bfloat16"] = np.dtype("<u2")

QUANTIZATION_SUFFIXES = ("@scale", "@zero_point")


class DeclaredWeight(NamedTuple):
    """A weight as the program declares it; -1 for an unknown dimension."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def read(path: Path, declared: Iterable[DeclaredWeight]) -> dict[str, np.ndarray]:
    """The weights of a program by name, read-only; bfloat16 as uint16.

    Raises CheckpointError where the file is damaged, or of another program.
    """
    try:
        with regular_file(path).open("rb") as file:
            if path.stat().st_size == 0:  # which mmap refuses
                return _tensors(b"", declared)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return _tensors(mapped, declared)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(
            f"{path}: {error}. Copy or download the folder again, the program and its weights "
            "together"
        ) from error


def _tensors(data: Any, declared: Iterable[DeclaredWeight]) -> dict[str, np.ndarray]:
    reader = _TensorReader(data)
    tensors: dict[str, np.ndarray] = {}
    expected = sorted(declared)
    for i, weight in enumerate(expected):
        if weight.name in tensors:
            raise ValueError(f"the program has two weights named {weight.name}")
        where = f"weight {i + 1} of {len(expected)}, {weight.name}"
        try:
            dtype, array = reader.tensor()
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        # quantization declares the floats that its integers stand for
        quantized = (dtype, weight.dtype) == ("int8", "float32")
        fits = _fits(array.shape, weight.shape)
        if weight.name.endswith(QUANTIZATION_SUFFIXES):  # stored with or without dimensions of 1
            fits = array.size == prod(weight.shape)
        if not fits or (dtype != weight.dtype and not quantized):
            raise ValueError(
                f"{where}, is {dtype} {list(array.shape)}; expected {weight.dtype} "
                f"{list(weight.shape)}: weights of another program"
            )
        tensors[weight.name] = array
    if trailing := len(data) - reader.position:
        raise ValueError(
            f"{trailing:,} bytes after the last of the program's {len(tensors):,} weights: weights "
            "of another program"
        )
    return tensors


def _fits(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    return len(shape) == len(declared) and all(
        expected in (-1, dim) for dim, expected in zip(shape, declared, strict=True)
    )


class _TensorReader:
    """Reads tensors one after another; raises ValueError at the end of the data."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.position = 0

    def tensor(self) -> tuple[str, np.ndarray]:
        """The next tensor, and Paddle's name of its dtype."""
        self._version()
        levels = self._number("<Q")
        if levels > MAX_LOD_LEVELS:
            raise ValueError(f"{levels:,} levels of detail; expected none")
        for _ in range(levels):
            self._skip(self._number("<Q"))
        self._version()
        size = self._number("<i")
        if not 0 < size <= MAX_DESCRIPTION:
            raise ValueError(f"a description of {size:,} bytes; expected a few")
        description = parse("TensorDesc", self._take(size))
        dtype, dims = DTYPES.get(description.data_type), tuple(description.dims)
        if dtype is None:
            raise ValueError(
                f"values of Paddle's type {description.data_type}; expected "
                f"{', '.join(DTYPES.values())}, not a quantized model"
            )
        if len(dims) > MAX_DIMENSIONS or min(dims, default=1) < 1:
            raise ValueError(f"the shape {list(dims)}")
        data = self._take(prod(dims) * NUMPY_DTYPES[dtype].itemsize)
        return dtype, np.frombuffer(data, NUMPY_DTYPES[dtype]).reshape(dims)

    def _version(self) -> None:
        if version := self._number("<I"):
            raise ValueError(f"version {version:,} at byte {self.position - 4:,}, expected 0")

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _take(self, count: int) -> bytes:
        start = self.position
        self._skip(count)
        return self.data[start : self.position]

    def _skip(self, count: int) -> None:
        left = len(self.data) - self.position
        if count > left:
            raise ValueError(f"{count:,} bytes expected at {self.position:,}, {left:,} are left")
        self.position += count
