"""Writes a `.pdparams` without Paddle: the same bytes whichever NumPy is installed.

As paddle.save does (paddle/framework/io.py): a pickle of protocol 4 with arrays by name and, under
`StructuredToParameterName@@`, the name of each in a static graph. The pickle is assembled here
because NumPy 2's own pickles name a module that NumPy 1, which many Paddle versions need, cannot
import; both can import `numpy.core`.
"""

import pickle
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from picodet.errors import OutputError
from picodet.files import atomic_write
from picodet.formats.pdparams import PARAMETER_NAMES, SLICES

# float64, float32, float16, and bfloat16 as Paddle stores it
WRITABLE_DTYPES = {"f8", "f4", "f2", "u2"}

# tensor names of layers -> suffixes of Paddle's static parameters
PARAMETER_SUFFIXES = {"weight": "w_0", "bias": "b_0", "_mean": "w_1", "_variance": "w_2"}


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by ppdet's names, whole or not at all. Replaces an existing file.

    An array under two names is one parameter, as in Paddle. Raises OutputError.
    """
    if not arrays:
        raise OutputError(f"{path}: no tensors to write")
    for name, array in arrays.items():
        if array.dtype.str[1:] not in WRITABLE_DTYPES or name in (PARAMETER_NAMES, SLICES):
            raise OutputError(
                f"{path}: {name} has dtype {array.dtype}; expected float64, float32, float16 or "
                "bfloat16 (as uint16)"
            )
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        for piece in _pickled(arrays):
            file.write(piece)


def parameter_names(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Paddle's static names of these parameters: conv2d_0.w_0, batch_norm2d_0.w_1 ..."""
    counts = Counter[str]()
    owners: dict[str, str] = {}
    known: dict[int, str] = {}
    names: dict[str, str] = {}
    for name, array in arrays.items():
        owner, _, leaf = name.rpartition(".")
        if id(array) not in known:
            if owner not in owners:
                kind = _kind(owner, leaf, arrays)
                owners[owner] = f"{kind}_{counts[kind]}"
                counts[kind] += 1
            known[id(array)] = f"{owners[owner]}.{PARAMETER_SUFFIXES.get(leaf, 'w_0')}"
        names[name] = known[id(array)]
    return names


def _kind(owner: str, leaf: str, arrays: Mapping[str, np.ndarray]) -> str:
    if leaf not in PARAMETER_SUFFIXES:
        return leaf
    return "batch_norm2d" if f"{owner}._mean" in arrays else "conv2d"


def _pickled(arrays: Mapping[str, np.ndarray]) -> Iterator[bytes | memoryview]:
    yield pickle.PROTO + b"\x04" + pickle.EMPTY_DICT + pickle.MARK
    for name, array in arrays.items():
        yield _text(name)
        yield from _array(array)
    yield _text(PARAMETER_NAMES) + pickle.EMPTY_DICT + pickle.MARK
    for name, parameter in parameter_names(arrays).items():
        yield _text(name) + _text(parameter)
    yield pickle.SETITEMS + pickle.SETITEMS + pickle.STOP


def _array(array: np.ndarray) -> Iterator[bytes | memoryview]:
    """An empty array and its state: version, shape, dtype, order of axes, values."""
    code = array.dtype.str[1:]
    values = np.ascontiguousarray(array, "<" + code)
    empty = _tuple([_global("numpy", "ndarray"), _tuple([_number(0)]), _bytes(b"b")])
    yield _global("numpy.core.multiarray", "_reconstruct") + empty + pickle.REDUCE
    yield pickle.MARK + _number(1) + _tuple(_number(side) for side in array.shape) + _dtype(code)
    yield pickle.NEWFALSE + pickle.BINBYTES8 + struct.pack("<Q", values.nbytes)
    yield values.data if values.ndim else values.tobytes()
    yield pickle.TUPLE + pickle.BUILD


def _dtype(code: str) -> bytes:
    made = _global("numpy", "dtype") + _tuple([_text(code), pickle.NEWFALSE, pickle.NEWTRUE])
    state = [_number(3), _text("<"), *[pickle.NONE] * 3, _number(-1), _number(-1), _number(0)]
    return made + pickle.REDUCE + _tuple(state) + pickle.BUILD


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _tuple(items: Iterable[bytes]) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE


def _number(number: int) -> bytes:
    return pickle.BININT + struct.pack("<i", number)


def _bytes(data: bytes) -> bytes:
    return pickle.SHORT_BINBYTES + struct.pack("<B", len(data)) + data


def _text(text: str) -> bytes:
    encoded = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded
