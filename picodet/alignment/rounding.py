"""Runs that differ by rounding only: sums in another order, numbers rounded the other way.

On an image of a single color a layer computes the same few numbers everywhere, and one run is one
sample of what rounding does to them, which may happen to be small. Several samples show how large
it can be: every seed is another one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# Functions that add up, where a last bit counts. Everything else rounds once, or not at all.
SUMMING_FUNCTIONS = (F.conv2d, F.batch_norm, F.avg_pool2d, F.adaptive_avg_pool2d)
# Where all values of a layer err by one cause, its error and each sample of the noise are normally
# distributed: one sample is less than a tenth of the error in 1 of 16 cases, all six in 1 of
# 280,000.
NUM_PERTURBATIONS = 6
INFINITY = torch.tensor(float("inf"))


class SequentialSums(TorchFunctionMode):
    """Sequential summation where Paddle's CPU kernels use it.

    They do in global means and in convolutions with one output channel, over thousands of terms;
    torch sums in blocks. In float32 the two differ by up to 100 roundings, so that only both
    together show how much of a difference is noise.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **kwargs or {})
        if func is F.adaptive_avg_pool2d and output.shape[2:] == (1, 1):
            return _sequential_mean(args[0])
        if func is F.conv2d and args[1].shape[0] == 1:
            return _sequential_conv(output, *args[:6])
        return output


def _sequential_mean(x: Tensor) -> Tensor:
    """Global mean: [B, C, H, W] -> [B, C, 1, 1]."""
    sums = np.add.accumulate(x.flatten(2).numpy(), axis=2)[:, :, -1:]
    return torch.from_numpy(sums / sums.dtype.type(x.shape[2] * x.shape[3]))[..., None]


def _sequential_conv(
    output: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, *window: Any
) -> Tensor:
    """torch's `output` [B, 1, h, w] computed again; window: stride, padding and dilation."""
    stride, padding, dilation = window
    columns = F.unfold(x, weight.shape[2:], dilation, padding, stride)  # [B, terms, h * w]
    sums = torch.zeros_like(columns[:, 0])
    for term, factor in zip(columns.unbind(1), weight.ravel(), strict=True):
        sums += term * factor
    if bias is not None:
        sums += bias
    return sums.reshape(output.shape)


class PerturbedRounding(TorchFunctionMode):
    """Rounds a quarter of the numbers the other way before they are added up, chosen by the seed.

    Weights too: a graph with folded batch norms has them rounded once more.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.factor = _hash_factor(seed)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in SUMMING_FUNCTIONS:
            args = tuple(perturb_rounding(value, self.factor) for value in args)
        return func(*args, **kwargs or {})


def perturb_rounding(value: Any, factor: int) -> Any:
    """A float32 tensor with one number in four replaced by a neighbor; other values unchanged.

    Equal numbers stay equal, as with another kernel's rounding. One in four, as the root mean
    square is then half a unit in the last place; between two roundings it is 0.41.
    factor: twice an odd number, so that zero of either sign stays zero.
    """
    if not isinstance(value, Tensor) or value.dtype != torch.float32:
        return value
    return _ulp_offsets(value, factor).add_(value.view(torch.int32)).view(torch.float32)


def _ulp_offsets(value: Tensor, factor: int) -> Tensor:
    """-1, 0 or 1 in the last place, int32, by a hash of the bits."""
    hashed = value.view(torch.int32) * factor
    # the first three bits, -4 .. 3: the least becomes -1, the greatest 1, all others 0
    return hashed.bitwise_right_shift_(29).mul_(3).add_(9).bitwise_right_shift_(4)


def _hash_factor(seed: int) -> int:
    """A factor for the hash under which infinity stays infinity."""
    numbers = torch.Generator().manual_seed(seed)
    while True:
        factor = int(torch.randint(2**29, (), generator=numbers)) * 4 + 2
        if not _ulp_offsets(INFINITY, factor):
            return factor
