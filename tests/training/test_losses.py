"""Worked by hand; ppdet's own numbers are in test_criterion.py."""

from math import exp, log

import pytest
import torch

from picodet.training.losses import (
    Losses,
    distribution_focal_loss,
    giou_loss,
    varifocal_of_background,
    varifocal_of_background_scores,
    varifocal_of_object_scores,
    varifocal_of_objects,
)


def tensor(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def test_background_costs_its_squared_score():
    """0.75 p^2 -log(1 - p), at p = 1/2 and 3/4."""
    expected = [0.75 * 0.25 * log(2), 0.75 * 0.5625 * log(4)]
    assert varifocal_of_background(tensor(0, log(3))).tolist() == pytest.approx(expected, rel=1e-12)
    scores = varifocal_of_background_scores(tensor(0.5, 0.75))
    assert scores.tolist() == pytest.approx(expected, rel=1e-12)


def test_the_gradient_flows_through_the_weight():
    """0.75 (2 p^2 (1 - p) log 2 + p^3) at p = 1/2; were the weight detached it would be 0.094."""
    logit = tensor(0).requires_grad_()
    varifocal_of_background(logit).sum().backward()
    assert logit.grad.item() == pytest.approx(0.75 * (0.25 * log(2) + 0.125), rel=1e-12)
    score = tensor(0.5).requires_grad_()
    varifocal_of_background_scores(score).sum().backward()
    assert score.grad.item() == pytest.approx(0.75 * (log(2) + 0.5), rel=1e-12)


def test_objects_are_weighted_by_their_quality():
    """q times the cross entropy to q; one that its box misses is background."""
    quality = tensor(0.25, 0)
    entropy = -(0.25 * log(0.75) + 0.75 * log(0.25))
    expected = [0.25 * entropy, 0.75 * 0.5625 * log(4)]
    found = varifocal_of_objects(tensor(log(3), log(3)), quality)
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    scores = varifocal_of_object_scores(tensor(0.75, 0.75), quality)
    assert scores.tolist() == pytest.approx(expected, rel=1e-12)


def test_certain_scores_cost_what_they_cost_in_paddle():
    """Its logarithms end at -100, and their gradients at 1e12."""
    score = torch.tensor([1.0, 0.0], requires_grad=True)
    loss = varifocal_of_object_scores(score, torch.tensor([0.5, 0.5]))
    assert loss.tolist() == [0.5 * 50, 0.5 * 50]
    loss.sum().backward()
    assert score.grad.tolist() == pytest.approx([0.25e12, -0.25e12], rel=1e-6)


def test_a_score_that_is_no_number_is_passed_on():
    nan = tensor(float("nan"))
    assert varifocal_of_background_scores(nan).isnan().all()
    assert varifocal_of_object_scores(nan, tensor(0.5)).isnan().all()


def test_giou():
    """IoU 1/7, of the box of 9 around them 2 are empty; the same box; boxes apart."""
    boxes = torch.tensor([[0.0, 0, 2, 2]]).double()
    others = torch.tensor([[1.0, 1, 3, 3], [0, 0, 2, 2], [2, 0, 4, 2]]).double()
    expected = [1 - (1 / 7 - 2 / 9), 0, 1]
    assert giou_loss(boxes, others).tolist() == pytest.approx(expected, abs=1e-10)


def test_giou_of_nothing_is_finite():
    point = torch.zeros(1, 4, requires_grad=True)
    loss = giou_loss(point, torch.zeros(1, 4))
    loss.sum().backward()
    assert loss.item() == 1
    assert point.grad.isfinite().all()


def test_distribution_focal_loss_wants_both_neighbours():
    """Distance 1.25 of bins 0, 1, 2: three quarters of bin 1, one of bin 2."""
    bins = tensor(0.5, 0.3, 0.2).log()
    found = distribution_focal_loss(bins[None].expand(3, 3), tensor(1.25, -4, 30))
    expected = [
        -(0.75 * log(0.3) + 0.25 * log(0.2)),
        -log(0.5),  # nothing is left of the first bin
        -(0.1 * log(0.3) + 0.9 * log(0.2)),  # and nothing nearer than 0.1 to the last
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


def test_the_total_is_the_plain_sum():
    assert Losses(tensor(1), tensor(0.5), tensor(exp(0))).total.item() == 2.5
