"""Looks through the pickles of a PyTorch file before torch runs them.

torch.load with weights_only calls no stranger's code, but what it does call may be asked for ten
gigabytes in twenty bytes (`bytearray`), and a tuple in a tuple in a tuple ends the process when it
becomes a key. Here is refused what no file of weights has.
"""

import re
from dataclasses import dataclass
from pickletools import genops
from typing import Any, BinaryIO

MAX_INSTRUCTIONS = 300_000  # a tensor takes about 35: room for 8,000
MAX_NESTED = 20  # tuples in tuples
MAX_INTEGER = 1 << 64  # greater ones can be chosen to be slow as keys
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
# how much of the stack; 0 for all down to the last mark
POP_OPCODES = {"SETITEM": 2, "SETITEMS": 0, "APPEND": 1, "APPENDS": 0, "BUILD": 1}
REPLACE_OPCODES = {"REDUCE": 2, "NEWOBJ": 2, "BINPERSID": 1}
TUPLE_OPCODES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(eq=False, slots=True)
class _Value:
    """What is known of a value while the pickle is gone through."""

    depth: int = 0  # of tuples in it
    text: str | None = None  # if it is one
    keys: set[str] | None = None  # if it is a dictionary


class ForbiddenGlobalError(Exception):
    """The message is the name of what a pickle asks for."""


def check_pickle(file: BinaryIO) -> None:
    """Go through one pickle, and stop behind it.

    Raises AsksForError for what is no part of a tensor, and other exceptions for a damaged one.
    """
    stack: list[_Value] = []
    marks: list[int] = []
    memo: dict[Any, _Value] = {}
    for count, (opcode, operand, _) in enumerate(genops(file)):
        name = opcode.name
        if count > MAX_INSTRUCTIONS:
            raise ValueError(f"more than {MAX_INSTRUCTIONS:,} instructions")
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
                raise ValueError(f"tuples in tuples, more than {MAX_NESTED} of them")
        elif name not in ("PROTO", "STOP"):
            raise ValueError(f"the pickle instruction {name}")


def _check_operand(name: str, operand: object) -> None:
    if name == "GLOBAL" and not ALLOWED_GLOBALS.fullmatch(str(operand)):
        module, _, function = str(operand).partition(" ")
        raise ForbiddenGlobalError(function if module in BUILTINS else f"{module}.{function}")
    if isinstance(operand, int) and abs(operand) > MAX_INTEGER:
        raise ValueError("a number of more than 64 bits")


def _set_items(items: list[_Value], into: _Value) -> None:
    if into.keys is None:  # torch before 2.10 does it to whatever is there (CVE-2026-24747)
        raise ValueError("items are set of something that is not a dictionary")
    for key in items[::2]:
        if key.text is not None and key.text in into.keys:
            raise ValueError(f"{key.text!r:.80} stands twice in one dictionary")
        if key.text is not None:
            into.keys.add(key.text)


def _pop(stack: list[_Value], count: int) -> list[_Value]:
    if not 0 <= count <= len(stack):
        raise ValueError("a pickle that takes what it has not got")
    popped = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return popped
