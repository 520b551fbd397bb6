import numpy as np
import pytest
import torch

from picodet.config import make_divisible
from picodet.models.layers import (
    EPSILON,
    PADDLE_MOMENTUM,
    BatchNorm2d,
    channel_shuffle,
    hard_sigmoid,
)
from picodet.models.mobilenet_v3 import HARD_SIGMOID_SLOPE


def test_hard_sigmoid_has_paddles_slope():
    """0.1666667 in float32 and not 1/6: at 2.5 the difference is 8.5e-8."""
    x = torch.tensor([-4.0, 0.0, 2.5, 4.0], dtype=torch.float64)
    assert hard_sigmoid(x).tolist() == [0, 0.5, 2.5 * float(np.float32(0.1666667)) + 0.5, 1]


def test_constants_are_the_float32_ones():
    assert float(np.float32(1e-5)) == EPSILON
    assert float(np.float32(0.2)) == HARD_SIGMOID_SLOPE
    assert float(np.float32(0.9)) == PADDLE_MOMENTUM


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


def test_the_running_variance_follows_the_biased_one():
    """Worked out: mean 2.5 and variance 1.25 of 1, 2, 3, 4; torch would use 5/3."""
    norm = BatchNorm2d(1).double()
    y = norm(torch.tensor([1.0, 2, 3, 4], dtype=torch.float64).view(2, 1, 1, 2))
    assert norm.running_mean.item() == pytest.approx(2.5 * (1 - PADDLE_MOMENTUM), abs=1e-15)
    assert norm.running_var.item() == pytest.approx(
        PADDLE_MOMENTUM + 1.25 * (1 - PADDLE_MOMENTUM), abs=1e-15
    )
    assert norm.num_batches_tracked == 1
    expected = (np.array([1, 2, 3, 4]) - 2.5) / np.sqrt(1.25 + EPSILON)
    assert np.abs(y.detach().numpy().ravel() - expected).max() < 1e-15


def test_batch_norm_is_otherwise_torchs():
    """Outputs and gradients in training mode, and outputs in eval mode with equal statistics."""
    torch.manual_seed(0)
    ours, torchs = BatchNorm2d(5), torch.nn.BatchNorm2d(5, EPSILON)
    outputs = []
    for norm in (ours, torchs):
        torch.manual_seed(1)
        x = torch.randn(3, 5, 4, 2, requires_grad=True)
        y = norm(x)
        (y * torch.randn(y.shape)).sum().backward()
        outputs.append([y, x.grad, norm.weight.grad, norm.bias.grad])
    assert all(torch.equal(a, b) for a, b in zip(*outputs, strict=True))
    assert ours.state_dict().keys() == torchs.state_dict().keys()
    torchs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 3, 3)
    assert torch.equal(ours.eval()(x), torchs.eval()(x))


def test_one_value_per_channel_is_returned_unchanged():
    """Paddle skips the norm and its statistics for one value per channel; torch raises an error."""
    norm = BatchNorm2d(3)
    x = torch.tensor([1.0, -2, 3]).view(1, 3, 1, 1)
    assert torch.equal(norm(x), x)
    assert norm.running_mean.tolist() == [0, 0, 0]
    assert norm.num_batches_tracked == 0
