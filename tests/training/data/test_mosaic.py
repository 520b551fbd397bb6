"""Mosaic, mix-up and AugmentHSV: ppdet's arrays from its draws."""

import json
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picodet.config import Preprocessing
from picodet.training.data.mosaic import SIDE, augment_hsv, mosaic
from picodet.training.data.transforms import (
    LabeledImage,
    draw_resize,
    flip,
    normalize_into,
    resize,
    resize_boxes,
)
from scripts.fixtures.drawn_samples import digest, synthetic_boxes, synthetic_image

SIZES = [(side, side) for side in (352, 384, 416, 448, 480)]
PLAIN = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def five(seed):
    images = [synthetic_image(seed + i) for i in range(5)]
    return [
        LabeledImage(each, *synthetic_boxes(seed + i, *each.shape[:2]))
        for i, each in enumerate(images)
    ]


def python_rng(seed):
    return Random(seed)  # noqa: S311


@pytest.mark.slow
@pytest.mark.usefixtures("portable")
@pytest.mark.parametrize("seed", range(40))
def test_arrays_are_ppdets(golden, seed):
    row = json.loads((golden / "augment.json").read_text())["mosaics"][seed]
    random = np.random.RandomState(seed)
    sample = mosaic(five(seed), random, python_rng(seed))
    sample = flip(sample._replace(image=augment_hsv(sample.image, random)), 0.5, random)
    size, interp = draw_resize(SIZES, random)
    result = np.full((3, *size), np.nan, np.float32)
    normalize_into(result, resize(sample.image, size, interp), PLAIN)
    assert digest(result) == row["image"]
    assert resize_boxes(sample.boxes, sample.image.shape[:2], size).tolist() == row["boxes"]
    assert sample.classes.tolist() == row["classes"]


def test_share_of_mosaics():
    own = five(0)
    made = [mosaic(own, np.random.RandomState(i), python_rng(i)) is not own[0] for i in range(100)]
    assert abs(sum(made) - 60) < 4 * 4.9  # binomial: four standard deviations


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_boxes_of_all_five_stay_inside_with_their_class(seed):
    own = five(seed % 7)
    own = [each._replace(classes=np.full(len(each.boxes), i)) for i, each in enumerate(own)]
    sample = mosaic(own, np.random.RandomState(seed), python_rng(seed))
    if sample is not own[0]:
        assert sample.classes.tolist() == [i for i, each in enumerate(own) for _ in each.boxes]
        assert sample.boxes.dtype == np.float32
        assert ((sample.boxes >= 0) & (sample.boxes <= SIDE)).all()
        assert (sample.boxes[:, :2] <= sample.boxes[:, 2:]).all()


def test_colors_move_within_their_gains():
    image = np.full((1, 1, 3), (120, 60, 60), np.uint8)  # hue 0, saturation 127, value 120
    values = {int(augment_hsv(image, np.random.RandomState(i)).max()) for i in range(100)}
    assert 120 in values  # left as it was
    assert 90 <= min(values) < 100
    assert 140 < max(values) <= 150
