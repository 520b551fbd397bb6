"""Size and checksum of image files, to detect that one has changed since a run was interrupted.

The modification time is not used: it differs in every copy, and a run may be resumed on a copy.
"""

import zlib
from pathlib import Path
from typing import NamedTuple

BLOCK_BYTES = 1 << 20


class ImageChecksum(NamedTuple):
    """Size in bytes and checksum of an image file; size -1 if it could not be read."""

    size: int  # bytes
    crc: int  # CRC-32: detects accidents, not deliberate forgery


UNKNOWN_CHECKSUM = ImageChecksum(-1, 0)


def image_checksum(path: Path) -> ImageChecksum:
    """The checksum of a file; UNKNOWN_CHECKSUM if it is missing, unreadable or no file."""
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
    """A change as text for an error; "" if both are the same or one is unknown."""
    if before == now or UNKNOWN_CHECKSUM in (before, now):
        return ""
    return (
        f"had {before.size:,} bytes with checksum {before.crc:08x}, has {now.size:,} with "
        f"{now.crc:08x}"
    )
