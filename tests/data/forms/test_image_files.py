"""Sizes by the header alone, as OpenCV decodes the images."""

import struct

import cv2
import numpy as np
import pytest

from picodet.data.forms.image_files import files_below, image_sizes, is_image


def with_orientation(jpeg, order, orientation):
    """A JPEG with an EXIF segment that has a tag before the orientation."""
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 2)
    for tag, value in ((0x0100, 7), (0x0112, orientation)):
        tiff += struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
    exif = b"Exif\0\0" + tiff + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_orientation_of_exif(tmp_path, order):
    _, jpeg = cv2.imencode(".jpg", np.zeros((10, 20, 3), np.uint8))
    paths = [tmp_path / f"{i}.jpg" for i in range(10)]
    for i, path in enumerate(paths):
        path.write_bytes(with_orientation(jpeg.tobytes(), order, i))
    decoded = [cv2.imread(str(path)).shape[:2] for path in paths]
    assert set(decoded) == {(10, 20), (20, 10)}
    assert list(image_sizes(paths)) == decoded


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tiff", ".jpg", ".ppm"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    assert cv2.imwrite(str(path), np.zeros((10, 20, 3), np.uint8))
    assert list(image_sizes([path])) == [(10, 20)]


def test_what_is_no_image(tmp_path):
    text, folder = tmp_path / "x.png", tmp_path / "folder"
    text.write_text("no image")
    folder.mkdir()
    reasons = list(image_sizes([text, folder, tmp_path / "missing.png"]))
    assert "not an image" in reasons[0]
    assert "Is a directory" in reasons[1]
    assert "No such file" in reasons[2]


def test_files_in_a_fixed_order(tmp_path):
    for name in ("b/2.png", "b/1.JPG", "a/3.png", "c.png", "a/x.txt", "._c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list(files_below(tmp_path, is_image))
    assert found == ["c.png", "a/3.png", "b/1.JPG", "b/2.png"]
