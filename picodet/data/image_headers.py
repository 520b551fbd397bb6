"""The size of an encoded image from its header alone, before memory is allocated for pixels.

For the formats that OpenCV 5 decodes; of any other, OpenCV's own limit of 2^30 pixels holds.
"""

import re
import struct
from collections.abc import Callable, Iterator

SOI, EOI = b"\xff\xd8", 0xD9
SOF_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 .. SOF15; the others are tables
# In compressed data FF stands for itself as FF 00, FF D0 .. D7 are restarts within a scan, and
# FF 01 has no length either.
MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd7])")


def is_truncated_jpeg(data: bytes) -> bool:
    """Whether `data` begins as a JPEG and ends before the marker that ends one.

    Walks from segment to segment (ITU-T T.81, annex B), so that neither a thumbnail in the
    header nor anything behind the image can be taken for its end.
    """
    return data.startswith(SOI) and all(marker != EOI for marker, _ in _segments(data))


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) in the frame's header; None if there is none."""
    for marker, offset in _segments(data):
        if marker in SOF_MARKERS and len(data) >= offset + 7:
            height, width = struct.unpack_from(">HH", data, offset + 3)
            return height, width
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers up to EOI, each with the offset of its segment, which begins with its length."""
    position = len(SOI)
    while marker := MARKER.search(data, position):
        yield marker[1][0], marker.end()
        if marker[1][0] == EOI:
            return
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        position = marker.end() + length


Size = tuple[int, int]  # height, width
MAX_TAGS = 4096  # of a TIFF's directory
WIDTH, HEIGHT = 256, 257  # tags
NETPBM = re.compile(rb"P[1-7Ff](?:\s+|#[^\n]*\n)*(\d+)(?:\s+|#[^\n]*\n)+(\d+)\s")
PAM = (
    re.compile(rb"^HEIGHT\s+(\d+)\s", re.MULTILINE),
    re.compile(rb"^WIDTH\s+(\d+)\s", re.MULTILINE),
)
RADIANCE = re.compile(rb"\n[-+]Y\s+(\d+)\s+[-+]X\s+(\d+)\s*\n")


def image_size(data: bytes) -> Size | None:
    """(height, width) in pixels; None where the header is none of these, or damaged."""
    for signature, read in READERS:
        if signature.match(data):
            try:
                return read(data)
            except (struct.error, IndexError):
                return None
    return None


def _png(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _bmp(data: bytes) -> Size:
    if struct.unpack_from("<I", data, 14)[0] == 12:  # OS/2's header
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return abs(height), abs(width)  # negative: rows are stored from the top


def _gif(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return height, width


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return height + 1, width + 1
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return height & 0x3FFF, width & 0x3FFF
    return None


def _netpbm(data: bytes) -> Size | None:
    if data.startswith(b"P7"):
        dimensions = [found[1] for found in (part.search(data, 0, 1000) for part in PAM) if found]
        return (int(dimensions[0]), int(dimensions[1])) if len(dimensions) == 2 else None
    found = NETPBM.match(data, 0, 1000)
    return (int(found[2]), int(found[1])) if found else None


def _radiance(data: bytes) -> Size | None:
    found = RADIANCE.search(data, 0, 4000)
    return (int(found[1]), int(found[2])) if found else None


def _sun(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 4)
    return height, width


def _tiff(data: bytes) -> Size | None:
    order = "<" if data.startswith(b"I") else ">"
    if struct.unpack_from(order + "H", data, 2)[0] == 43:  # BigTIFF
        offset, count, step, value = 8, "Q", 20, 12
    else:
        offset, count, step, value = 4, "H", 12, 8
    first = struct.unpack_from(order + ("Q" if step == 20 else "I"), data, offset)[0]
    num_tags = struct.unpack_from(order + count, data, first)[0]
    first += struct.calcsize(order + count)
    dimensions = {}
    for at in range(first, first + step * min(num_tags, MAX_TAGS), step):
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in (WIDTH, HEIGHT):
            type_code = {3: "H", 4: "I", 16: "Q"}.get(kind)
            if type_code is None:
                return None
            dimensions[tag] = struct.unpack_from(order + type_code, data, at + value)[0]
    return (dimensions[HEIGHT], dimensions[WIDTH]) if len(dimensions) == 2 else None


def _jpeg_2000(data: bytes) -> Size | None:
    """The size in the codestream, which is more reliable than the boxes around it."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    return bottom - top, right - left


def _avif(data: bytes) -> Size | None:
    """The size of its largest part; each part has its own."""
    sizes = [
        struct.unpack_from(">II", data, found.end() + 4) for found in re.finditer(b"ispe", data)
    ]
    width, height = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    return (height, width) if sizes else None


READERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], Size | None]], ...] = tuple(
    (re.compile(signature, re.DOTALL), read)
    for signature, read in (
        (rb"\xff\xd8", jpeg_size),
        (rb"\x89PNG\r\n\x1a\n", _png),
        (rb"BM", _bmp),
        (rb"GIF8", _gif),
        (rb"RIFF....WEBP", _webp),
        (rb"P[1-7Ff]\s", _netpbm),
        (rb"#\?R", _radiance),
        (rb"\x59\xa6\x6a\x95", _sun),
        (rb"II[*+]\0|MM\0[*+]", _tiff),
        (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", _jpeg_2000),
        (rb"....ftypavi[fs]", _avif),
    )
)
