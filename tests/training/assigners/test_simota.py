import numpy as np
import torch
from assignments import assigner_inputs, difference_to_recorded, padded, single_image_targets

from picodet.ops.anchor_points import make_anchor_points
from picodet.training.assigners.assignment import NONE
from picodet.training.assigners.simota import OUTSIDE_COST, simota
from picodet.training.recipes.schema import SimOTA

ORDINARY = [0, 1, 2]  # images whose boxes have anchor points enough near their centers


def test_cells_are_ppdets(golden):
    """Recorded in float64. Measured: no difference at all."""
    assert difference_to_recorded(simota(*assigner_inputs(), SimOTA()), golden, "simota") < 1e-14


def test_cells_are_ppdets_in_float32(golden):
    """But for the image of tiny boxes: of anchor points far from all of them ppdet takes any.

    An IoU rounds by 2e-6 where boxes of 100 px are computed to 8e-6.
    """
    found = simota(*assigner_inputs(torch.float32), SimOTA())
    assert difference_to_recorded(found, golden, "simota", ORDINARY) < 1e-5


def test_padding_is_no_box():
    inputs = assigner_inputs()
    plain, wide = (
        simota(*inputs, SimOTA()),
        simota(*inputs[:4], padded(inputs.targets, 3), SimOTA()),
    )
    assert torch.equal(plain.box, wide.box)
    assert torch.equal(plain.quality, wide.quality)


# four anchor points of stride 8, whose centers are (4, 4), (12, 4), (4, 12) and (12, 12)
POINTS, STRIDES = (
    torch.tensor(array) for array in make_anchor_points(((2, 2), (0, 0), (0, 0), (0, 0)))
)
POINTS = POINTS * STRIDES
BOX = (0.0, 0.0, 8.0, 8.0)
HALF = (0.0, 0.0, 8.0, 4.0)  # IoU 1/2 with it
NUMBERS = SimOTA()
AWAY = (8.0, 8.0, 16.0, 16.0)


def assigned(predicted, targets, config=NUMBERS, scores=None):
    scores = torch.full((1, 1, 4), 0.5) if scores is None else scores
    return simota(scores, torch.tensor([predicted]), POINTS, STRIDES, targets, config)


def test_a_box_takes_as_many_cells_as_its_ious_add_up_to():
    """1 + 1/2 is one anchor point, and 1 + 1/2 + 1/2 two: of those that are alike the first."""
    assert assigned([BOX, HALF, AWAY, AWAY], single_image_targets(BOX)).box.tolist() == [
        [0, NONE, NONE, NONE]
    ]
    found = assigned([BOX, HALF, HALF, AWAY], single_image_targets(BOX))
    assert found.box.tolist() == [[0, 0, NONE, NONE]]
    assert found.quality.tolist() == [[1, 0.5, 0, 0]]


def test_only_the_best_ious_are_added_up():
    config = SimOTA(candidates=2)
    found = assigned([BOX, HALF, HALF, AWAY], single_image_targets(BOX), config)
    assert found.box.tolist() == [[0, NONE, NONE, NONE]]


def test_a_cell_in_the_box_is_taken_first_however_bad():
    found = assigned([AWAY, BOX, BOX, BOX], single_image_targets(BOX))
    assert found.box.tolist() == [[0, 0, 0, NONE]]
    assert found.quality.tolist() == [[0, 1, 1, 0]]


def test_cells_are_candidates_within_the_radius():
    """Center (2, 2), 1.2 strides of 8: the first row and column of anchor points, but not the last.

    An anchor point that is exactly at the radius is none: 10 - 8 * 1.25 = 0.
    """
    tiny, wanted = (1.0, 1.0, 3.0, 3.0), [(1.0, 1.0, 3.0, 3.0)] * 4
    near = assigned(wanted, single_image_targets(tiny), SimOTA(center_radius=1.2))
    assert near.box.tolist() == [[0, NONE, NONE, NONE]]
    assert (
        assigned(wanted, single_image_targets(tiny), SimOTA(center_radius=1.25)).box[0, 1] == NONE
    )
    assert assigned(
        wanted, single_image_targets(tiny), SimOTA(center_radius=1.26)
    ).box.tolist() == [[0] * 4]


def test_a_box_out_of_reach_takes_nothing():
    found = assigned([AWAY] * 4, single_image_targets((500.0, 500.0, 510.0, 510.0)))
    assert (found.box == NONE).all()


def test_the_class_counts_as_much_as_it_weighs():
    """The last anchor point has the best score of class 1; taken unless classes do not count."""
    scores = torch.tensor([[[0.9, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.9]]])
    whole, wanted = (
        (0.0, 0.0, 16.0, 16.0),
        [(0.0, 0.0, 12.0, 12.0)] * 4,
    )  # IoU 0.5625: 2 anchor points
    found = assigned(wanted, single_image_targets(whole, classes=[1]), scores=scores)
    assert found.box.tolist() == [[NONE, 0, NONE, 0]]
    ignored = assigned(
        wanted, single_image_targets(whole, classes=[1]), SimOTA(class_weight=0.0), scores
    )
    assert ignored.box.tolist() == [[0, 0, NONE, NONE]]


def test_a_cell_that_two_want_takes_the_cheaper():
    boxes = single_image_targets(BOX, (0.0, 0.0, 8.0, 7.0))
    found = assigned([(0.0, 0.0, 8.0, 7.2)] + [AWAY] * 3, boxes)
    assert found.box.tolist() == [[1, NONE, NONE, NONE]]


def test_a_far_cell_costs_so_much_that_float32_forgets_the_rest():
    assert np.float32(OUTSIDE_COST) + np.float32(3) == np.float32(OUTSIDE_COST)
