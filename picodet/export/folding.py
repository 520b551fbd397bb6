"""A convolution and its batch norm as one convolution."""

from collections.abc import Mapping

from torch import Tensor


def fold(weight: Tensor, norm: Mapping[str, Tensor], epsilon: float) -> tuple[Tensor, Tensor]:
    """Weight [O, I, k, k] and bias [O] of a convolution without bias and the batch norm behind it.

    Computed in float64 and rounded once.
    """
    gamma, beta, mean, variance = (
        norm[role].double() for role in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / (variance + epsilon).sqrt()
    folded = weight.double() * factor[:, None, None, None]
    return folded.to(weight.dtype), (beta - mean * factor).to(weight.dtype)
