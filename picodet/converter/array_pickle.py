"""A machine that runs pickles of NumPy arrays, and no others.

A pickle is a program for a small stack machine, and Python's own machine will call what the
program names. This one cannot: it has no instruction that calls. It knows the instructions that
arrays by name are written with (protocols 2 to 4), takes seven names for words that announce an
array, and refuses any other. What a header claims is held against what the file holds before
anything is made of it, so that memory follows the file's size and not its promises.

Why not pickle.Unpickler with its own find_class: it makes room for as many memo entries, bytes or
array elements as a few bytes of the file ask for, before it looks whether they are there.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

# By full module and name. NumPy 2 writes numpy._core, NumPy 1 numpy.core; protocol 2 has no
# bytes and writes them as text, to be encoded.
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): "array",
    ("numpy._core.multiarray", "_reconstruct"): "array",
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy._core.multiarray", "scalar"): "scalar",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
}
NUMBERS = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}

# A tensor takes about 30 instructions, so that this is ten times the largest detector. It bounds
# what a file can make of instructions that are shorter than what they leave in memory.
MAX_INSTRUCTIONS = 500_000
MAX_DIMENSIONS = 32  # NumPy 1's own limit


class RefusedError(Exception):
    """The file holds what no checkpoint does; the message says what."""


class NamesCodeError(RefusedError):
    """The program names something that is not an array's: the message is that name."""


class DamagedError(Exception):
    """The program makes no sense, as when bytes are cut off or changed; the message says where."""


@dataclass(frozen=True)
class _Name:
    """An allowed global: a word, which nothing can be done with but what `_reduce` knows."""

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
        if self.code not in NUMBERS:
            what = "Python objects" if self.code.startswith("O") else "no numbers"
            raise RefusedError(f"an array of {what} (dtype {self.code:.20})")
        if len(shape) > MAX_DIMENSIONS or not all(type(side) is int for side in shape):
            raise RefusedError("an array whose shape is no list of sizes")
        if not isinstance(data, bytes | str):
            raise RefusedError("an array whose values are not bytes")
        size = prod(shape) * int(self.code[1:])
        if size != len(data) or min(shape, default=0) < 0:
            raise RefusedError(
                f"an array of shape {list(shape)} and dtype {self.code}, which would take "
                f"{size:,} bytes, from {len(data):,} bytes"
            )
        array = np.frombuffer(_bytes(data), np.dtype(self.order + self.code))
        return array.reshape(shape, order="F" if fortran else "C")


@dataclass
class Array:
    """An array that has been announced, and later its value."""

    value: np.ndarray | None = None

    def build(self, state: Any) -> None:
        match state:
            case (int(), tuple() as shape, _DType() as dtype, bool() as fortran, data):
                self.value = dtype.array(shape, data, fortran)
            case _:
                raise RefusedError("an array whose state NumPy would not have written")


def _bytes(data: bytes | str) -> bytes:
    """What Python 2 wrote as a string stands in latin-1, byte for byte."""
    return data if isinstance(data, bytes) else data.encode("latin-1")


def _reduce(function: Any, arguments: Any) -> Any:
    """What calling `function` would give, of the few things it can be; calls nothing."""
    match (function, arguments):
        case (_Name("array"), (_Name("ndarray"), tuple(), bytes() | str())):
            return Array()
        case (_Name("dtype"), (str() as code, *_)):
            return _DType(code)
        case (_Name("scalar"), (_DType() as dtype, data)):
            return Array(dtype.array((), data, fortran=False))
        case (_Name("encode"), (str() as text, "latin1" | "latin-1")):
            return _bytes(text)
        case (_Name() as name, _):
            raise RefusedError(f"a call of {name.kind} as NumPy would not have written it")
        case _:
            raise RefusedError(f"a call of {kind_of(function)}")


def kind_of(value: Any) -> str:
    """For messages: the value itself may be endless to write out."""
    return f"something of type {type(value).__name__.lstrip('_').lower()}"


class _Machine:
    """Runs the program of a pickle and returns what it leaves."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: Any) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if count > MAX_INSTRUCTIONS:
                raise RefusedError(f"more than {MAX_INSTRUCTIONS:,} instructions")
            if opcode.name in _CONSTANTS:
                self.stack.append(argument)
            elif opcode.name in _INSTRUCTIONS:
                _INSTRUCTIONS[opcode.name](self, argument)
            elif opcode.name not in _NOTHING_TO_DO:
                raise RefusedError(f"the pickle instruction {opcode.name}")
        if len(self.stack) != 1:
            raise RefusedError(f"{len(self.stack)} values where one is expected")
        return self.stack[0]

    def push_global(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise RefusedError("a global that is not named by text")
        if (module, name) not in ALLOWED:
            raise NamesCodeError(f"{module}.{name}")
        self.stack.append(_Name(ALLOWED[module, name]))

    def pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop_tuple(self, length: int) -> None:
        if len(self.stack) < length:
            raise DamagedError("a tuple of values that are not there")
        items = tuple(self.stack[-length:])
        del self.stack[-length:]
        self.stack.append(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise RefusedError("items for something that is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise RefusedError(f"{kind_of(key)} as a name")
            if key in target:
                raise RefusedError(f"the name {key!r} twice")
            target[key] = value

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise RefusedError("items for something that is no list")
        self.stack[-1].extend(items)

    def reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = _reduce(self.stack[-1], arguments)

    def build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], Array | _DType):
            raise RefusedError(f"a state for {kind_of(self.stack[-1])}")
        self.stack[-1].build(state)


_NOTHING_TO_DO = {"PROTO", "FRAME", "STOP"}
_CONSTANTS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINSTRING", "SHORT_BINSTRING"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "NONE": lambda m, _: m.stack.append(None),
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "MEMOIZE": lambda m, _: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    "BINPUT": lambda m, slot: m.memo.__setitem__(slot, m.stack[-1]),
    "LONG_BINPUT": lambda m, slot: m.memo.__setitem__(slot, m.stack[-1]),
    "BINGET": lambda m, slot: m.stack.append(m.memo[slot]),
    "LONG_BINGET": lambda m, slot: m.stack.append(m.memo[slot]),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "TUPLE1": lambda m, _: m.pop_tuple(1),
    "TUPLE2": lambda m, _: m.pop_tuple(2),
    "TUPLE3": lambda m, _: m.pop_tuple(3),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_mark())),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "APPEND": lambda m, _: m.append([m.stack.pop()]),
    "APPENDS": lambda m, _: m.append(m.pop_mark()),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "SETITEM": lambda m, _: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, _: m.set_items(m.pop_mark()),
    "GLOBAL": lambda m, name: m.push_global(*name.partition(" ")[::2]),
    "INST": lambda m, name: m.push_global(*name.partition(" ")[::2]),
    "STACK_GLOBAL": lambda m, _: m.push_global(m.stack.pop(-2), m.stack.pop()),
    "REDUCE": lambda m, _: m.reduce(),
    "BUILD": lambda m, _: m.build(),
}


def run(file: Any) -> Any:
    """What the pickle in `file` (with read and readline) makes: dictionaries, lists, `Array`s.

    Raises NamesCodeError, RefusedError or DamagedError.
    """
    try:
        return _Machine().run(file)
    except (ValueError, LookupError, OverflowError) as error:
        # of pickletools, and of the machine where a mark, a memo entry or a value is not there
        raise DamagedError(str(error) or type(error).__name__) from error
