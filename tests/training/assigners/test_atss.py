import pytest
import torch
from assignments import (
    LEVELS,
    assigner_inputs,
    difference_to_recorded,
    padded,
    single_image_targets,
)

from picodet.ops.anchor_points import make_anchor_points
from picodet.training.assigners.assignment import NONE
from picodet.training.assigners.atss import atss
from picodet.training.recipes.schema import TaskAligned


def assigned(inputs):
    return atss(*inputs[1:4], LEVELS, inputs.targets, TaskAligned())


# IoUs are sums of float32 coordinates up to 200, which are 8e-6 apart
@pytest.mark.parametrize(("dtype", "noise"), [(torch.float64, 1e-14), (torch.float32, 1e-5)])
def test_cells_are_ppdets(golden, dtype, noise):
    assert difference_to_recorded(assigned(assigner_inputs(dtype)), golden, "atss") < noise


def test_padding_is_no_box():
    inputs = assigner_inputs()
    wide = assigned(inputs._replace(targets=padded(inputs.targets, 3)))
    assert torch.equal(wide.box, assigned(inputs).box)


def anchor_points(*levels):
    """The centers and strides in pixels."""
    grids = (levels + ((0, 0),) * 3)[:4]
    points, strides = (torch.tensor(array) for array in make_anchor_points(grids))
    return points * strides, strides


# one level of 3 x 3 anchor points of stride 8; their squares have a side of 16
GRID = ((3, 3),)
POINTS, STRIDES = anchor_points(*GRID)


def assign(*boxes, candidates=9, predicted=(0.0, 0.0, 24.0, 24.0)):
    config = TaskAligned(anchor_size=2.0, static_candidates=candidates)
    predictions = torch.tensor([[predicted] * 9])
    return atss(predictions, POINTS, STRIDES, GRID, single_image_targets(*boxes), config)


def test_cells_fit_better_than_mean_and_deviation():
    """IoUs with the squares: 1 in the middle, 1/3 beside it, 1/7 across; the bar is 0.594."""
    found = assign((4.0, 4.0, 20.0, 20.0))
    assert found.box.tolist() == [[NONE] * 4 + [0] + [NONE] * 4]
    assert found.quality[0, 4].item() == pytest.approx(256 / 576)


def test_the_deviation_is_that_of_a_sample():
    """Of 8 degrees of freedom: the bar is 0.490, and 0.478 of 9; the second best IoU is 0.480."""
    found = assign((6.375, 4.0, 22.375, 20.0))
    assert found.box.tolist() == [[NONE] * 4 + [0] + [NONE] * 4]


def test_a_center_outside_of_the_box_is_not_taken():
    """Above and left of the center of its nearest anchor point, whose square fits it best."""
    assert (assign((5.0, 5.0, 11.9, 11.9)).box[0, 4] == NONE).all()
    assert assign((5.0, 5.0, 12.1, 12.1)).box[0, 4] == 0


def test_a_cell_of_two_takes_what_its_square_fits():
    found = assign((4.0, 4.0, 20.0, 21.0), (4.0, 4.0, 20.0, 20.0), (4.0, 4.0, 20.0, 20.0))
    assert found.box[0, 4] == 1


def test_a_level_of_fewer_cells_takes_part_with_all():
    """ppdet refuses it."""
    grid = ((3, 3), (1, 1))
    predicted = torch.tensor([[(0.0, 0.0, 24.0, 24.0)] * 10])
    boxes = single_image_targets((4.0, 4.0, 20.0, 20.0))
    found = atss(predicted, *anchor_points(*grid), grid, boxes, TaskAligned(anchor_size=2.0))
    assert found.box[0, 4] == 0
