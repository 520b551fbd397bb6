"""Messages through a pipe: a line of JSON that names the arrays, then the bytes of the arrays.

Both ends use it, picodet's and Paddle's; NumPy only, and nothing that is received is executed.
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
MAX_LINE_BYTES = 1 << 20  # bytes
MAX_ARRAY_BYTES = 1 << 30  # bytes of one array


class Message(NamedTuple):
    """What goes through at once."""

    header: dict[str, Any]  # anything that JSON can say
    arrays: dict[str, np.ndarray]


def send(stream: IO[bytes], header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Raises OSError where nobody is at the other end."""
    array_specs = [[name, array.dtype.name, array.shape] for name, array in arrays.items()]
    stream.write(json.dumps({"header": header, "arrays": array_specs}).encode() + b"\n")
    for array in arrays.values():
        stream.write(np.ascontiguousarray(array).data)
    stream.flush()


def receive(stream: IO[bytes]) -> Message | None:
    """None where the other end was closed between two messages, or in the middle of one.

    Raises ValueError for what is no message.
    """
    line = stream.readline(MAX_LINE_BYTES)
    if not line.endswith(b"\n"):
        if len(line) < MAX_LINE_BYTES:
            return None
        raise ValueError("a line without an end")
    try:
        content = json.loads(line)
        header = dict(content["header"])
        array_specs = [
            (str(name), _dtype(dtype), _shape(shape)) for name, dtype, shape in content["arrays"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"a line that is no message: {line!r:.200}") from error
    arrays = {}
    for name, dtype, shape in array_specs:
        size = prod(shape) * dtype.itemsize
        if size > MAX_ARRAY_BYTES:
            raise ValueError(f"{name} of {size:,} bytes")
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
        raise ValueError(f"dtype {name!r:.40}")
    return np.dtype(name)


def _shape(dims: Any) -> tuple[int, ...]:
    if not all(type(dim) is int and dim >= 0 for dim in dims):
        raise ValueError(f"shape {dims!r:.40}")
    return tuple(dims)
