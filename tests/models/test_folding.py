from dataclasses import replace

import pytest
import torch
from torch import nn
from tracing import SMALL, filled_model, seeded_checkpoint

from picodet.models.folding import fold_batch_norm, fold_batch_norms
from picodet.models.picodet import PicoDet
from picodet.zoo.architectures import VARIANTS


@pytest.fixture
def layers():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(6, 4, 3, groups=2, bias=False), nn.BatchNorm2d(4, eps=1e-3).eval()
    for tensor in (norm.weight, norm.running_var):
        nn.init.uniform_(tensor, 0.5, 2)
    for tensor in (norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    return conv, norm


def test_a_folded_convolution_is_the_same_function(layers):
    conv, norm = layers
    weight, bias = fold_batch_norm(conv.weight.detach(), norm.state_dict(), norm.eps)
    x = torch.randn(2, 6, 5, 5)
    with torch.inference_mode():
        expected = norm(conv(x))
        torch.testing.assert_close(nn.functional.conv2d(x, weight, bias, groups=2), expected)


def test_folding_rounds_once(layers):
    """Equal to the float32 nearest to the result in float64."""
    conv, norm = layers
    weight, bias = fold_batch_norm(conv.weight.detach(), norm.state_dict(), norm.eps)
    exact, at = fold_batch_norm(conv.weight.detach().double(), norm.state_dict(), norm.eps)
    assert exact.dtype == torch.float64
    assert torch.equal(weight, exact.float())
    assert torch.equal(bias, at.float())


def test_by_hand():
    norm = {
        "weight": torch.tensor([3.0]),
        "bias": torch.tensor([10.0]),
        "running_mean": torch.tensor([4.0]),
        "running_var": torch.tensor([0.24]),
    }
    weight, bias = fold_batch_norm(torch.full((1, 1, 1, 1), 2.0), norm, 0.01)  # sd 0.5: times 6
    assert weight.item() == pytest.approx(12)
    assert bias.item() == pytest.approx(10 - 24)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_the_function_is_the_same_and_no_batch_norm_is_left(variant):
    config = replace(variant, classes=SMALL.classes)
    model = filled_model(config, seeded_checkpoint(config)).double()
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64, generator=torch.Generator())
    small = fold_batch_norms(model)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in small.modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    assert not any(layer.training for layer in small.modules())
    with torch.inference_mode():
        for ours, theirs in zip(small(images), model(images), strict=True):
            for a, b in zip(ours, theirs, strict=True):
                # float64: rounding of a hundred layers, measured 2e-13 of the greatest value
                assert (a - b).abs().max() < 1e-11 * b.abs().max()


def test_identities_keep_the_mode_of_the_batch_norms():
    model = PicoDet(SMALL)
    assert not any(module.training for module in fold_batch_norms(model.eval()).modules())
    assert all(module.training for module in fold_batch_norms(model.train()).modules())
