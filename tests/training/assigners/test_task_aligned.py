import pytest
import torch
from assignments import assigner_inputs, difference_to_recorded, padded, single_image_targets

from picodet.ops.anchor_points import make_anchor_points
from picodet.training.assigners.assignment import NONE
from picodet.training.assigners.task_aligned import task_aligned
from picodet.training.recipes.schema import TaskAligned


def assigned(inputs):
    return task_aligned(*inputs[:3], inputs.targets, TaskAligned())


# IoUs are sums of float32 coordinates up to 200, which are 8e-6 apart
@pytest.mark.parametrize(("dtype", "noise"), [(torch.float64, 1e-14), (torch.float32, 1e-5)])
def test_cells_are_ppdets(golden, dtype, noise):
    """Measured in float64: 2.2e-16."""
    assert difference_to_recorded(assigned(assigner_inputs(dtype)), golden, "task_aligned") < noise


def test_padding_is_no_box():
    inputs = assigner_inputs()
    wide = assigned(inputs._replace(targets=padded(inputs.targets, 3)))
    assert torch.equal(wide.box, assigned(inputs).box)


# four anchor points of stride 8, whose centers are (4, 4), (12, 4), (4, 12) and (12, 12)
POINTS, STRIDES = (
    torch.tensor(array) for array in make_anchor_points(((2, 2), (0, 0), (0, 0), (0, 0)))
)
POINTS = POINTS * STRIDES
WHOLE = (0.0, 0.0, 16.0, 16.0)
HALF = (0.0, 0.0, 16.0, 8.0)


def assign(predicted, targets, scores, **config):
    scores = torch.tensor([scores], dtype=torch.float64)
    predicted = torch.tensor([predicted], dtype=torch.float64)
    return task_aligned(scores, predicted, POINTS, targets, TaskAligned(**config))


def test_quality_is_the_alignment_on_the_scale_of_the_best_iou():
    """Score times IoU^6: 0.4, 0.8, 0.2 and 0.64 / 2^6; the best is worth the best IoU, 1."""
    found = assign(
        [WHOLE, WHOLE, WHOLE, HALF], single_image_targets(WHOLE), [[0.4, 0.8, 0.2, 0.64]]
    )
    assert found.box.tolist() == [[0, 0, 0, 0]]
    expected = [0.5, 1, 0.25, 0.01 / 0.8]
    assert found.quality[0].tolist() == pytest.approx(expected, rel=1e-8)


def test_the_best_cells_in_the_box_are_taken():
    found = assign([WHOLE] * 4, single_image_targets(HALF), [[0.1, 0.2, 0.9, 0.9]], candidates=1)
    assert found.box.tolist() == [[NONE, 0, NONE, NONE]]


def test_the_score_is_that_of_the_boxes_class():
    scores = [[0.9, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.9]]
    found = assign([WHOLE] * 4, single_image_targets(WHOLE, classes=[1]), scores, candidates=1)
    assert found.box.tolist() == [[NONE, NONE, NONE, 0]]


def test_a_cell_that_two_want_takes_the_better_iou():
    boxes = single_image_targets((0.0, 0.0, 16.0, 15.0), WHOLE, WHOLE, classes=[0, 1, 1])
    scores = [[0.9] * 4, [0.1] * 4]
    assert assign([WHOLE] * 4, boxes, scores).box.tolist() == [[1, 1, 1, 1]]
