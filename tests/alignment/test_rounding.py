"""What rounding can make of one image, and that enough of it is seen."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from picodet.alignment.checks.layers import noise_runs, present, together
from picodet.alignment.rounding import DRAWS, OtherRounding, rounded_otherwise
from picodet.alignment.tolerance import noise

FACTOR = OtherRounding(0).factor


def bits(tensor):
    return tensor.view(torch.int32)


def test_one_number_in_four_becomes_a_neighbour():
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(1))
    ways = bits(rounded_otherwise(x, FACTOR)) - bits(x)
    assert set(ways.tolist()) == {-1, 0, 1}
    assert 0.24 < ways.abs().float().mean() < 0.26
    assert abs(ways.float().mean()) < 0.01


def test_equal_numbers_stay_equal():
    x = torch.randn(100).repeat(5, 1)
    assert len(rounded_otherwise(x, FACTOR).unique(dim=0)) == 1


def test_every_seed_is_another_draw():
    x = torch.randn(10_000)
    moved = [bits(rounded_otherwise(x, OtherRounding(seed).factor)) - bits(x) for seed in range(20)]
    ways = torch.stack(moved).float()
    together = ways @ ways.T / ways.shape[1]  # a quarter on the diagonal
    assert (together - torch.eye(len(moved)) / 4).abs().max() < 0.05


@pytest.mark.parametrize("seed", range(DRAWS))
def test_zero_and_what_is_not_finite_stay(seed):
    x = torch.tensor([0.0, -0.0, float("inf"), float("-inf")])
    factor = OtherRounding(seed).factor
    assert torch.equal(bits(rounded_otherwise(x, factor)), bits(x))
    assert rounded_otherwise(torch.tensor([float("nan")]), factor).isnan().all()


def test_what_is_not_float32_stays():
    doubles = torch.randn(1000, dtype=torch.float64)
    assert rounded_otherwise(doubles, FACTOR) is doubles
    assert rounded_otherwise(3, FACTOR) == 3


def test_what_is_added_up_is_rounded_otherwise_and_nothing_else():
    x, weight = torch.randn(1, 8, 9, 9), torch.randn(4, 8, 3, 3)
    plain = F.conv2d(x, weight)
    with OtherRounding(0):
        moved, passed = F.conv2d(x, weight), F.hardswish(x)
    factor = OtherRounding(0).factor
    moved_by_hand = F.conv2d(rounded_otherwise(x, factor), rounded_otherwise(weight, factor))
    assert torch.equal(moved, moved_by_hand)
    assert not torch.equal(moved, plain)
    torch.testing.assert_close(moved, plain)
    assert torch.equal(passed, F.hardswish(x))


def narrow(seed, images):
    """A network that ends in a single channel, which a bias brings near zero, as batch norms do.

    On one colour all its values err by one cause, and by more than their own last bit.
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


def test_one_colour_raises_no_alarm(threads):
    """Two such networks are both right; held against one or two draws they seemed not to be."""
    ratios = []
    recorded = SimpleNamespace(recording=SimpleNamespace(index=SimpleNamespace(samples=1)))
    for seed in range(40):
        colour = torch.rand(3, generator=torch.Generator().manual_seed(seed))
        images = colour[None, :, None, None].expand(1, 3, 8, 8).contiguous()
        network = narrow(seed, images)
        _, alone = noise_runs(network, recorded, images)
        *_, last = together(alone)
        floor = noise(*(event.outputs[0] for event in present(last)))
        with torch.inference_mode():
            error = noise(network(images), with_channels_in_another_order(network)(images))
        ratios.append(error / max(floor, 2.0**-24 * float(last[0].outputs[0].abs().max())))
    assert max(ratios) < 5
