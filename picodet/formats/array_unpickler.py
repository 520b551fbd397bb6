"""A safe unpickler for NumPy arrays and nothing else.

A pickle is a program for a small stack machine, and Python's unpickler calls what the program
names. This one cannot call anything. It supports the opcodes that dictionaries of arrays are
written with (protocols 0 to 5), accepts a few global names as markers of an array, and refuses all
others. Every claimed size is checked against the bytes in the file before anything is allocated,
so memory follows the size of the file and not what it claims.

Why not pickle.Unpickler with an own find_class: it allocates as many memo entries, bytes or array
elements as a few bytes of the file ask for, before it checks that they are there.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from picodet.formats.pickle_opcodes import (
    OPCODE_NAMES,
    TEXT_OPCODES,
    DamagedError,
    ForbiddenGlobalError,
    OpcodeReader,
    RefusedError,
)

# By full module and name. NumPy 2 writes numpy._core, NumPy 1 numpy.core; up to protocol 2 bytes
# are written as text to be encoded; protocol 5 writes an array in one step. Paddle 2.0 and 2.1
# write the tuple of a tensor's static name and its array.
ALLOWED_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): "array",
    ("numpy._core.multiarray", "_reconstruct"): "array",
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy._core.multiarray", "scalar"): "scalar",
    ("numpy.core.numeric", "_frombuffer"): "whole array",
    ("numpy._core.numeric", "_frombuffer"): "whole array",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("builtins", "tuple"): "tuple",
    ("__builtin__", "tuple"): "tuple",
}
NUMERIC_DTYPES = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}

# A tensor takes about 30 opcodes: room for 5,000, while ppdet's largest detectors have some 1,500.
# It limits what opcodes of one byte can allocate to some 15 MB.
MAX_INSTRUCTIONS = 150_000
MAX_DIMENSIONS = 32  # NumPy 1's own limit


@dataclass(frozen=True)
class _AllowedGlobal:
    """An allowed global: a marker that only `_reduce` can use."""

    kind: str


@dataclass
class _DType:
    code: str  # "f4"
    order: str = "<"

    def build(self, state: Any) -> None:
        match state:
            case (int(), "<" | ">" | "|" | "=" as order, None, None, None, *_):
                self.order = order.replace("=", "<")
            case _:
                raise RefusedError(f"a dtype {self.code} with fields or sub-arrays")

    def array(self, shape: tuple[Any, ...], data: Any, fortran: bool) -> np.ndarray:
        if self.code not in NUMERIC_DTYPES:
            what = "Python objects" if self.code.startswith("O") else "no numbers"
            raise RefusedError(f"an array of {what} (dtype {self.code:.20})")
        if len(shape) > MAX_DIMENSIONS or not all(type(side) is int for side in shape):
            raise RefusedError("an array whose shape is not a list of sizes")
        if not isinstance(data, bytes | str):
            raise RefusedError("an array whose values are not bytes")
        size = prod(shape) * int(self.code[1:])
        if size != len(data) or min(shape, default=1) < 1:
            raise RefusedError(
                f"an array of shape {list(shape)} and dtype {self.code}, which would take "
                f"{size:,} bytes, from {len(data):,} bytes"
            )
        array = np.frombuffer(_bytes(data), np.dtype(self.order + self.code))
        return array.reshape(shape, order="F" if fortran else "C")


@dataclass
class PickledArray:
    """An array under construction; `value` is set when its state is known."""

    value: np.ndarray | None = None

    def build(self, state: Any) -> None:
        match state:
            case (int(), tuple() as shape, _DType() as dtype, bool() as fortran, data):
                self.value = dtype.array(shape, data, fortran)
            case _:
                raise RefusedError("an array whose state NumPy does not write")


def _bytes(data: bytes | str) -> bytes:
    """Bytes, also from what Python 2 wrote as a string: latin-1, byte for byte."""
    return data if isinstance(data, bytes) else data.encode("latin-1")


def _reduce(function: Any, arguments: Any) -> Any:
    """The result of calling one of the allowed globals; nothing is called."""
    match (function, arguments):
        case (_AllowedGlobal("array"), (_AllowedGlobal("ndarray"), tuple(), bytes() | str())):
            return PickledArray()
        case (_AllowedGlobal("dtype"), (str() as code, *_)):
            return _DType(code)
        case (_AllowedGlobal("whole array"), (data, _DType() as dtype, tuple() as shape, *order)):
            return _array_from_buffer(dtype, shape, data, order)
        case (_AllowedGlobal("tuple"), (tuple() as values,)):
            return values
        case (_AllowedGlobal("scalar"), (_DType() as dtype, data)):
            return PickledArray(dtype.array((), data, fortran=False))
        case (_AllowedGlobal("encode"), (str() as text, "latin1" | "latin-1")):
            return _bytes(text)
        case (_AllowedGlobal() as name, _):
            raise RefusedError(f"a call of {name.kind} that NumPy does not write")
        case _:
            raise RefusedError(f"a call of {type_description(function)}")


def _array_from_buffer(
    dtype: _DType, shape: tuple[Any, ...], data: Any, order: list[Any]
) -> PickledArray:
    """An array of protocol 5, written in one step."""
    match order:
        case ["C" | "F" as rows_first]:
            return PickledArray(dtype.array(shape, data, fortran=rows_first == "F"))
        case ["K", tuple() as axes] if all(type(axis) is int for axis in axes):
            if sorted(axes) == list(range(len(shape))):
                return PickledArray(dtype.array(shape, data, fortran=False).transpose(axes))
    raise RefusedError("an array whose axes are not a permutation")


def type_description(value: Any) -> str:
    """A short description for messages: the value itself may be huge."""
    if isinstance(value, _AllowedGlobal):
        return "something of type global"
    return f"something of type {type(value).__name__.lstrip('_').lower()}"


class _Unpickler:
    """Executes the opcodes of a pickle; `run` returns the resulting value."""

    def __init__(self, data: Any) -> None:
        self.reader = OpcodeReader(data)
        self.text_budget = len(data)  # characters that may still be turned into bytes
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for count, (instruction, operand) in enumerate(self.reader.instructions()):
            if count > MAX_INSTRUCTIONS:
                raise RefusedError(f"more than {MAX_INSTRUCTIONS:,} opcodes")
            if instruction in _PUSH_OPCODES:
                self.stack.append(operand)
            elif instruction in _OPCODES:
                _OPCODES[instruction](self, operand)
            elif instruction not in (pickle.PROTO, pickle.FRAME, pickle.STOP):
                raise RefusedError(
                    f"the pickle opcode {OPCODE_NAMES.get(instruction, instruction)}"
                )
        if (trailing := len(self.reader.data) - self.reader.position) > 0:
            raise RefusedError(f"{trailing:,} bytes after its end")
        if len(self.stack) != 1:
            raise RefusedError(f"{len(self.stack)} values instead of one")
        return self.stack[0]

    def check_arguments(self, values: Any) -> Any:
        """The arguments of an array or of its bytes; refused if text is reused to make bytes."""
        if not isinstance(values, tuple) or len(values) > 9:
            raise RefusedError("arguments that NumPy does not write")
        self.text_budget -= sum(len(value) for value in values if isinstance(value, str))
        if self.text_budget < 0:
            raise RefusedError("text that is used more than once to make bytes")
        return values

    def push_global(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise RefusedError("a global whose name is not text")
        if (module, name) not in ALLOWED_GLOBALS:
            raise ForbiddenGlobalError(f"{module}.{name}")
        self.stack.append(_AllowedGlobal(ALLOWED_GLOBALS[module, name]))

    def pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop_tuple(self, length: int) -> None:
        if len(self.stack) < length:
            raise DamagedError("stack underflow")
        items = tuple(self.stack[-length:])
        del self.stack[-length:]
        self.stack.append(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise RefusedError("items for something that is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise RefusedError(f"{type_description(key)} as a key")
            if key in target:
                raise RefusedError(f"the duplicate key {key!r}")
            target[key] = value

    def push_dictionary(self) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self.set_items(items)

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise RefusedError("items for something that is not a list")
        self.stack[-1].extend(items)

    def reduce(self) -> None:
        arguments = self.check_arguments(self.stack.pop())
        self.stack[-1] = _reduce(self.stack[-1], arguments)

    def build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], PickledArray | _DType):
            raise RefusedError(f"a state for {type_description(self.stack[-1])}")
        self.stack[-1].build(self.check_arguments(state))


_PUSH_OPCODES = {
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.BINFLOAT),
    *(pickle.SHORT_BINBYTES, pickle.BINBYTES, pickle.BINBYTES8, pickle.BYTEARRAY8, *TEXT_OPCODES),
    *(pickle.INT, pickle.LONG, pickle.FLOAT, pickle.UNICODE, pickle.STRING),
}
_OPCODES: dict[bytes, Callable[[_Unpickler, Any], Any]] = {
    pickle.NONE: lambda m, _: m.stack.append(None),
    pickle.NEWTRUE: lambda m, _: m.stack.append(True),
    pickle.NEWFALSE: lambda m, _: m.stack.append(False),
    pickle.LONG1: lambda m, data: m.stack.append(int.from_bytes(data, "little", signed=True)),
    pickle.SHORT_BINSTRING: lambda m, data: m.stack.append(data.decode("latin-1")),
    pickle.BINSTRING: lambda m, data: m.stack.append(data.decode("latin-1")),
    pickle.MARK: lambda m, _: m.marks.append(len(m.stack)),
    pickle.MEMOIZE: lambda m, _: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    pickle.BINPUT: lambda m, slot: m.memo.__setitem__(slot, m.stack[-1]),
    pickle.LONG_BINPUT: lambda m, slot: m.memo.__setitem__(slot, m.stack[-1]),
    pickle.BINGET: lambda m, slot: m.stack.append(m.memo[slot]),
    pickle.LONG_BINGET: lambda m, slot: m.stack.append(m.memo[slot]),
    pickle.EMPTY_TUPLE: lambda m, _: m.stack.append(()),
    pickle.TUPLE1: lambda m, _: m.pop_tuple(1),
    pickle.TUPLE2: lambda m, _: m.pop_tuple(2),
    pickle.TUPLE3: lambda m, _: m.pop_tuple(3),
    pickle.TUPLE: lambda m, _: m.stack.append(tuple(m.pop_mark())),
    pickle.PUT: lambda m, slot: m.memo.__setitem__(slot, m.stack[-1]),
    pickle.GET: lambda m, slot: m.stack.append(m.memo[slot]),
    pickle.DICT: lambda m, _: m.push_dictionary(),
    pickle.LIST: lambda m, _: m.stack.append(m.pop_mark()),
    pickle.EMPTY_LIST: lambda m, _: m.stack.append([]),
    pickle.APPEND: lambda m, _: m.append([m.stack.pop()]),
    pickle.APPENDS: lambda m, _: m.append(m.pop_mark()),
    pickle.EMPTY_DICT: lambda m, _: m.stack.append({}),
    pickle.SETITEM: lambda m, _: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    pickle.SETITEMS: lambda m, _: m.set_items(m.pop_mark()),
    pickle.GLOBAL: lambda m, name: m.push_global(*name),
    pickle.INST: lambda m, name: m.push_global(*name),
    pickle.STACK_GLOBAL: lambda m, _: m.push_global(m.stack.pop(-2), m.stack.pop()),
    pickle.REDUCE: lambda m, _: m.reduce(),
    pickle.BUILD: lambda m, _: m.build(),
}


def unpickle(data: Any) -> Any:
    """The content of the pickle in `data` (bytes, or a mapped file), arrays as `PickledArray`.

    Raises ForbiddenGlobalError, RefusedError or DamagedError.
    """
    try:
        return _Unpickler(data).run()
    except (ValueError, LookupError) as error:  # invalid text; a missing mark or value
        raise DamagedError(str(error) or type(error).__name__) from error
