from math import log

import pytest
import torch
from head_outputs import INTEGRAL, TARGETS, head_output

from picodet.ops.decode import decode
from picodet.training.assigners.assignment import NONE, Assignment
from picodet.training.positives import (
    anchor_points_of,
    box_losses,
    flatten_levels,
    positives,
    predicted_boxes,
)

OUTPUT = head_output()
ANCHORS = anchor_points_of(OUTPUT)
COUNT = 64 + 16 + 4 + 1


def test_cells_are_those_of_all_levels():
    assert ANCHORS.centers.shape == (COUNT, 2)
    assert ANCHORS.centers.dtype == torch.float64
    assert ANCHORS.points[[0, 1, 8, 64, 84]].tolist() == [
        [4, 4],
        [12, 4],
        [4, 12],
        [8, 8],
        [32, 32],
    ]
    assert ANCHORS.levels == ((8, 8), (4, 4), (2, 2), (1, 1))
    assert flatten_levels(OUTPUT.logits).shape == (2, 3, COUNT)


def test_boxes_are_those_that_are_detected():
    found = predicted_boxes(flatten_levels(OUTPUT.reg), ANCHORS, INTEGRAL)
    assert not found.requires_grad
    assert torch.equal(found, decode(OUTPUT, INTEGRAL)[0])


def assigned(*rows):
    box = torch.full((2, COUNT), NONE)
    for image, anchor, index in rows:
        box[image, anchor] = index
    return Assignment(box, (box + 1).double() / 4)


def test_positives_are_in_strides_of_their_level():
    found = positives(assigned((0, 84, 1), (1, 64, 0)), TARGETS, ANCHORS)
    assert (found.images.tolist(), found.anchors.tolist()) == ([0, 1], [84, 64])
    assert found.classes.tolist() == [2, 0]
    assert found.quality.tolist() == [0.5, 0.25]
    expected = torch.stack([TARGETS.boxes[0, 1] / 64, TARGETS.boxes[1, 0] / 16])
    assert torch.equal(found.boxes, expected.double())


def test_losses_of_boxes_are_weighted_sums():
    """The only anchor point of the last level, (0.5, 0.5) in strides, in a box of one stride.

    Bins that are all alike say 3.5 for each side: 49 of which 1 is shared, and -log 1/8 a side.
    """
    targets = TARGETS._replace(boxes=torch.tensor([[[0.0, 0, 64, 64]] * 2] * 2))
    found = positives(assigned((0, 84, 0), (1, 84, 0)), targets, ANCHORS)
    sides = torch.zeros(2, 32, COUNT, dtype=torch.float64)
    boxes, distances = box_losses(sides, found, torch.tensor([0.5, 0.25]), ANCHORS, INTEGRAL)
    assert boxes.item() == pytest.approx(0.75 * (1 - 1 / 49), rel=1e-9)
    assert distances.item() == pytest.approx(0.75 * log(8), rel=1e-12)


def test_no_positives_are_no_loss_and_no_gradient():
    sides = torch.zeros(2, 32, COUNT, dtype=torch.float64, requires_grad=True)
    found = positives(assigned(), TARGETS, ANCHORS)
    boxes, distances = box_losses(sides, found, torch.zeros(0), ANCHORS, INTEGRAL)
    (boxes + distances).backward()
    assert (boxes.item(), distances.item()) == (0, 0)
    assert not sides.grad.any()


def test_sides_that_are_no_numbers_are_seen():
    sides = torch.full((2, 32, COUNT), torch.nan, dtype=torch.float64)
    found = positives(assigned(), TARGETS, ANCHORS)
    assert box_losses(sides, found, torch.zeros(0), ANCHORS, INTEGRAL)[0].isnan()
