"""The effects of rounding on one image, and that perturbed runs show enough of them."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from picodet.alignment.checks.layers import drop_missing, in_lockstep, noise_runs
from picodet.alignment.rounding import NUM_PERTURBATIONS, PerturbedRounding, perturb_rounding
from picodet.alignment.tolerance import noise_between

FACTOR = PerturbedRounding(0).factor


def bits(tensor):
    return tensor.view(torch.int32)


def test_one_number_in_four_becomes_a_neighbor():
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(1))
    offsets = bits(perturb_rounding(x, FACTOR)) - bits(x)
    assert set(offsets.tolist()) == {-1, 0, 1}
    assert 0.24 < offsets.abs().float().mean() < 0.26
    assert abs(offsets.float().mean()) < 0.01


def test_equal_numbers_stay_equal():
    x = torch.randn(100).repeat(5, 1)
    assert len(perturb_rounding(x, FACTOR).unique(dim=0)) == 1


def test_every_seed_is_another_draw():
    x = torch.randn(10_000)
    moved = [
        bits(perturb_rounding(x, PerturbedRounding(seed).factor)) - bits(x) for seed in range(20)
    ]
    offsets = torch.stack(moved).float()
    together = offsets @ offsets.T / offsets.shape[1]  # a quarter on the diagonal
    assert (together - torch.eye(len(moved)) / 4).abs().max() < 0.05


@pytest.mark.parametrize("seed", range(NUM_PERTURBATIONS))
def test_zero_and_non_finite_values_stay(seed):
    x = torch.tensor([0.0, -0.0, float("inf"), float("-inf")])
    factor = PerturbedRounding(seed).factor
    assert torch.equal(bits(perturb_rounding(x, factor)), bits(x))
    assert perturb_rounding(torch.tensor([float("nan")]), factor).isnan().all()


def test_other_dtypes_stay():
    doubles = torch.randn(1000, dtype=torch.float64)
    assert perturb_rounding(doubles, FACTOR) is doubles
    assert perturb_rounding(3, FACTOR) == 3


def test_only_terms_of_sums_are_perturbed():
    x, weight = torch.randn(1, 8, 9, 9), torch.randn(4, 8, 3, 3)
    plain = F.conv2d(x, weight)
    with PerturbedRounding(0):
        moved, passed = F.conv2d(x, weight), F.hardswish(x)
    factor = PerturbedRounding(0).factor
    moved_by_hand = F.conv2d(perturb_rounding(x, factor), perturb_rounding(weight, factor))
    assert torch.equal(moved, moved_by_hand)
    assert not torch.equal(moved, plain)
    torch.testing.assert_close(moved, plain)
    assert torch.equal(passed, F.hardswish(x))


def narrow(seed, images):
    """A network that ends in a single channel, which a bias brings near zero, as batch norms do.

    On one color all its values err by one cause, and by more than their own last bit.
    """
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 1), nn.Hardswish(), nn.Conv2d(16, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 1)
    )
    with torch.inference_mode():
        network[-1].bias.data -= 0.99 * network(images)[0, :, 0, 0]
    return network


def with_channels_in_another_order(network):
    """The same function; its sums have their terms in another order."""
    other = copy.deepcopy(network)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    first, second = other[0], other[2]
    first.weight.data, first.bias.data = first.weight.data[order], first.bias.data[order]
    second.weight.data = second.weight.data[:, order]
    return other


@pytest.mark.slow
def test_one_color_raises_no_alarm(threads):
    """Both networks are right; compared with one or two perturbed runs, they seemed wrong."""
    ratios = []
    recorded = SimpleNamespace(recording=SimpleNamespace(index=SimpleNamespace(samples=1)))
    for seed in range(40):
        color = torch.rand(3, generator=torch.Generator().manual_seed(seed))
        images = color[None, :, None, None].expand(1, 3, 8, 8).contiguous()
        network = narrow(seed, images)
        _, alone = noise_runs(network, recorded, images)
        *_, last = in_lockstep(alone)
        floor = noise_between(*(layer_call.outputs[0] for layer_call in drop_missing(last)))
        with torch.inference_mode():
            error = noise_between(network(images), with_channels_in_another_order(network)(images))
        ratios.append(error / max(floor, 2.0**-24 * float(last[0].outputs[0].abs().max())))
    assert max(ratios) < 5
