"""Reads a `.pdparams` file without Paddle: a pickle of NumPy arrays by name; no code is executed.

The format in Paddle: paddle/framework/io.py, `_build_saved_state_dict` (the key
`StructuredToParameterName@@`) and `_unpack_saved_dict` (`UnpackBigParamInfor@@`).
"""

import mmap
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from picodet.errors import CheckpointError
from picodet.files import regular_file
from picodet.formats.array_unpickler import (
    MAX_DIMENSIONS,
    PickledArray,
    type_description,
    unpickle,
)
from picodet.formats.pickle_opcodes import DamagedError, ForbiddenGlobalError, RefusedError

PARAMETER_NAMES = "StructuredToParameterName@@"  # Paddle's static names, not needed here
SLICES = "UnpackBigParamInfor@@"  # tensors of 1 GiB and more, written in pieces by protocols 2, 3

WRAPPERS = ("state_dict", "model")  # keys that somebody's own script put the weights under
PICKLE_SIGNATURES = (b"\x80", b"}q", b"(dp")  # of protocol 2 and newer, of 1, of 0
FILE_SIGNATURES = (  # of other files that get the suffix .pdparams by mistake
    (b"PK", "a zip archive, such as PyTorch's own .pth"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x08", "a protobuf message, such as an ONNX model"),
)


class ParamsFile(NamedTuple):
    """The content of a `.pdparams`."""

    arrays: dict[str, np.ndarray]
    dropped: tuple[str, ...]  # keys of other content, beside the dictionary of tensors


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a `.pdparams`; see `read_file`."""
    return read_file(path).arrays


def read_file(path: Path) -> ParamsFile:
    """The tensors of a `.pdparams` by ppdet's names, in the file's order, as they were stored.

    bfloat16 is stored as uint16, which `picodet.formats.precision` knows. The arrays are
    read-only. Raises CheckpointError for any other file.
    """
    try:
        with regular_file(path).open("rb") as file:
            other_format = _other_format(file.read(4096))
            if path.stat().st_size == 0:  # mmap does not accept it
                raise DamagedError
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                content = unpickle(mapped)
        return _tensors(content)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except ForbiddenGlobalError as name:
        what = f"not a .pdparams, but {other_format}" if other_format else "refused"
        raise CheckpointError(
            f"{path}: {what}, nothing of it was executed: it contains {name}; expected NumPy "
            "arrays and nothing else"
        ) from None
    except (RefusedError, DamagedError) as error:
        if other_format is not None:
            message = f"not a .pdparams, but {other_format}; expected a file that paddle.save wrote"
        elif isinstance(error, RefusedError):
            message = f"refused: it contains {error}; expected NumPy arrays by name"
        else:
            message = (
                f"a truncated or damaged .pdparams of {path.stat().st_size:,} bytes "
                f"({error!s:.80}); copy or download it again"
            )
        raise CheckpointError(f"{path}: {message}") from error


def _other_format(first_bytes: bytes) -> str | None:
    """The format of a file that begins like this; None for a pickle of a dictionary."""
    if not first_bytes:
        return "an empty file"
    if first_bytes.startswith(PICKLE_SIGNATURES):
        return None
    for signature, name in FILE_SIGNATURES:
        if first_bytes.startswith(signature):
            return name
    if b"<html" in first_bytes.lower() or b"<!doctype html" in first_bytes.lower():
        return "an HTML page, as servers send instead of a missing file"
    text = first_bytes.decode("utf-8", errors="ignore")
    if len(text) > 0.9 * len(first_bytes) and all(c.isprintable() or c.isspace() for c in text):
        return f"text that begins {text.split(chr(10))[0].strip()[:40]!r}"
    return f"a file that begins with the bytes {first_bytes[:4].hex(' ')}"


def _tensors(content: Any) -> ParamsFile:
    """The tensors without Paddle's bookkeeping, large ones joined from their slices."""
    if not isinstance(content, dict):
        raise RefusedError(f"{type_description(content)} instead of a dictionary of tensors")
    if not content:
        raise RefusedError("no tensors")
    content, dropped = _without_wrapper(content)
    content.pop(PARAMETER_NAMES, None)
    slices = content.pop(SLICES, {})
    content = {name: _without_name(value) for name, value in content.items()}
    for name, value in content.items():
        if not isinstance(value, PickledArray) or value.value is None:
            raise RefusedError(
                f"{type_description(value)} as the value of {name!r} instead of a tensor"
            )
    tensors = {name: array.value for name, array in content.items()}
    match slices:
        case dict():
            for name, info in slices.items():
                tensors[name] = _join_slices(name, info, tensors)
        case _:
            raise RefusedError(f"{type_description(slices)} as {SLICES}")
    return ParamsFile(tensors, dropped)


def _without_wrapper(content: dict[Any, Any]) -> tuple[dict[Any, Any], tuple[str, ...]]:
    """The dictionary under one of WRAPPERS, and the other keys; the content itself without one."""
    wrapper = next((k for k in WRAPPERS if isinstance(content.get(k), dict) and content[k]), None)
    if wrapper is None:
        return content, ()
    dropped = tuple(str(key) for key in content if key != wrapper)
    if tensors := [k for k, v in content.items() if isinstance(_without_name(v), PickledArray)]:
        raise RefusedError(f"the tensor {tensors[0]!r} beside the dictionary {wrapper!r}")
    return content[wrapper], dropped


def _without_name(value: Any) -> Any:
    """The array of a value; Paddle 2.0 and 2.1 store a tuple of static name and array."""
    match value:
        case (str(), PickledArray() as array):
            return array
    return value


def _join_slices(name: str, info: Any, tensors: dict[str, np.ndarray]) -> np.ndarray:
    match info:
        case {"OriginShape": tuple() | list() as shape, "slices": list() as pieces}:
            if not pieces or len(set(map(str, pieces))) < len(pieces):
                raise RefusedError(f"no slices of {name!r}, or a duplicate one")
            if not all(isinstance(piece, str) and piece in tensors for piece in pieces):
                raise RefusedError(f"slices of {name!r} that are not in the file")
            if len({tensors[piece].dtype for piece in pieces}) > 1:
                raise RefusedError(f"slices of {name!r} of several dtypes")
            whole = np.concatenate([tensors.pop(piece).ravel() for piece in pieces])
            if len(shape) > MAX_DIMENSIONS or not all(type(s) is int and s > 0 for s in shape):
                raise RefusedError(f"slices of {name!r} whose shape is not a list of sizes")
            if prod(shape) != whole.size:
                raise RefusedError(f"slices of {name!r} with {whole.size:,} values in total")
            return whole.reshape(shape)
        case _:
            raise RefusedError(f"the slices of {name!r} without OriginShape and slices")
