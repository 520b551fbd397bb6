"""Runs that should be equal and are not: additions in another order, numbers rounded the other way.

On an image that is all one colour a layer makes the same few numbers everywhere, and one run shows
one draw of what rounding does to them. That draw may happen to be small. Several show how large it
can be: every seed is another one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# What adds up: there a last bit counts. Everything else rounds once, or not at all.
SUMMING_FUNCTIONS = (F.conv2d, F.batch_norm, F.avg_pool2d, F.adaptive_avg_pool2d)
# Where all values of a layer err by one cause, its error and each draw of the noise are normal
# numbers. One draw is less than a tenth of the error in 1 of 16 cases, all six in 1 of 280,000.
NUM_PERTURBATIONS = 6
INFINITY = torch.tensor(float("inf"))


class SequentialSums(TorchFunctionMode):
    """Sums whose terms are added one after the other, where Paddle's CPU kernels do so.

    They do in global means, and in convolutions with one output, of thousands of terms. torch adds
    in blocks. In float32 that makes a difference of up to 100 roundings, so that only both ways
    together show how much of a difference is noise.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **kwargs or {})
        if func is F.adaptive_avg_pool2d and made.shape[2:] == (1, 1):
            return _sequential_mean(args[0])
        if func is F.conv2d and args[1].shape[0] == 1:
            return _sequential_conv(made, *args[:6])
        return made


def _sequential_mean(x: Tensor) -> Tensor:
    """Global: [B, C, H, W] -> [B, C, 1, 1]."""
    sums = np.add.accumulate(x.flatten(2).numpy(), axis=2)[:, :, -1:]
    return torch.from_numpy(sums / sums.dtype.type(x.shape[2] * x.shape[3]))[..., None]


def _sequential_conv(
    made: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, *window: Any
) -> Tensor:
    """What torch made, [B, 1, h, w], made again; window: stride, padding and dilation."""
    stride, padding, dilation = window
    columns = F.unfold(x, weight.shape[2:], dilation, padding, stride)  # [B, terms, h * w]
    sums = torch.zeros_like(columns[:, 0])
    for term, factor in zip(columns.unbind(1), weight.ravel(), strict=True):
        sums += term * factor
    if bias is not None:
        sums += bias
    return sums.reshape(made.shape)


class PerturbedRounding(TorchFunctionMode):
    """What is added up is first rounded the other way: here and there, as the seed says.

    Weights too, which a graph with folded batch norms holds rounded once more.
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
    """A float32 tensor of which one number in four is a neighbour; whatever else comes, as it is.

    Equal numbers stay equal, as they do where another kernel rounds them. One in four: the root of
    the mean square is then half a unit in the last place; that between two roundings is 0.41.
    factor: twice an odd number, so that zero stays zero, whatever its sign.
    """
    if not isinstance(value, Tensor) or value.dtype != torch.float32:
        return value
    return _ulp_offsets(value, factor).add_(value.view(torch.int32)).view(torch.float32)


def _ulp_offsets(value: Tensor, factor: int) -> Tensor:
    """-1, 0 or 1 in the last place, int32: a hash of the bits."""
    hashed = value.view(torch.int32) * factor
    # the first three bits, -4 .. 3: the least becomes -1, the greatest 1, all others 0
    return hashed.bitwise_right_shift_(29).mul_(3).add_(9).bitwise_right_shift_(4)


def _hash_factor(seed: int) -> int:
    """One that leaves infinity where it is."""
    numbers = torch.Generator().manual_seed(seed)
    while True:
        factor = int(torch.randint(2**29, (), generator=numbers)) * 4 + 2
        if not _ulp_offsets(INFINITY, factor):
            return factor
