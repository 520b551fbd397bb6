"""Checks the pickles of a PyTorch file before torch loads them.

torch.load with weights_only calls no unknown code, but what it does call can be made to allocate
ten gigabytes by twenty bytes (`bytearray`), and deeply nested tuples end the process when they are
used as a key. This refuses whatever no file of weights contains.
"""

import re
from dataclasses import dataclass
from pickletools import genops
from typing import Any, BinaryIO

MAX_INSTRUCTIONS = 300_000  # a tensor takes about 35: room for 8,000
MAX_NESTED = 20  # tuples in tuples
MAX_INTEGER = 1 << 64  # larger ones can be chosen to be slow as keys
ALLOWED_GLOBALS = re.compile(
    r"collections (OrderedDict|Counter)|torch\.nn\.parameter Parameter|"
    r"torch\._utils _rebuild_(tensor|tensor_v2|parameter|sparse_tensor|qtensor"
    r"|meta_tensor_no_storage)|torch\.serialization _get_layout|"
    r"torch (Size|device|[A-Z]\w*Storage|[a-z]\w*)"
)
DICTIONARIES = ("collections OrderedDict", "collections Counter")
BUILTINS = ("builtins", "__builtin__")
PUSH_OPCODES = {
    *("NONE", "NEWTRUE", "NEWFALSE", "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "GLOBAL"),
}
# number of values popped from the stack; 0 for all down to the last mark
POP_OPCODES = {"SETITEM": 2, "SETITEMS": 0, "APPEND": 1, "APPENDS": 0, "BUILD": 1}
REPLACE_OPCODES = {"REDUCE": 2, "NEWOBJ": 2, "BINPERSID": 1}
TUPLE_OPCODES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(eq=False, slots=True)
class _Value:
    """What is known of a value while the pickle is checked."""

    depth: int = 0  # of nested tuples
    text: str | None = None  # if it is text
    keys: set[str] | None = None  # text keys so far, if it is a dictionary


class ForbiddenGlobalError(Exception):
    """A pickle names a global that no file of weights needs: the message is that name."""


def check_pickle(file: BinaryIO) -> None:
    """Check one pickle, and leave the file positioned after it.

    Raises ForbiddenGlobalError for a global that tensors do not need, and ValueError or what
    pickletools raises for a damaged or refused pickle.
    """
    stack: list[_Value] = []
    marks: list[int] = []
    memo: dict[Any, _Value] = {}
    for count, (opcode, operand, _) in enumerate(genops(file)):
        name = opcode.name
        if count > MAX_INSTRUCTIONS:
            raise ValueError(f"more than {MAX_INSTRUCTIONS:,} opcodes")
        if name in PUSH_OPCODES:
            _check_operand(name, operand)
            text = operand if isinstance(operand, str) else None
            stack.append(_Value(text=text, keys=set() if name == "EMPTY_DICT" else None))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[operand] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[operand])
        elif name == "MARK":
            marks.append(len(stack))
        elif name in POP_OPCODES:
            popped = _pop(stack, POP_OPCODES[name] or len(stack) - marks.pop())
            if name.startswith("SETITEM"):
                _set_items(popped, stack[-1])
        elif name in REPLACE_OPCODES:
            called = _pop(stack, REPLACE_OPCODES[name])[0].text
            stack.append(_Value(keys=set() if called in DICTIONARIES else None))
        elif name == "TUPLE" or name in TUPLE_OPCODES:
            size = len(stack) - marks.pop() if name == "TUPLE" else TUPLE_OPCODES[name]
            inner = max((value.depth for value in _pop(stack, size)), default=0)
            stack.append(_Value(1 + inner))
            if inner >= MAX_NESTED:
                raise ValueError(f"more than {MAX_NESTED} nested tuples")
        elif name not in ("PROTO", "STOP"):
            raise ValueError(f"the pickle opcode {name}")


def _check_operand(name: str, operand: object) -> None:
    if name == "GLOBAL" and not ALLOWED_GLOBALS.fullmatch(str(operand)):
        module, _, function = str(operand).partition(" ")
        raise ForbiddenGlobalError(function if module in BUILTINS else f"{module}.{function}")
    if isinstance(operand, int) and abs(operand) > MAX_INTEGER:
        raise ValueError("an integer of more than 64 bits")


def _set_items(items: list[_Value], into: _Value) -> None:
    if into.keys is None:  # torch before 2.10 does it to whatever is there (CVE-2026-24747)
        raise ValueError("items for something that is not a dictionary")
    for key in items[::2]:
        if key.text is not None and key.text in into.keys:
            raise ValueError(f"duplicate key {key.text!r:.80}")
        if key.text is not None:
            into.keys.add(key.text)


def _pop(stack: list[_Value], count: int) -> list[_Value]:
    if not 0 <= count <= len(stack):
        raise ValueError("stack underflow")
    popped = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return popped
