import pytest
import torch
from head_outputs import INTEGRAL, NOTHING, TARGETS, head_output

from picodet.training.assigners.assignment import NONE
from picodet.training.criterion import assign_simota, simota_losses
from picodet.training.losses import varifocal_of_background
from picodet.training.positives import anchor_points_of, flatten_levels
from picodet.training.recipes.schema import LossWeights, SimOTA

WEIGHTS = LossWeights(vfl=1.0, giou=2.0, dfl=0.25)


def losses(output, targets=TARGETS, weights=WEIGHTS, normalizer=lambda own: own):
    return simota_losses(output, targets, SimOTA(), weights, INTEGRAL, normalizer)


def weight_sum(output, targets=TARGETS):
    """Of the positives: each one's greatest score."""
    logits = flatten_levels(output.logits)
    found = assign_simota(
        logits, flatten_levels(output.reg), anchor_points_of(output), targets, SimOTA(), INTEGRAL
    )
    positive = found.box != NONE
    scores = logits.sigmoid().amax(dim=1)
    return scores[positive].sum().item(), positive.sum(dim=1).tolist()


def test_boxes_are_divided_by_the_normalizer_and_classes_are_not():
    output = head_output()
    plain, halved = losses(output), losses(output, normalizer=lambda own: 2 * own)
    total, _ = weight_sum(output)
    assert total > 1
    assert halved.vfl == plain.vfl
    assert halved.giou.item() == pytest.approx(plain.giou.item() / 2)
    assert halved.dfl.item() == pytest.approx(plain.dfl.item() / 2)
    ones = losses(output, normalizer=torch.ones_like)
    assert ones.giou.item() == pytest.approx(plain.giou.item() * total)


def test_the_normalizer_is_1_at_least():
    output = head_output()
    small = losses(output, normalizer=lambda own: 0 * own)
    assert small.giou == losses(output, normalizer=torch.ones_like).giou


def test_every_term_has_its_weight():
    output = head_output()
    ones, weighted = losses(output, weights=LossWeights(1.0, 1.0, 1.0)), losses(output)
    ratios = [w.item() / one.item() for w, one in zip(weighted, ones, strict=True)]
    assert ratios == pytest.approx([1, 2, 0.25])


def test_classes_are_divided_by_the_count_of_positives():
    """An image whose boxes take no anchor point counts one, and an image without boxes none."""
    away = TARGETS.boxes.clone()
    away[1] += 1000
    output = head_output()
    _, (first, _) = weight_sum(output)
    background = varifocal_of_background(flatten_levels(output.logits)).sum(dim=(1, 2))
    one = losses(output, TARGETS._replace(boxes=away)).vfl.item() * (first + 1)
    without = TARGETS._replace(valid=torch.tensor([[True, True], [False, False]]))
    none = losses(output, without).vfl.item() * first
    assert one == pytest.approx(none, rel=1e-12)
    nothing = losses(output, NOTHING).vfl.item()
    assert nothing == pytest.approx(background.sum().item(), rel=1e-12)


def test_weights_of_boxes_are_no_way_for_gradients():
    output = head_output()
    found = losses(output)
    (found.giou + found.dfl).backward()
    assert all(logits.grad is None for logits in output.logits)
    assert any(sides.grad.any() for sides in output.reg)


def test_nothing_to_be_found_is_learned_from():
    output = head_output()
    found = losses(output, NOTHING)
    found.total.backward()
    assert (found.giou.item(), found.dfl.item()) == (0, 0)
    assert all(logits.grad.all() for logits in output.logits)
