"""Whether a JPEG is all there: OpenCV fills what is missing with grey and says nothing."""

import re

SOI, EOI = b"\xff\xd8", 0xD9
# In compressed data FF stands for itself as FF 00, FF D0 .. D7 are restarts within a scan, and
# FF 01 has no length either.
MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd7])")


def is_cut_off(data: bytes) -> bool:
    """Whether `data` begins as a JPEG and ends before the marker that ends one.

    Walks from segment to segment (ITU-T T.81, annex B), so that neither a thumbnail in the
    header nor anything behind the picture can be taken for its end.
    """
    if not data.startswith(SOI):
        return False
    position = len(SOI)
    while marker := MARKER.search(data, position):
        if marker[1][0] == EOI:
            return False
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        position = marker.end() + length
    return True
