import numpy as np

from picodet.config import feature_map_sizes
from picodet.ops.anchor_points import make_anchor_points


def test_a_level_is_rounded_up():
    assert feature_map_sizes((416, 320)) == ((52, 40), (26, 20), (13, 10), (7, 5))


def test_centers_go_row_by_row_then_level_by_level():
    centers, strides = make_anchor_points(((2, 3), (1, 2), (1, 1), (1, 1)))
    rows = [[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [0.5, 1.5], [1.5, 1.5], [2.5, 1.5]]
    assert centers[:6].tolist() == rows
    assert centers[6:].tolist() == [[0.5, 0.5], [1.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
    assert strides.ravel().tolist() == [8] * 6 + [16] * 2 + [32, 64]
    assert centers.dtype == strides.dtype == np.float32
