"""Mosaic, mix-up and AugmentHSV: ppdet's arrays from its draws."""

import json
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picodet.config import Preprocessing
from picodet.training.data.mosaic import SIDE, mosaic, shift_colours
from picodet.training.data.transforms import (
    Seen,
    draw_resize,
    flip,
    normalise_into,
    resize,
    resize_boxes,
)
from scripts.fixtures.drawn_samples import boxes, digest, picture

SIZES = [(side, side) for side in (352, 384, 416, 448, 480)]
PLAIN = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def five(seed):
    images = [picture(seed + i) for i in range(5)]
    return [Seen(each, *boxes(seed + i, *each.shape[:2])) for i, each in enumerate(images)]


def python(seed):
    return Random(seed)  # noqa: S311


@pytest.mark.usefixtures("portable")
@pytest.mark.parametrize("seed", range(40))
def test_arrays_are_ppdets(golden, seed):
    row = json.loads((golden / "augment.json").read_text())["mosaics"][seed]
    random = np.random.RandomState(seed)
    seen = mosaic(five(seed), random, python(seed))
    seen = flip(seen._replace(picture=shift_colours(seen.picture, random)), 0.5, random)
    size, interp = draw_resize(SIZES, random)
    result = np.full((3, *size), np.nan, np.float32)
    normalise_into(result, resize(seen.picture, size, interp), PLAIN)
    assert digest(result) == row["image"]
    assert resize_boxes(seen.boxes, seen.picture.shape[:2], size).tolist() == row["boxes"]
    assert seen.classes.tolist() == row["classes"]


def test_share_of_mosaics():
    own = five(0)
    made = [mosaic(own, np.random.RandomState(i), python(i)) is not own[0] for i in range(100)]
    assert abs(sum(made) - 60) < 4 * 4.9  # binomial: four standard deviations


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_boxes_of_all_five_stay_inside_with_their_class(seed):
    own = five(seed % 7)
    own = [each._replace(classes=np.full(len(each.boxes), i)) for i, each in enumerate(own)]
    seen = mosaic(own, np.random.RandomState(seed), python(seed))
    if seen is not own[0]:
        assert seen.classes.tolist() == [i for i, each in enumerate(own) for _ in each.boxes]
        assert seen.boxes.dtype == np.float32
        assert ((seen.boxes >= 0) & (seen.boxes <= SIDE)).all()
        assert (seen.boxes[:, :2] <= seen.boxes[:, 2:]).all()


def test_colours_move_within_their_gains():
    image = np.full((1, 1, 3), (120, 60, 60), np.uint8)  # hue 0, saturation 127, value 120
    values = {int(shift_colours(image, np.random.RandomState(i)).max()) for i in range(100)}
    assert 120 in values  # left as it was
    assert 90 <= min(values) < 100
    assert 140 < max(values) <= 150
