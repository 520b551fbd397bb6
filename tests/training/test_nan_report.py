from typing import NamedTuple

import pytest
import torch
from torch import nn

from picodet.training import nan_report
from picodet.training.data.batch import Batch, Targets


class Terms(NamedTuple):
    vfl: torch.Tensor
    giou: torch.Tensor

    @property
    def total(self):
        return self.vfl + self.giou


class Root(nn.Module):
    """Finite forward at zero, where its gradient is not."""

    def forward(self, x):
        return x.sqrt()


def network():
    model = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU())
    nn.init.constant_(model[0].weight, 1.0)
    return model


def batch(value=1.0, box=5.0):
    targets = Targets(
        torch.full((2, 1, 4), box), torch.zeros(2, 1, dtype=torch.int64), torch.ones(2, 1).bool()
    )
    return Batch(torch.full((2, 3, 2, 2), value), targets, (37, 74))


def sums(output, targets):
    return Terms(output.sum(), targets.boxes.sum())


def spoiled(model, x, function=sums):
    return str(nan_report.explain(model, x, function, 12))


def test_it_names_iteration_and_images():
    text = spoiled(network(), batch(float("nan")))
    assert text.startswith("iteration 12: ")
    assert "Images of the batch: 37, 74. " in text
    assert text.endswith("Nothing was updated")


def test_it_advises_half_the_rate():
    error = nan_report.explain(network(), batch(float("nan")), sums, 12)
    for at, options, then in (
        (None, ("--lr", "0.2"), "begins anew, as no checkpoint was saved yet"),
        (10, ("--resume", "--lr", "0.2"), "continues from the checkpoint of iteration 10"),
    ):
        advised = nan_report.with_advice(error, 0.4, at)
        assert advised.options == options
        assert str(advised).startswith(f"{error}. Check these images and boxes, or lower ")
        assert str(advised).endswith(f"the same command with {' '.join(options)} {then}")


def test_the_images():
    assert "infinity: the images, 24 of 24 values of shape [2, 3, 2, 2]" in spoiled(
        network(), batch(float("nan"))
    )


def test_the_boxes():
    assert "infinity: the boxes, 8 of 8 values" in spoiled(network(), batch(box=float("inf")))


def test_a_weight():
    model = network()
    with torch.no_grad():
        model[0].weight[0, 1] = float("inf")
    assert "infinity: the weight 0.weight, 1 of 3 values of shape [1, 3, 1, 1]" in spoiled(
        model, batch()
    )


def test_the_first_layer_of_several():
    model = network()
    text = spoiled(model, batch(3e38))  # three of them are too many for a float32
    assert "infinity: the output of 0, 8 of 8 values of shape [2, 1, 2, 2]" in text


def test_a_term_of_the_loss():
    def wrong(output, targets):
        return Terms(output.sum(), targets.boxes.sum() / 0)

    assert "infinity: the loss term giou, inf" in spoiled(network(), batch(), wrong)


def test_a_gradient():
    model = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), Root())
    nn.init.zeros_(model[0].weight)
    text = spoiled(model, batch())
    assert "infinity: the gradient of 0.weight, 3 of 3 values" in text


def test_what_does_not_come_back_is_elsewhere():
    error = nan_report.explain(network(), batch(), sums, 1)
    assert error.in_other_process


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_one_bad_gradient_spoils_the_norm(bad):
    good, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    good.grad, other.grad = torch.ones(2), torch.tensor([0.0, bad, 0.0])
    norm = nan_report.gradient_norm({"a": good, "b": other, "unused": nn.Parameter(torch.ones(1))})
    assert not torch.isfinite(norm)
