"""Whether an image is still the one that it was: its size in bytes and a checksum of its content.

Not the time of its last change: that is another for every copy, and a run may go on with a copy.
"""

import zlib
from pathlib import Path
from typing import NamedTuple

BLOCK_BYTES = 1 << 20  # bytes


class ImageChecksum(NamedTuple):
    """What is remembered of one image. A size of -1: it was not there, or not readable."""

    size: int  # bytes
    crc: int  # CRC-32: against accidents, not against somebody who wants to deceive


UNKNOWN_CHECKSUM = ImageChecksum(-1, 0)


def image_checksum(path: Path) -> ImageChecksum:
    """Of a file; UNKNOWN of whatever else there is, or of nothing."""
    size = crc = 0
    try:
        if not path.is_file():
            return UNKNOWN_CHECKSUM
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                size += len(block)
                crc = zlib.crc32(block, crc)
    except OSError:
        return UNKNOWN_CHECKSUM
    return ImageChecksum(size, crc)


def describe_change(before: ImageChecksum, now: ImageChecksum) -> str:
    """In words, for an error; "" where they are the same or one of them is unknown."""
    if before == now or UNKNOWN_CHECKSUM in (before, now):
        return ""
    return (
        f"had {before.size:,} bytes with checksum {before.crc:08x}, has {now.size:,} with "
        f"{now.crc:08x}"
    )
