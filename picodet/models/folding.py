"""Folds batch norms into convolutions: fewer layers, the same function."""

import copy
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from picodet.models.picodet import PicoDet


def fold_batch_norm(
    weight: Tensor, norm: Mapping[str, Tensor], epsilon: float
) -> tuple[Tensor, Tensor]:
    """Fold a batch norm into the convolution before it -> weight [O, I, k, k], bias [O].

    weight: of the convolution, which has no bias; norm: the batch norm's state_dict. Computed in
    float64 and rounded once.
    """
    gamma, beta, mean, variance = (
        norm[role].double() for role in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / (variance + epsilon).sqrt()
    folded = weight.double() * factor[:, None, None, None]
    return folded.to(weight.dtype), (beta - mean * factor).to(weight.dtype)


def fold_batch_norms(model: PicoDet) -> PicoDet:
    """A copy in which every batch norm is folded into the convolution before it."""
    model = copy.deepcopy(model)
    for layer in list(model.modules()):
        children = list(layer.named_children())
        for (_, conv), (name, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                with torch.no_grad():
                    weight, bias = fold_batch_norm(conv.weight, norm.state_dict(), norm.eps)
                conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
                setattr(layer, name, nn.Identity().train(norm.training))
    return model
