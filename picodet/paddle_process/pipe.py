"""Arrays through a pipe: a line of JSON that names them, and their bytes one after the other.

Both ends use it, ours and Paddle's; NumPy only, and nothing that is received is run.
"""

import json
from collections.abc import Mapping
from math import prod
from typing import IO, Any, NamedTuple

import numpy as np

DTYPES = ("float32", "float64", "int32", "int64")
LONGEST_LINE = 1 << 20  # bytes
LARGEST = 1 << 30  # bytes of one array


class Message(NamedTuple):
    """What goes through at once."""

    words: dict[str, Any]  # anything that JSON can say
    arrays: dict[str, np.ndarray]


def send(stream: IO[bytes], words: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Raises OSError where nobody is at the other end."""
    listed = [[name, array.dtype.name, array.shape] for name, array in arrays.items()]
    stream.write(json.dumps({"words": words, "arrays": listed}).encode() + b"\n")
    for array in arrays.values():
        stream.write(np.ascontiguousarray(array).data)
    stream.flush()


def receive(stream: IO[bytes]) -> Message | None:
    """None where the other end was closed between two messages, or in the middle of one.

    Raises ValueError for what is no message.
    """
    line = stream.readline(LONGEST_LINE)
    if not line.endswith(b"\n"):
        if len(line) < LONGEST_LINE:
            return None
        raise ValueError("a line without an end")
    try:
        content = json.loads(line)
        words = dict(content["words"])
        listed = [
            (str(name), _dtype(dtype), _shape(shape)) for name, dtype, shape in content["arrays"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"a line that is no message: {line!r:.200}") from error
    arrays = {}
    for name, dtype, shape in listed:
        size = prod(shape) * dtype.itemsize
        if size > LARGEST:
            raise ValueError(f"{name} of {size:,} bytes")
        data = stream.read(size)
        if len(data) < size:
            return None
        arrays[name] = np.frombuffer(data, dtype).reshape(shape)
    return Message(words, arrays)


def _dtype(name: Any) -> np.dtype[Any]:
    if name not in DTYPES:
        raise ValueError(f"dtype {name!r:.40}")
    return np.dtype(name)


def _shape(sides: Any) -> tuple[int, ...]:
    if not all(type(side) is int and side >= 0 for side in sides):
        raise ValueError(f"shape {sides!r:.40}")
    return tuple(sides)
