"""Pillow's hue, saturation and value, against Pillow."""

import numpy as np
import pytest
from PIL import Image

from picodet.training.data.pillow_hsv import rotate_hue, to_hsv, to_rgb


@pytest.fixture(scope="module")
def colors():
    """[1024, 1024, 3]: one of each sixteen of all."""
    every = np.arange(1 << 20, dtype=np.uint32) * 16 + np.random.RandomState(0).randint(0, 16)
    channels = [every >> 16, (every >> 8) & 255, every & 255]
    return np.stack(channels, axis=-1).astype(np.uint8).reshape(1024, 1024, 3)


def from_hsv(hsv):
    image = Image.frombytes("HSV", hsv.shape[1::-1], np.ascontiguousarray(hsv).tobytes())
    return np.asarray(image.convert("RGB"))


def test_there(colors):
    theirs = np.asarray(Image.fromarray(colors).convert("HSV"))
    assert (np.stack(to_hsv(colors), axis=-1) == theirs).all()


def test_and_back(colors):
    planes = (np.ascontiguousarray(colors[..., i]) for i in range(3))
    assert (to_rgb(*planes) == from_hsv(colors)).all()
    # with the sixth of a hue in float32, this one becomes 162
    single = (np.full((1, 1), each, np.uint8) for each in (201, 199, 206))
    assert to_rgb(*single)[0, 0].tolist() == [163, 45, 206]


@pytest.mark.parametrize("amount", [0.0, 17.9, -17.9])
def test_turned(colors, amount):
    hsv = np.array(Image.fromarray(colors).convert("HSV"))
    hsv[..., 0] = np.trunc(hsv[..., 0] + amount).astype(int) % 256
    assert (rotate_hue(colors, amount) == from_hsv(hsv)).all()


def test_goes_round_at_both_ends():
    image = np.array([[[200, 0, 0]]], np.uint8)  # hue 0
    back = rotate_hue(image, -5.3)  # to 251: red with some blue
    assert back.tolist() == rotate_hue(image, 251.0).tolist()
    assert back[0, 0, 2] > back[0, 0, 1] == 0
    assert rotate_hue(image, 0.9).tolist() == image.tolist()  # the fraction is cut off
