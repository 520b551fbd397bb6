import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet.data import preprocess
from picodet.data.image_headers import image_size, is_truncated_jpeg
from picodet.errors import ImageError

PIXELS = np.random.default_rng(0).integers(0, 255, (37, 70, 3)).astype(np.uint8)
FORMATS = {
    ".jpg": (),
    ".jpeg": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    ".png": (),
    ".bmp": (),
    ".tif": (),
    ".webp": (cv2.IMWRITE_WEBP_QUALITY, 80),
    ".ppm": (),
    ".pgm": (),
    ".pam": (),
    ".pfm": (),
    ".gif": (),
    ".jp2": (),
    ".avif": (),
    ".hdr": (),
    ".ras": (),
}


def encoded(suffix, *parameters):
    pixels = PIXELS.astype(np.float32) if suffix in (".pfm", ".hdr") else PIXELS
    pixels = pixels[..., 0] if suffix == ".pgm" else pixels
    try:
        return cv2.imencode(suffix, pixels, parameters)[1].tobytes()
    except cv2.error as error:
        return pytest.skip(f"this OpenCV writes no {suffix}: {error}")


@pytest.mark.parametrize("suffix", FORMATS)
def test_of_every_format(suffix):
    assert image_size(encoded(suffix, *FORMATS[suffix])) == (37, 70)


def test_of_other_kinds_of_a_format():
    assert image_size(encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101)) == (37, 70)  # lossless
    extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\x45\0\0\x24\0\0"
    assert image_size(extended) == (37, 70)
    assert image_size(b"BM" + bytes(12) + struct.pack("<IHH", 12, 70, 37)) == (37, 70)
    from_the_top = struct.pack("<Iii", 40, 70, -37)
    assert image_size(b"BM" + bytes(12) + from_the_top) == (37, 70)
    tags = struct.pack(">QHHQQHHQQ", 2, 256, 4, 1, 70 << 32, 257, 3, 1, 37 << 48)
    assert image_size(b"MM\0+" + struct.pack(">HHQ", 8, 0, 16) + tags) == (37, 70)
    assert image_size(b"P6\n# a comment\n70 # and one\n37\n255\n") == (37, 70)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_header_that_breaks_off_has_none_or_the_right_one(suffix):
    data = encoded(suffix, *FORMATS[suffix])
    found = {image_size(data[:end]) for end in range(min(len(data), 400))}
    assert found <= {None, (37, 70)}


def test_no_pixel_of_an_enormous_image_is_decoded(monkeypatch):
    monkeypatch.setattr(preprocess.decoder_warnings, "decode", None)
    header = b"IHDR" + struct.pack(">IIBBBBB", 32_000, 32_001, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + header + struct.pack(">I", zlib.crc32(header))
    message = "x.png: 32000 x 32001 pixels, 1,024,032,000; up to 268,435,456 are read. Cut"
    with pytest.raises(ImageError, match=re.escape(message)):
        preprocess.decode(png, "x.png")


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_limit_holds_for_every_format(monkeypatch, suffix):
    data = encoded(suffix, *FORMATS[suffix])
    monkeypatch.setattr(preprocess, "MAX_PIXELS", 37 * 70 - 1)
    with pytest.raises(ImageError, match="70 x 37 pixels, 2,590; up to 2,589"):
        preprocess.decode(data, "x")


SQUARE = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
PLAIN = cv2.imencode(".jpg", SQUARE)[1].tobytes()
PROGRESSIVE = cv2.imencode(".jpg", SQUARE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
RESTARTS = cv2.imencode(".jpg", SQUARE, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes()
# a whole thumbnail in the header, as cameras put it there
LENGTH = (len(PLAIN) + 2).to_bytes(2, "big")
THUMBNAIL = PLAIN[:2] + b"\xff\xe1" + LENGTH + PLAIN + PLAIN[2:]
KINDS = [PLAIN, PROGRESSIVE, RESTARTS, THUMBNAIL]


@pytest.mark.parametrize("jpeg", KINDS)
def test_whole_ones(jpeg):
    assert not is_truncated_jpeg(jpeg)
    assert not is_truncated_jpeg(jpeg + b"a film behind the image \xff\xda")
    assert not is_truncated_jpeg(jpeg[:2] + b"\xff\x01" + jpeg[2:])  # TEM, which has no length


@given(st.sampled_from(KINDS), st.floats(0, 1))
def test_cut_ones(jpeg, share):
    assert is_truncated_jpeg(jpeg[: 2 + int(share * (len(jpeg) - 4))])


def test_other_files_are_not_its_business():
    assert not is_truncated_jpeg(b"\x89PNG")
