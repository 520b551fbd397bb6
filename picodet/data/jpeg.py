"""Whether a JPEG is all there: OpenCV fills what is missing with grey and says nothing."""

import re
import struct
from collections.abc import Iterator

SOI, EOI = b"\xff\xd8", 0xD9
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 .. SOF15; the others are tables
# In compressed data FF stands for itself as FF 00, FF D0 .. D7 are restarts within a scan, and
# FF 01 has no length either.
MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd7])")


def is_cut_off(data: bytes) -> bool:
    """Whether `data` begins as a JPEG and ends before the marker that ends one.

    Walks from segment to segment (ITU-T T.81, annex B), so that neither a thumbnail in the
    header nor anything behind the picture can be taken for its end.
    """
    return data.startswith(SOI) and all(marker != EOI for marker, _ in _segments(data))


def frame_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) as the frame's header says; None where there is none."""
    for marker, place in _segments(data):
        if marker in FRAMES and len(data) >= place + 7:
            height, width = struct.unpack_from(">HH", data, place + 3)
            return height, width
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers, up to the end's, and where what belongs to each begins: with its length."""
    position = len(SOI)
    while marker := MARKER.search(data, position):
        yield marker[1][0], marker.end()
        if marker[1][0] == EOI:
            return
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        position = marker.end() + length
