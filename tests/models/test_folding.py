import torch
from torch import nn
from tracing import SMALL, filled, seeded_checkpoint

from picodet.models.folding import folded


def test_the_function_is_the_same_and_no_batch_norm_is_left():
    model = filled(SMALL, seeded_checkpoint(SMALL)).double()
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64, generator=torch.Generator())
    small = folded(model)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in small.modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    with torch.inference_mode():
        for ours, theirs in zip(small(images), model(images), strict=True):
            for a, b in zip(ours, theirs, strict=True):
                # float64: rounding of a hundred layers, measured 2e-13 of the greatest value
                assert (a - b).abs().max() < 1e-11 * b.abs().max()
