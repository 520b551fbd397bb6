"""BatchRandomResize, NormalizeImage and Permute, bit for bit, and what is drawn for them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet.config import Preprocessing
from picodet.training.data.color_jitter import distort
from picodet.training.data.resizing import draw_resize, normalise_into, resize, resize_boxes
from picodet.training.data.transforms import Seen, crop, flip
from scripts.fixtures.drawn_samples import boxes, digest, picture

SIZES = [(side, side) for side in (352, 384, 416, 448, 480)]


@pytest.mark.usefixtures("portable")
def test_arrays_are_ppdets(golden):
    drawn = set()
    for row in json.loads((golden / "augment.json").read_text())["batches"]:
        random = np.random.RandomState(row["seed"])
        image = picture(row["seed"])
        seen = flip(crop(Seen(image, *boxes(row["seed"], *image.shape[:2])), random), 0.5, random)
        distorted = distort(seen.picture, "ppdet-2.6", random)
        size, interp = draw_resize(SIZES, random)
        resized = resize_boxes(seen.boxes, distorted.shape[:2], size)
        result = np.full((3, *size), np.nan, np.float32)
        normalise_into(result, resize(distorted, size, interp), Preprocessing())
        assert digest(result) == row["image"], row["seed"]
        assert resized.tolist() == row["boxes"]
        drawn.add((interp, str(distorted.dtype)))
    assert {interp for interp, _ in drawn} == {0, 1, 2, 3, 4}
    assert {interp for interp, kind in drawn if kind == "float64"} > {0, 1, 4}


def test_sizes_and_interpolations_are_drawn_evenly():
    random = np.random.RandomState(0)
    drawn = [draw_resize(SIZES, random) for _ in range(5000)]
    pairs, counts = np.unique([(s[0], i) for s, i in drawn], axis=0, return_counts=True)
    assert len(pairs) == 25
    assert abs(counts - 200).max() < 4 * 13.9  # binomial: four standard deviations


def test_sides_are_height_and_width():
    image = np.zeros((20, 10, 3), np.float32)
    assert resize(image, (32, 64), 1).shape == (32, 64, 3)
    own = np.float32([[1, 2, 5, 10], [-1, 0, 11, 20]])
    expected = [[6.4, 3.2, 32, 16], [0, 0, 64, 32]]  # x by 6.4, y by 1.6; the second cut off
    assert np.allclose(resize_boxes(own, (20, 10), (32, 64)), expected, atol=1e-5)


@given(st.integers(0, 10_000), st.integers(32, 200), st.integers(32, 200))
def test_boxes_stay_inside_and_none_is_lost(seed, height, width):
    own, _ = boxes(seed, 100, 150)
    resized = resize_boxes(own, (100, 150), (height, width))
    assert resized.shape == own.shape
    assert (resized >= 0).all()
    assert (resized <= [width, height, width, height]).all()


def test_a_picture_of_several_blocks_is_normalised_whole():
    image = np.full((300, 300, 3), [255, 0, 127.5], np.float32)
    target = np.full((3, 300, 300), np.nan, np.float32)
    normalise_into(target, image, Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 1.0)))
    assert [np.unique(plane).tolist() for plane in target] == [[1.0], [-2.0], [0.0]]
