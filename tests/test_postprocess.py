import numpy as np
import pytest
import torch

from picodet.models.head import HeadOutput, Integral
from picodet.postprocess import decode, select

STRIDES = (8, 16, 32, 64)


def test_decode_by_hand():
    """One cell a level; sides all in one bin: left 0, top 1, right 2, bottom 3 strides."""
    sides = torch.full((1, 4 * 8, 1, 1), -100.0)
    for side in range(4):
        sides[0, 8 * side + side] = 100.0
    logits = torch.tensor([0.0, np.log(3)]).view(1, 2, 1, 1)
    boxes, scores = decode(HeadOutput((logits,) * 4, (sides,) * 4), Integral(reg_max=7))
    assert scores[0].tolist() == [[0.5] * 4, [pytest.approx(0.75)] * 4]
    expected = [[0.5 * s, -0.5 * s, 2.5 * s, 3.5 * s] for s in STRIDES]  # about the centre s / 2
    assert boxes[0].tolist() == expected


def test_the_bins_values_are_the_models():
    """An averaged checkpoint holds bins a little off 0 .. reg_max, and they count as they are."""
    integral = Integral(reg_max=1)
    integral.project.copy_(torch.tensor([0.0, 1.5]))
    assert integral(torch.zeros(1, 8, 1)).ravel().tolist() == [0.75] * 4


def test_boxes_come_in_pixels_of_the_picture_and_unclipped():
    boxes = torch.tensor([[-8.0, 16.0, 40.0, 64.0]])
    found = select(boxes, torch.tensor([[0.2], [0.9]]), np.array([2, 4], np.float32), 0.1)
    assert found.boxes.tolist() == [[-2, 8, 10, 32]] * 2
    assert found.classes.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx([0.2, 0.9])
    assert len(found) == 2


def test_nothing_found_has_shapes_too():
    found = select(torch.zeros(3, 4), torch.zeros(2, 3), np.ones(2, np.float32), 0.1)
    assert (found.boxes.shape, found.scores.shape, found.classes.shape) == ((0, 4), (0,), (0,))
