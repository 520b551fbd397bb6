"""The images of a dataset: found in folders, and their sizes by their headers alone."""

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from picodet.data.image_files import SUFFIXES
from picodet.data.image_headers import image_size
from picodet.data.preprocess import read_image
from picodet.errors import ImageError
from picodet.files import regular_file

HEADER_BYTES = 1 << 18  # beyond the profiles and thumbnails of nearly all images
THREADS = 8  # they wait for the disk
ORIENTATION = 0x0112  # EXIF's tag; from 5 on the image is turned by 90 degrees
MAX_TAGS = 1000

Size = tuple[int, int]  # height, width


def files_below(folder: Path, is_wanted: Callable[[str], bool]) -> Iterator[str]:
    """Names relative to the folder, with slashes, in a fixed order, of all files below it."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        below = Path(place).relative_to(folder)
        yield from ((below / name).as_posix() for name in sorted(names) if is_wanted(name))


def is_image(name: str) -> bool:
    """Whether the file is an image, by its suffix."""
    return os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("._")  # noqa: PTH122


def image_sizes(paths: Sequence[Path]) -> Iterator[Size | str]:
    """(height, width) of each image as it is decoded, or the reason why it cannot be."""
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(_decoded_size, paths)


def _decoded_size(path: Path) -> Size | str:
    try:
        with regular_file(path).open("rb") as file:
            head = file.read(HEADER_BYTES)
    except OSError as error:
        return f"the image cannot be read: {error.strerror or error}"
    size = image_size(head)
    turned = _is_turned(head)
    if size is None or turned is None:
        try:
            height, width = read_image(path).shape[:2]
        except ImageError as error:
            return str(error).removeprefix(f"{path}: ")
        return height, width
    if min(size) < 1:
        return "an image without pixels"
    return size[::-1] if turned else size


def _is_turned(head: bytes) -> bool | None:
    """Whether the decoder turns the image by 90 degrees, as its EXIF demands; None: unknown."""
    start = head.find(b"Exif\0\0")
    if start < 0:
        return None if b"eXIf" in head or b"EXIF" in head else False  # of PNG and WebP
    if not head.startswith(b"\xff\xd8"):
        return None
    tiff = head[start + 6 :]
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return None
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, at)
        for tag_at in range(at + 2, at + 2 + 12 * min(count, MAX_TAGS), 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, tag_at)
            if tag == ORIENTATION:
                return 5 <= value <= 8
    except struct.error:
        return None
    return False
