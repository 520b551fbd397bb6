"""Checks the pickles of a PyTorch file before torch loads them.

torch.load with weights_only calls no unknown code, but what it does call can be made to allocate
ten gigabytes by twenty bytes (`bytearray`), and deeply nested tuples end the process when they are
used as a key. This refuses whatever no file of weights contains.
"""

import pickle
import re
from dataclasses import dataclass
from typing import Any

from picodet.formats.pickle_opcodes import (
    OPCODE_NAMES,
    DamagedError,
    ForbiddenGlobalError,
    OpcodeReader,
    RefusedError,
)

MAX_INSTRUCTIONS = 300_000  # a tensor takes about 35: room for 8,000
MAX_NESTED = 20  # tuples in tuples
MAX_INTEGER_BYTES = 9  # 64 bits and a sign; larger ones can be chosen to be slow as keys
ALLOWED_GLOBALS = re.compile(
    r"collections (OrderedDict|Counter)|torch\.nn\.parameter Parameter|"
    r"torch\._utils _rebuild_(tensor|tensor_v2|parameter|sparse_tensor|qtensor"
    r"|meta_tensor_no_storage)|torch\.serialization _get_layout|"
    r"torch (Size|device|[A-Z]\w*Storage|[a-z]\w*)"
)
DICTIONARIES = ("collections OrderedDict", "collections Counter")
BUILTINS = ("builtins", "__builtin__")
PUSH_OPCODES = {
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BINFLOAT),
    *(pickle.EMPTY_TUPLE, pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.EMPTY_SET),
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1),
    *(pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINSTRING, pickle.SHORT_BINSTRING),
    *(pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.GLOBAL),
}
STRING_OPCODES = (pickle.BINSTRING, pickle.SHORT_BINSTRING)  # as Python 2 wrote text
# number of values popped from the stack; 0 for all down to the last mark
POP_OPCODES = {
    **{pickle.SETITEM: 2, pickle.SETITEMS: 0, pickle.APPEND: 1, pickle.APPENDS: 0},
    pickle.BUILD: 1,
}
REPLACE_OPCODES = {pickle.REDUCE: 2, pickle.NEWOBJ: 2, pickle.BINPERSID: 1}
TUPLE_OPCODES = {pickle.TUPLE: 0, pickle.TUPLE1: 1, pickle.TUPLE2: 2, pickle.TUPLE3: 3}


@dataclass(eq=False, slots=True)
class _Value:
    """What is known of a value while the pickle is checked."""

    depth: int = 0  # of nested tuples
    text: str | None = None  # if it is text
    keys: set[str] | None = None  # text keys so far, if it is a dictionary


def check_pickle(data: Any, start: int = 0) -> int:
    """Check the pickle that begins at byte `start` of data, bytes or a mapped file; its end.

    Raises ForbiddenGlobalError for a global that tensors do not need, RefusedError for what no
    file of weights contains, and DamagedError for an invalid pickle.
    """
    reader = OpcodeReader(data, start, wide_text=True)
    try:
        _check(reader)
    except (ValueError, LookupError) as error:  # invalid text; a missing mark or value
        raise DamagedError(str(error) or type(error).__name__) from error
    return reader.position


def _check(reader: OpcodeReader) -> None:
    stack: list[_Value] = []
    marks: list[int] = []
    memo: dict[Any, _Value] = {}
    for count, (opcode, operand) in enumerate(reader.instructions()):
        if count > MAX_INSTRUCTIONS:
            raise RefusedError(f"more than {MAX_INSTRUCTIONS:,} opcodes")
        if opcode in PUSH_OPCODES:
            stack.append(_pushed(opcode, operand))
        elif opcode in (pickle.BINPUT, pickle.LONG_BINPUT):
            memo[operand] = stack[-1]
        elif opcode in (pickle.BINGET, pickle.LONG_BINGET):
            stack.append(memo[operand])
        elif opcode == pickle.MARK:
            marks.append(len(stack))
        elif opcode in POP_OPCODES:
            popped = _pop(stack, POP_OPCODES[opcode] or len(stack) - marks.pop())
            if opcode in (pickle.SETITEM, pickle.SETITEMS):
                _set_items(popped, stack[-1])
        elif opcode in REPLACE_OPCODES:
            called = _pop(stack, REPLACE_OPCODES[opcode])[0].text
            stack.append(_Value(keys=set() if called in DICTIONARIES else None))
        elif opcode in TUPLE_OPCODES:
            size = TUPLE_OPCODES[opcode] or len(stack) - marks.pop()
            inner = max((value.depth for value in _pop(stack, size)), default=0)
            stack.append(_Value(1 + inner))
            if inner >= MAX_NESTED:
                raise RefusedError(f"more than {MAX_NESTED} nested tuples")
        elif opcode not in (pickle.PROTO, pickle.STOP):
            raise RefusedError(f"the pickle opcode {OPCODE_NAMES.get(opcode, opcode)}")


def _pushed(opcode: bytes, operand: Any) -> _Value:
    """What is known of the value that an opcode pushes."""
    if opcode == pickle.GLOBAL:
        operand = " ".join(operand)
        if not ALLOWED_GLOBALS.fullmatch(operand):
            module, _, function = operand.partition(" ")
            raise ForbiddenGlobalError(function if module in BUILTINS else f"{module}.{function}")
    elif opcode == pickle.LONG1 and len(operand) > MAX_INTEGER_BYTES:
        raise RefusedError("an integer of more than 64 bits")
    elif opcode in STRING_OPCODES:
        operand = operand.decode("latin-1")
    text = operand if isinstance(operand, str) else None
    return _Value(text=text, keys=set() if opcode == pickle.EMPTY_DICT else None)


def _set_items(items: list[_Value], into: _Value) -> None:
    if into.keys is None:  # torch before 2.10 does it to whatever is there (CVE-2026-24747)
        raise RefusedError("items for something that is not a dictionary")
    for key in items[::2]:
        if key.text is not None and key.text in into.keys:
            raise RefusedError(f"duplicate key {key.text!r:.80}")
        if key.text is not None:
            into.keys.add(key.text)


def _pop(stack: list[_Value], count: int) -> list[_Value]:
    if not 0 <= count <= len(stack):
        raise DamagedError("stack underflow")
    popped = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return popped
