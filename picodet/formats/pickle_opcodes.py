"""Splits a pickle into opcodes and their operands; executes none of them.

The format is documented in Python's pickletools. Its own reader is not used because it decodes a
text before its length can be checked.
"""

import codecs
import pickle
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MAX_WIDE_TEXT = 1000  # bytes; Python stores text beyond latin-1 with up to four bytes a character


class RefusedError(Exception):
    """The file contains something that no checkpoint needs; the message names it."""


class DamagedError(Exception):
    """The pickle is invalid, as when bytes are missing or changed; the message states where."""


# operands: the layout of a number, or of the number of bytes that follow
NUMBER_OPCODES = {
    **{pickle.PROTO: "<B", pickle.FRAME: "<Q"},
    **{pickle.BININT: "<i", pickle.BININT1: "<B", pickle.BININT2: "<H", pickle.BINFLOAT: ">d"},
    **{pickle.BINPUT: "<B", pickle.LONG_BINPUT: "<I"},
    **{pickle.BINGET: "<B", pickle.LONG_BINGET: "<I"},
}
BYTES_OPCODES = {
    **{pickle.SHORT_BINBYTES: "<B", pickle.BINBYTES: "<I", pickle.BINBYTES8: "<Q"},
    **{pickle.SHORT_BINSTRING: "<B", pickle.BINSTRING: "<i", pickle.LONG1: "<B"},
    pickle.BYTEARRAY8: "<Q",
}
TEXT_OPCODES = {pickle.SHORT_BINUNICODE: "<B", pickle.BINUNICODE: "<I", pickle.BINUNICODE8: "<Q"}
OPCODE_NAMES = {code: name for name, code in vars(pickle).items() if isinstance(code, bytes)}


def _int(line: bytes) -> int | bool:
    """Protocols 0 and 1 write True as 01."""
    return line == b"01" if line in (b"00", b"01") else int(line)


def _long(line: bytes) -> int:
    return int(line.removesuffix(b"L"))


def _escaped_text(line: bytes) -> str:
    if len(line) > MAX_WIDE_TEXT and re.search(rb"\\u(?!00)|\\U", line):  # more than latin-1
        raise RefusedError(f"a text of {len(line):,} bytes that is neither a name nor an array")
    return line.decode("raw-unicode-escape")


def _string(line: bytes) -> str:
    """A string as Python 2 wrote it, in quotes."""
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise DamagedError("a string without quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("latin-1")


# of protocol 0: the operand is a line
LINE_OPCODES: Mapping[bytes, Callable[[bytes], Any]] = {
    **{pickle.INT: _int, pickle.LONG: _long, pickle.PUT: int, pickle.GET: int},
    **{pickle.FLOAT: float, pickle.UNICODE: _escaped_text, pickle.STRING: _string},
}


class OpcodeReader:
    """Reads opcodes and their operands, never beyond the end of the data."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.position = 0

    def instructions(self) -> Iterator[tuple[bytes, Any]]:
        instruction = b""
        while instruction != pickle.STOP:
            instruction = self._take(1)
            if instruction in NUMBER_OPCODES:
                yield instruction, self._number(NUMBER_OPCODES[instruction])
            elif instruction in BYTES_OPCODES:
                yield instruction, self._take(self._number(BYTES_OPCODES[instruction]))
            elif instruction in TEXT_OPCODES:
                yield instruction, _text(self._take(self._number(TEXT_OPCODES[instruction])))
            elif instruction in LINE_OPCODES:
                yield instruction, LINE_OPCODES[instruction](self._line())
            elif instruction in (pickle.GLOBAL, pickle.INST):
                yield instruction, tuple(self._line().decode("latin-1") for _ in range(2))
            else:
                yield instruction, None

    def _take(self, count: int) -> bytes:
        left = len(self.data) - self.position
        if not 0 <= count <= left:
            raise DamagedError(f"expected {count:,} bytes at {self.position:,}, found {left:,}")
        self.position += count
        return self.data[self.position - count : self.position]

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _line(self) -> bytes:
        end = self.data.find(b"\n", self.position)
        return self._take(max(end, self.position) + 1 - self.position)[:-1]


def _text(data: bytes) -> str:
    if len(data) > MAX_WIDE_TEXT and re.search(rb"[\xc4-\xff]", data):  # more than latin-1
        raise RefusedError(f"a text of {len(data):,} bytes that is neither a name nor an array")
    return data.decode("utf-8", "surrogatepass")
