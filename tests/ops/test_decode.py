import numpy as np
import pytest
import torch

from picodet.models.head import HeadOutput, HeadV2Output, Integral
from picodet.ops.decode import decode

STRIDES = (8, 16, 32, 64)


def test_decode_by_hand():
    """One anchor point a level; each side in one bin: left 0, top 1, right 2, bottom 3 strides."""
    reg = torch.full((1, 4 * 8, 1, 1), -100.0)
    for side in range(4):
        reg[0, 8 * side + side] = 100.0
    logits = torch.tensor([0.0, np.log(3)]).view(1, 2, 1, 1)
    boxes, scores = decode(HeadOutput((logits,) * 4, (reg,) * 4), Integral(reg_max=7))
    assert scores[0].tolist() == [[0.5] * 4, [pytest.approx(0.75)] * 4]
    expected = [[0.5 * s, -0.5 * s, 2.5 * s, 3.5 * s] for s in STRIDES]  # around the center s / 2
    assert boxes[0].tolist() == expected


def test_v2_scores_are_in_the_order_of_the_anchor_points():
    """Two classes; 2, 1, 1 and 1 anchor points a level, each with its alignment."""
    values = [[0.0, 2.0], [4.0], [6.0], [8.0]]
    alignment = tuple(torch.tensor(level).view(1, 1, 1, -1) for level in values)
    logits = tuple(torch.cat([torch.full_like(x, 40.0), x], dim=1) for x in alignment)
    reg = tuple(torch.zeros(1, 4 * 8, 1, x.shape[3]) for x in alignment)
    boxes, scores = decode(HeadV2Output(logits, alignment, reg), Integral(reg_max=7))
    probabilities = torch.tensor([0.0, 2.0, 4.0, 6.0, 8.0]).sigmoid()
    torch.testing.assert_close(scores[0], torch.stack([probabilities.sqrt(), probabilities]))
    assert boxes.shape == (1, 5, 4)


def test_decoding_uses_the_models_bins():
    """A checkpoint's bins, which ppdet's EMA moves slightly off 0 .. reg_max, stay as they are."""
    integral = Integral(reg_max=1)
    integral.project.copy_(torch.tensor([0.0, 1.5]))
    assert integral(torch.zeros(1, 8, 1)).ravel().tolist() == [0.75] * 4
