"""Messages through a pipe: a line of JSON with names, dtypes and shapes of arrays, then the bytes.

Both ends use it, picodet's and Paddle's. NumPy only; received data is never executed.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import IO, Any, NamedTuple

import numpy as np

DTYPES = ("float32", "float64", "int32", "int64")
MAX_LINE_BYTES = 1 << 20
MAX_ARRAY_BYTES = 1 << 30  # of one array


class Message(NamedTuple):
    """One message: a header and arrays by name."""

    header: dict[str, Any]  # any JSON values
    arrays: dict[str, np.ndarray]


def send(stream: IO[bytes], header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a message of arrays of DTYPES. Raises OSError where the other end is closed."""
    array_specs = [[name, array.dtype.name, array.shape] for name, array in arrays.items()]
    stream.write(json.dumps({"header": header, "arrays": array_specs}).encode() + b"\n")
    for array in arrays.values():
        stream.write(np.ascontiguousarray(array).data)
    stream.flush()


def receive(stream: IO[bytes]) -> Message | None:
    """Read a message; None where the other end was closed, between messages or within one.

    The arrays are read-only. Raises ValueError for anything that is not a message.
    """
    line = stream.readline(MAX_LINE_BYTES)
    if not line.endswith(b"\n"):
        if len(line) < MAX_LINE_BYTES:
            return None
        raise ValueError(f"a line of more than {MAX_LINE_BYTES:,} bytes")
    try:
        content = json.loads(line)
        header = dict(content["header"])
        array_specs = [
            (str(name), _dtype(dtype), _shape(shape)) for name, dtype, shape in content["arrays"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"unexpected line {line!r:.200}") from error
    arrays = {}
    for name, dtype, shape in array_specs:
        size = prod(shape) * dtype.itemsize
        if size > MAX_ARRAY_BYTES:
            raise ValueError(f"{name} has {size:,} bytes; at most {MAX_ARRAY_BYTES:,} are allowed")
        data = stream.read(size)
        if len(data) < size:
            return None
        arrays[name] = np.frombuffer(data, dtype).reshape(shape)
    return Message(header, arrays)


@contextmanager
def message_stream() -> Iterator[IO[bytes]]:
    """Standard output for messages alone: what else is printed goes to standard error from now on.

    For a process that exists for its messages: it changes file descriptor 1.
    """
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "wb") as stream:
        os.dup2(2, 1)
        yield stream


def _dtype(name: Any) -> np.dtype[Any]:
    if name not in DTYPES:
        raise ValueError(f"dtype {name!r:.40}; expected {', '.join(DTYPES)}")
    return np.dtype(name)


def _shape(dims: Any) -> tuple[int, ...]:
    if not all(type(dim) is int and dim >= 0 for dim in dims):
        raise ValueError(f"impossible shape {dims!r:.40}")
    return tuple(dims)
