import pytest
import torch
from head_outputs import INTEGRAL, NOTHING, TARGETS, head_v2_output

from picodet.training.assigners.assignment import NONE
from picodet.training.criterion import aligned_losses, assign_aligned
from picodet.training.positives import anchor_points_of, flatten_levels
from picodet.training.recipes.schema import LossWeights, TaskAligned

WEIGHTS = LossWeights(vfl=1.0, giou=2.5, dfl=0.5)
NUMBERS = TaskAligned(static_candidates=1)  # of each level: the last has one anchor point


def losses(output, static=False, targets=TARGETS, weights=WEIGHTS, normalizer=lambda own: own):
    return aligned_losses(output, targets, NUMBERS, weights, INTEGRAL, normalizer, static)


def assigned(output, static):
    scores, sides = flatten_levels(output.scores()), flatten_levels(output.reg)
    return assign_aligned(
        scores, sides, anchor_points_of(output), TARGETS, NUMBERS, INTEGRAL, static
    )


@pytest.mark.parametrize("static", [True, False])
def test_all_terms_are_divided_by_the_sum_of_assigned_scores(static):
    output = head_v2_output()
    quality = assigned(output, static).quality.sum().item()
    plain = losses(output, static)
    ones = losses(output, static, normalizer=torch.ones_like)
    ratios = [one.item() / own.item() for one, own in zip(ones, plain, strict=True)]
    assert ratios == pytest.approx([quality] * 3, rel=1e-12)


def test_every_term_has_its_weight():
    output = head_v2_output()
    ones, weighted = losses(output, weights=LossWeights(1.0, 1.0, 1.0)), losses(output)
    ratios = [w.item() / one.item() for w, one in zip(weighted, ones, strict=True)]
    assert ratios == pytest.approx([1, 2.5, 0.5])


def test_two_ways_to_assign():
    output = head_v2_output()
    static, aligned = assigned(output, static=True), assigned(output, static=False)
    assert (static.box != NONE).sum() < (aligned.box != NONE).sum()
    assert losses(output, static=True).total != losses(output).total


def test_the_sum_of_the_classes_is_over_all_cells():
    """By hand, over every anchor point and class, with the target of the one that takes a box."""
    output = head_v2_output()
    found = assigned(output, static=False)
    scores = flatten_levels(output.scores()).detach()
    target = torch.zeros_like(scores)
    image, anchor = (found.box != NONE).nonzero(as_tuple=True)
    classes = TARGETS.classes[image, found.box[image, anchor]]
    target[image, classes, anchor] = found.quality[image, anchor]
    entropy = -(target * scores.log() + (1 - target) * (1 - scores).log())
    expected = (entropy * torch.where(target > 0, target, 0.75 * scores**2)).sum() / target.sum()
    assert losses(output).vfl.item() == pytest.approx(expected.item(), rel=1e-12)


def test_gradients_reach_the_alignment():
    output = head_v2_output()
    losses(output).total.backward()
    assert all(maps.grad.any() for maps in (*output.logits, *output.alignment))


def test_a_single_process_is_not_saved_from_nothing():
    """As in ppdet: 0 is divided by 0 where there are no positives."""
    found = losses(head_v2_output(), targets=NOTHING)
    assert found.giou.isnan()
    assert found.vfl.isinf()
