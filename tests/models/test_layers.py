import numpy as np
import torch

from picodet.models.layers import EPSILON, channel_shuffle, hard_sigmoid


def test_hard_sigmoid_has_paddles_slope():
    """0.1666667 in float32 and not 1/6: at 2.5 the difference is 8.5e-8."""
    x = torch.tensor([-4.0, 0.0, 2.5, 4.0], dtype=torch.float64)
    assert hard_sigmoid(x).tolist() == [0, 0.5, 2.5 * float(np.float32(0.1666667)) + 0.5, 1]


def test_epsilon_is_the_float32_one():
    assert float(np.float32(1e-5)) == EPSILON


def test_channel_shuffle_interleaves_the_halves():
    x = torch.arange(6.0).view(1, 6, 1, 1)
    assert channel_shuffle(x).ravel().tolist() == [0, 3, 1, 4, 2, 5]
