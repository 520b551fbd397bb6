"""Synchronized batch norm: statistics over the batches of all ranks.

norm_type is bn in every PicoDet config of ppdet: each rank has its own statistics. This is the
optional sync_bn of a recipe, on any device: torch's own needs a GPU, and its running variance is
unbiased.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn

from picodet.models.layers import BatchNorm2d


class _Sum(torch.autograd.Function):
    """Sum over ranks; every rank's loss depends on it, so gradients are summed as well."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        x = x.clone()
        distributed.all_reduce(x)
        return x

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        distributed.all_reduce(gradient)
        return gradient


def sum_over_ranks(x: Tensor) -> Tensor:
    """[..] -> [..], summed over all ranks, differentiable."""
    total: Tensor = _Sum.apply(x)
    return total


class SyncBatchNorm2d(BatchNorm2d):
    """[B, C, H, W] -> same shape. B may differ between ranks, and be 0."""

    def forward(self, x: Tensor) -> Tensor:
        if self.frozen or not self.training:
            return super().forward(x)
        exact = x.to(self.weight.dtype)  # x is in half precision under autocast
        count = exact.new_tensor([exact.numel() // self.num_features])
        sums = sum_over_ranks(torch.cat([exact.sum((0, 2, 3)), count]))
        mean = sums[:-1] / sums[-1]
        centered = exact - mean[:, None, None]
        variance = sum_over_ranks(centered.square().sum((0, 2, 3))) / sums[-1]
        scale = self.weight * (variance + self.eps).rsqrt()
        y = centered * scale[:, None, None] + self.bias[:, None, None]
        self.update_running_stats(mean.detach(), variance.detach())
        return y.to(x.dtype)


def convert_sync_batchnorm(model: nn.Module) -> None:
    """Replace every BatchNorm2d of a model by a SyncBatchNorm2d with the same tensors, in place."""
    for name, layer in list(model.named_modules()):
        if type(layer) is BatchNorm2d:
            around, _, own = name.rpartition(".")
            setattr(model.get_submodule(around), own, _to_sync_batchnorm(layer))


def _to_sync_batchnorm(layer: BatchNorm2d) -> SyncBatchNorm2d:
    norm = SyncBatchNorm2d(layer.num_features)
    norm.weight, norm.bias = layer.weight, layer.bias
    norm.running_mean, norm.running_var = layer.running_mean, layer.running_var
    norm.num_batches_tracked = layer.num_batches_tracked
    norm.frozen = layer.frozen
    norm.train(layer.training)
    return norm
