import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from picodet.data import decoder_warnings
from picodet.data.preprocess import decode
from picodet.errors import ImageError, ImageWarning

NOISE = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
PIXELS = cv2.GaussianBlur(NOISE, (5, 5), 0)


def encoded(suffix, *parameters, pixels=PIXELS):
    return cv2.imencode(suffix, pixels, parameters)[1].tobytes()


def without_the_middle(data, number=500):
    middle = len(data) // 2
    return data[:middle] + data[middle + number :]


def zeroed(data, number=200):
    middle = len(data) // 2
    return data[:middle] + bytes(number) + data[middle + number :]


PLAIN, PROGRESSIVE = encoded(".jpg"), encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
DAMAGED = {
    "middle": without_the_middle(PLAIN),
    "cut, with an end": PROGRESSIVE[: len(PROGRESSIVE) // 3] + b"\xff\xd9",
    "zeros": zeroed(PROGRESSIVE),
    "LZW": zeroed(encoded(".tif")),
    "deflate": zeroed(encoded(".tif", cv2.IMWRITE_TIFF_COMPRESSION, 8, pixels=NOISE)),
}


@pytest.fixture(params=["its own C library", "another"])
def c_library(request, monkeypatch):
    if request.param == "another":
        monkeypatch.setattr(decoder_warnings, "_can_replace_c_stderr", lambda: False)


@pytest.mark.usefixtures("c_library")
@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_image_is_named_and_nothing_is_printed(capfd, kind):
    with pytest.raises(
        ImageError, match=r"x\.jpg: a damaged image: its decoder reports '(Corrupt|TIFF_Error)"
    ):
        decode(DAMAGED[kind], "x.jpg")
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("c_library")
def test_padding_is_used_with_a_note():
    # of five bytes, libjpeg has read two ahead
    padded = PLAIN[:-2] + bytes(5) + PLAIN[-2:]
    with pytest.warns(
        ImageWarning, match="x.jpg: its decoder reports 'Corrupt JPEG data: [0-9] extraneous bytes"
    ):
        image = decode(padded, "x.jpg")
    assert (image == cv2.imdecode(np.frombuffer(PLAIN, np.uint8), cv2.IMREAD_COLOR)).all()


def test_why_an_image_cannot_be_decoded_is_reported(capfd):
    png = bytearray(encoded(".png"))
    png[len(png) // 2] ^= 16
    with pytest.raises(ImageError, match=r"damaged one \(libpng error: IDAT: CRC error\)"):
        decode(bytes(png), "x.png")
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("c_library")
def test_among_threads_the_damaged_ones_are_known():
    data = [PLAIN, PROGRESSIVE, *DAMAGED.values(), encoded(".tif"), encoded(".png")] * 20
    expected = [each in DAMAGED.values() for each in data]
    with ThreadPoolExecutor(8) as pool:
        found = [bool(lines) for _, lines in pool.map(decoder_warnings.decode, data)]
    assert found == expected


@pytest.mark.skipif(sys.platform != "linux", reason="C's stderr has another name")
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_what_others_print_meanwhile_is_handed_on(capfd, monkeypatch, suffix):
    decoding = decoder_warnings._imdecode

    def noisy(data):
        c = ctypes.CDLL(None)
        c.fputs(b"of somebody else\n", ctypes.c_void_p.in_dll(c, "stderr"))
        return decoding(data)

    monkeypatch.setattr(decoder_warnings, "_imdecode", noisy)
    image, lines = decoder_warnings.decode(encoded(suffix))
    assert image.shape == PIXELS.shape
    assert lines == ()
    assert "of somebody else\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("line", "damage"),
    [
        ("Corrupt JPEG data: bad ICC marker", False),
        ("Unknown Adobe color transform code 7", False),
        ("TIFF_Warning TIFFReadDirectory: Unknown field with tag 33550 (0x830e)", False),
        ("TIFF_Warning PackBitsDecode: Discarding 34 bytes to avoid buffer overrun", True),
        ("Corrupt JPEG data: 2 extraneous bytes before marker 0xd9", True),
        ("Premature end of JPEG file", True),
    ],
)
def test_what_is_damage(line, damage):
    assert decoder_warnings.is_damage(line, PLAIN) == damage
