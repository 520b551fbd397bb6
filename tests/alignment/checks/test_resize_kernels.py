"""Differences that another resize kernel explains, and others."""

import cv2
import numpy as np
import pytest

from picodet.alignment.checks.resize_kernels import (
    describe_difference,
    explain_mismatch,
    same_kernels,
)
from picodet.alignment.recording.probes import IMAGE
from picodet.data import preprocess
from picodet.data.resize_kernels import fingerprint, use_kernels

SIZE = (96, 160)
PHOTO = cv2.imread(str(IMAGE))[:200, 100:400]


def exact(image=PHOTO, interp=2):
    with use_kernels("portable"):
        return preprocess.resize(image.astype("f8"), SIZE, interp)


def rounded(values):
    return np.clip(np.rint(values), 0, 255)


def portable(image=PHOTO):
    with use_kernels("portable"):
        return preprocess.resize(image, SIZE, 2)


def shifted(pixels):
    x, y = (np.arange(PHOTO.shape[i], dtype="f4") for i in (1, 0))
    moved = cv2.remap(PHOTO.astype("f4"), *np.meshgrid(x + np.float32(pixels), y), cv2.INTER_CUBIC)
    return rounded(exact(moved))


def one_off(level):
    made = portable().astype("f4")
    made[5, 7, 1] += level if made[5, 7, 1] < 128 else -level
    return made


@pytest.mark.parametrize("image", [PHOTO, PHOTO[:1, :1], np.full((8, 9, 3), 77, np.uint8)])
def test_every_kernel_of_the_same_interp_passes(image):
    """IPP's result is nearly the exact number rounded."""
    for made in (portable(image), preprocess.resize(image, SIZE, 2), rounded(exact(image))):
        assert explain_mismatch(image, SIZE, 2, made.astype("f4")) is None


OTHERS = {
    "linear": (lambda: preprocess.resize(PHOTO, SIZE, 1), "is nearer to 1 (linear)"),
    "Lanczos": (lambda: rounded(exact(interp=4)), "is nearer to 4 (Lanczos)"),
    "cut off": (lambda: np.floor(np.clip(exact(), 0, 255)), "no other kernel: 1.00 gray levels"),
    "floats": (exact, "the reference's values are not whole numbers 0 .. 255"),
    "a tenth of a pixel": (lambda: shifted(0.1), "no other kernel: "),
    "one value": (lambda: one_off(2), "no other kernel: "),
    "another size": (lambda: portable()[:-1], "another shape or type than the reference's"),
    "NaN": (
        lambda: np.full((*SIZE, 3), np.nan),
        "the reference's values are not whole numbers 0 .. 255",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_differences_that_no_kernel_makes(name):
    made, text = OTHERS[name]
    assert text in explain_mismatch(PHOTO, SIZE, 2, made())


def test_more_differing_values_than_between_kernels():
    """Half of the values, each by no more than between kernels."""
    number = np.clip(exact(), 0, 255)
    ties = np.abs(number - np.floor(number) - 0.5) < 0.2
    made = np.where(ties, 2 * np.floor(number) + 1 - rounded(number), rounded(number))
    text = explain_mismatch(PHOTO, SIZE, 2, made)
    assert text.startswith("no other kernel: ")


def test_samples_of_a_summary():
    at = np.linspace(0, 3 * SIZE[0] * SIZE[1] - 1, 16).astype(int)
    assert explain_mismatch(PHOTO, SIZE, 2, rounded(exact()).ravel()[at], at) is None
    assert explain_mismatch(PHOTO, SIZE, 2, preprocess.resize(PHOTO, SIZE, 1).ravel()[at], at)


def test_same_kernels_have_the_same_fingerprint():
    assert same_kernels(fingerprint("portable"), "portable", 2)
    assert not same_kernels(fingerprint("portable") | {"cubic": "0"}, "portable", 2)
    assert same_kernels(fingerprint("portable") | {"cubic": "0"}, "portable", 1)
    assert not same_kernels({}, "portable", 1)  # an older recording


def test_the_difference_of_kernels_is_described():
    pixels, reference = np.array([1, 2, 3, 255], "u1"), np.array([1, 2, 4, 255], "f4")
    assert describe_difference(pixels, reference) == (
        "another resize kernel: at most 1 gray level, in 25 % of the values"
    )
    assert "at most 3 gray levels, in 25 %" in describe_difference(pixels, np.array([1, 2, 3, 252]))
