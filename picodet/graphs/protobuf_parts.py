"""Counts the fields of a protobuf message before protobuf parses it.

Two bytes of a file, an empty message in a list, take over a hundred bytes of memory: limiting the
fields limits the memory. Protobuf's encoding: a field is its number and wire type, and then a
varint (0), eight bytes (1), a length and as many bytes (2) or four bytes (5).
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

MAX_VARINT = 10  # bytes of a number of 64 bits
FIXED = {1: 8, 5: 4}


def check_parts(data: bytes, descriptor: Any, limit: int) -> None:
    """Raise ValueError for a damaged message, or one of more fields in all than `limit`.

    `descriptor` is protobuf's of the message. The fields of nested messages count too.
    """
    count = 0
    pending = [(0, len(data), _messages(descriptor))]
    while pending:
        position, end, inner = pending.pop()
        while position < end:
            count += 1
            if count > limit:
                raise ValueError(f"it has more than {limit:,} fields")
            key = data[position]
            if key < 128:  # most keys have one byte
                position += 1
            else:
                key, position = _varint(data, position)
            form = key & 7
            if form == 0:
                _, position = _varint(data, position)
            elif form == 2:
                length, start = _varint(data, position)
                position = start + length
                if position <= end and key >> 3 in inner:
                    pending.append((start, position, _messages(inner[key >> 3])))
            elif form in FIXED:
                position += FIXED[form]
            else:
                raise ValueError(f"a field of the unknown wire type {form} at byte {position:,}")
        if position > end:
            raise ValueError(f"{position - end:,} bytes are missing at byte {end:,}")


@cache
def _messages(descriptor: Any) -> Mapping[int, Any]:
    """The types of nested messages, by field number."""
    return {f.number: f.message_type for f in descriptor.fields if f.message_type}


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, and the position after it."""
    if position < len(data) and data[position] < 128:
        return data[position], position + 1
    number = 0
    for i, byte in enumerate(data[position : position + MAX_VARINT]):
        number |= (byte & 127) << 7 * i
        if byte < 128:
            return number, position + i + 1
    raise ValueError(f"an unterminated number at byte {position:,}")
