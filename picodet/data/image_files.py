"""Finds the image files that a user names, and names the copies with boxes drawn on them."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from picodet.errors import ImageError, OutputError
from picodet.files import atomic_write

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def find_images(argument: str) -> list[Path]:
    """The file, the images of the folder, or the matches of the pattern; sorted.

    Raises ImageError if there are none; that a named file exists is not checked here.
    """
    path = Path(argument)
    if path.is_dir():
        found = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES]
        if not found:
            raise ImageError(f"{path}: a folder without images ({', '.join(sorted(SUFFIXES))})")
    elif not path.exists() and glob.has_magic(argument):
        found = [Path(name) for name in glob.glob(argument, recursive=True)]  # noqa: PTH207
        if not found:
            raise ImageError(f"{argument}: matches no file")
    else:
        found = [path]
    return sorted(found)


def copy_paths(images: Sequence[Path], folder: Path) -> list[Path]:
    """Names for drawn copies in `folder`: the images' own, numbered where two share one.

    Raises OutputError if a copy would replace one of the images.
    """
    sources = {os.path.realpath(image_path) for image_path in images}
    names: dict[Path, None] = {}
    for image_path in images:
        suffix = image_path.suffix if image_path.suffix.lower() in SUFFIXES else ".png"
        name, number = folder / (image_path.stem + suffix), 1
        while name in names:
            number += 1
            name = folder / f"{image_path.stem}_{number}{suffix}"
        if os.path.realpath(name) in sources:
            raise OutputError(f"{name} is one of the input images; give another folder as --out")
        names[name] = None
    return list(names)


def write_image(image: np.ndarray, path: Path) -> None:
    """Write image [H, W, 3] uint8 BGR in the suffix's format; atomically. Raises OutputError."""
    try:
        encoded, data = cv2.imencode(path.suffix, image)
    except cv2.error as error:
        raise OutputError(f"{path}: OpenCV cannot write it: {error.err}") from error
    if not encoded:
        raise OutputError(f"{path}: OpenCV cannot write {path.suffix} files")
    with atomic_write(path) as temporary:
        temporary.write_bytes(data.tobytes())
