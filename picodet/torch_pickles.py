"""Looks through the pickles of a PyTorch file before torch runs them.

torch.load with weights_only calls no stranger's code, but what it does call may be asked for ten
gigabytes in twenty bytes (`bytearray`), and a tuple in a tuple in a tuple ends the process when it
becomes a key. Here is refused what no file of weights has.
"""

import re
from pickletools import genops
from typing import Any, BinaryIO

MAX_INSTRUCTIONS = 300_000  # a tensor takes about 35: room for 8,000
MAX_NESTED = 20  # tuples in tuples
MAX_INTEGER = 1 << 64  # greater ones can be chosen to be slow as keys
KNOWN = re.compile(
    r"collections (OrderedDict|Counter)|torch\.nn\.parameter Parameter|"
    r"torch\._utils _rebuild_(tensor|tensor_v2|parameter|sparse_tensor|qtensor"
    r"|meta_tensor_no_storage)|torch\.serialization _get_layout|"
    r"torch (Size|device|[A-Z]\w*Storage|[a-z]\w*)"
)
BUILTINS = ("builtins", "__builtin__")
PUSHING = {
    *("NONE", "NEWTRUE", "NEWFALSE", "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "GLOBAL"),
}
TAKEN = {"SETITEM": 2, "APPEND": 1, "BUILD": 1}
MADE_OF = {"REDUCE": 2, "NEWOBJ": 2, "BINPERSID": 1}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class AsksForError(Exception):
    """The message is the name of what a pickle asks for."""


def check_pickle(file: BinaryIO) -> None:
    """Go through one pickle, and stop behind it.

    Raises AsksForError for what is no part of a tensor, and other exceptions for a damaged one.
    """
    stack: list[int] = []  # of each value: how deep its tuples are
    marks: list[int] = []
    memo: dict[Any, int] = {}
    for count, (opcode, operand, _) in enumerate(genops(file)):
        name = opcode.name
        if count > MAX_INSTRUCTIONS:
            raise ValueError(f"more than {MAX_INSTRUCTIONS:,} instructions")
        if name in PUSHING:
            _check_operand(name, operand)
            stack.append(0)
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[operand] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[operand])
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("SETITEMS", "APPENDS"):
            _take(stack, len(stack) - marks.pop())
        elif name in TAKEN:
            _take(stack, TAKEN[name])
        elif name in MADE_OF:
            _take(stack, MADE_OF[name])
            stack.append(0)
        elif name == "TUPLE" or name in TUPLES:
            size = len(stack) - marks.pop() if name == "TUPLE" else TUPLES[name]
            stack.append(1 + max(_take(stack, size), default=0))
            if stack[-1] > MAX_NESTED:
                raise ValueError(f"tuples in tuples, more than {MAX_NESTED} of them")
        elif name not in ("PROTO", "STOP"):
            raise ValueError(f"the pickle instruction {name}")


def _check_operand(name: str, operand: object) -> None:
    if name == "GLOBAL" and not KNOWN.fullmatch(str(operand)):
        module, _, function = str(operand).partition(" ")
        raise AsksForError(function if module in BUILTINS else f"{module}.{function}")
    if isinstance(operand, int) and abs(operand) > MAX_INTEGER:
        raise ValueError("a number of more than 64 bits")


def _take(stack: list[int], count: int) -> list[int]:
    if not 0 <= count <= len(stack):
        raise ValueError("a pickle that takes what it has not got")
    taken = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return taken
