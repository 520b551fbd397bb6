"""Pillow's blends, against Pillow."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from picodet.training.data.enhance import enhance, luma
from scripts.fixtures.drawn_samples import picture

ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
}


def test_luma():
    for seed in range(10):
        image = picture(seed)
        assert (luma(image) == np.asarray(Image.fromarray(image).convert("L"))).all()


@pytest.mark.parametrize("kind", ENHANCERS)
def test_blends(kind):
    random = np.random.RandomState(1)
    for seed in range(20):
        image, amount = picture(seed), random.uniform(0.5, 1.5)
        theirs = np.asarray(ENHANCERS[kind](Image.fromarray(image)).enhance(amount))
        ours = enhance(image, [(kind, amount)])
        assert ours.dtype == np.float32
        assert (ours == theirs).all()


def test_by_hand():
    image = np.array([[[200, 100, 0], [0, 100, 200]]], np.uint8)
    assert enhance(image, [("brightness", 1.5)])[0, 0].tolist() == [255, 150, 0]  # cut off
    # luma 118 and 82, mean 100; the fraction of 100 + 0.505 * 100 is lost
    assert luma(image).tolist() == [[118, 82]]
    assert enhance(image, [("contrast", 0.505)])[0, 0].tolist() == [150, 100, 49]
