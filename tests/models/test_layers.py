import numpy as np
import pytest
import torch

from picodet.config import make_divisible
from picodet.models.layers import EPSILON, channel_shuffle, hard_sigmoid
from picodet.models.mobilenet_v3 import HARD_SIGMOID_SLOPE


def test_hard_sigmoid_has_paddles_slope():
    """0.1666667 in float32 and not 1/6: at 2.5 the difference is 8.5e-8."""
    x = torch.tensor([-4.0, 0.0, 2.5, 4.0], dtype=torch.float64)
    assert hard_sigmoid(x).tolist() == [0, 0.5, 2.5 * float(np.float32(0.1666667)) + 0.5, 1]


def test_constants_are_the_float32_ones():
    assert float(np.float32(1e-5)) == EPSILON
    assert float(np.float32(0.2)) == HARD_SIGMOID_SLOPE


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (16.0, 16),
        (17.7, 16),
        (18.0, 24),  # 16 is nearer, and less than nine tenths of it
        (44.0, 48),  # halves go up
        (89.6, 88),
        (3.0, 8),  # one multiple at least
    ],
)
def test_multiples_of_eight(channels, expected):
    assert make_divisible(channels) == expected


def test_channel_shuffle_interleaves_the_halves():
    x = torch.arange(6.0).view(1, 6, 1, 1)
    assert channel_shuffle(x).ravel().tolist() == [0, 3, 1, 4, 2, 5]
