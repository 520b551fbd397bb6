"""Splits a pickle into opcodes and their operands; executes none of them.

`array_unpickler` builds arrays from them, `torch_pickles` checks them before torch does.

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


class ForbiddenGlobalError(RefusedError):
    """The pickle names a global that no checkpoint needs: the message is that name."""


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
    """Reads opcodes and their operands, never beyond the end of the data.

    position: where the pickle begins; after `instructions` is exhausted, where it ends.
    wide_text: whether long texts beyond latin-1 are expected; else they are refused.
    """

    def __init__(self, data: Any, position: int = 0, wide_text: bool = False) -> None:
        self.data, self.position, self.wide_text = data, position, wide_text

    def instructions(self) -> Iterator[tuple[bytes, Any]]:
        """Yield each opcode with its operand; None for an opcode without one."""
        instruction = b""
        while instruction != pickle.STOP:
            instruction = self._take(1)
            if instruction in NUMBER_OPCODES:
                yield instruction, self._number(NUMBER_OPCODES[instruction])
            elif instruction in BYTES_OPCODES:
                yield instruction, self._take(self._number(BYTES_OPCODES[instruction]))
            elif instruction in TEXT_OPCODES:
                text = self._take(self._number(TEXT_OPCODES[instruction]))
                self._check_width(text, rb"[\xc4-\xff]")
                yield instruction, text.decode("utf-8", "surrogatepass")
            elif instruction in LINE_OPCODES:
                line = self._line()
                if instruction == pickle.UNICODE:
                    self._check_width(line, rb"\\u(?!00)|\\U")
                yield instruction, LINE_OPCODES[instruction](line)
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

    def _check_width(self, text: bytes, beyond_latin_1: bytes) -> None:
        too_long = not self.wide_text and len(text) > MAX_WIDE_TEXT
        if too_long and re.search(beyond_latin_1, text):
            raise RefusedError(f"a text of {len(text):,} bytes that is neither a name nor an array")
