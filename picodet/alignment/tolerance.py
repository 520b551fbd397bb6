"""The difference between two tensors: its maximum, where that is, and whether it is noise."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.result import Difference

# Of the noise. The right models stay below 3.7 in 180 comparisons
# (benchmarks/fault_injection/faults.py: three checkpoints, three folders and three ONNX files on
# 20 pictures each); of the weights that are off by 1 %, 92.7 % are beyond 10 in their own layer
# (benchmarks/fault_injection/sensitivity.py).
NOISE_MULTIPLE = 10.0
# Of a layer's scale. By itself no layer of a right model rounds by more than 7e-6; a layer that
# float32 and float64 disagree on by more computes in less than float32 (autocast, half, TF32), and
# its disagreement is no measure.
MAX_NOISE = 3e-5
FLOAT64_TOLERANCE = 1e-9  # of a layer's scale, where both sides compute in double
# A result is rounded once whatever the kernel: half a unit in the last place of its scale.
ROUNDING = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}


@dataclass(frozen=True)
class Tolerance:
    """How great a difference may be: a multiple of measured noise, or a part of the scale."""

    noise_factor: float | None
    scale_factor: float = 0.0
    max_noise: float = float("inf")  # of the scale: what is more does not count as noise

    def for_one_layer(self) -> "Tolerance":
        """For a layer by itself, whose noise is known to be small."""
        return replace(self, max_noise=MAX_NOISE)

    def allowed(self, floor: float, scale: float) -> float:
        return self.scale_factor * scale if self.noise_factor is None else self.noise_factor * floor


def measure_difference(
    ours: Tensor,
    reference: Tensor,
    noise: float,
    tolerance: Tolerance,
    intermediate_scale: float = 0.0,
) -> Difference:
    """`noise`: greatest difference seen between runs of ours that should be equal.

    computed_at: magnitude of the numbers on the way, where the result is smaller: a sigmoid is
    1 / (1 + exp(-x)), and rounds like 1.
    """
    scale = _scale(reference)
    rounding = ROUNDING.get(reference.dtype, 0.0) * max(scale, intermediate_scale)
    floor = rounding if np.isnan(noise) else max(noise, rounding)
    floor = min(floor, max(rounding, tolerance.max_noise * scale))
    allowed = tolerance.allowed(floor, scale)
    if ours.shape != reference.shape:
        return not_comparable(
            f"shape {_shape(ours)}, the reference's is {_shape(reference)}", scale, floor
        )
    if ours.dtype != reference.dtype:
        return not_comparable(f"{ours.dtype}, the reference's is {reference.dtype}", scale, floor)
    if not ours.numel():
        return Difference(0.0, (), 0.0, 0.0, 0.0, floor, allowed)
    difference = (ours - reference).abs()
    worst = int(difference.argmax())
    error = float(difference.ravel()[worst])
    broken = ""
    if not np.isfinite(error):
        worst, error, broken = _not_finite(ours, reference, difference)
    index = np.unravel_index(worst, tuple(ours.shape))
    here, there = (float(side.ravel()[worst]) for side in (ours, reference))
    where = tuple(int(n) for n in index)
    return Difference(error, where, here, there, scale, floor, allowed, broken)


def noise_between(*runs: Tensor) -> float:
    """Greatest absolute difference between the first run and the others; NaN if they cannot be."""
    first, *others = runs
    if any(other.shape != first.shape for other in others) or not first.numel():
        return 0.0 if not first.numel() else float("nan")
    return max((_max_magnitude(first - other) for other in others), default=0.0)


def _max_magnitude(difference: Tensor) -> float:
    """Magnitude; NaN if one is. In one go through it, in less time than abs() and max() take."""
    low, high = difference.aminmax()
    return max(float(high), -float(low))


def worst(differences: list[Difference]) -> Difference | None:
    """The one that is most beyond what is allowed."""
    return max(differences, key=_excess, default=None)


def _excess(difference: Difference) -> float:
    if not difference.ok and not difference.allowed:
        return float("inf")
    return (
        float("inf")
        if difference.problem
        else difference.error / difference.allowed
        if difference.allowed
        else 0.0
    )


def _scale(tensor: Tensor) -> float:
    if not tensor.numel():
        return 0.0
    low, high = (float(value) for value in tensor.aminmax())
    scale = max(abs(low), abs(high))
    if np.isfinite(scale):
        return scale
    finite = tensor[tensor.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


def not_comparable(text: str, scale: float = 0.0, floor: float = 0.0) -> Difference:
    """Two results that cannot be subtracted."""
    return Difference(float("inf"), (), float("nan"), float("nan"), scale, floor, 0.0, text)


def _not_finite(ours: Tensor, reference: Tensor, difference: Tensor) -> tuple[int, float, str]:
    """Where one side is not finite and the other is not the same; else the greatest difference."""
    same = (ours == reference) | (ours.isnan() & reference.isnan())
    difference = torch.where(same, torch.zeros_like(difference), difference)
    broken = ~difference.isfinite()
    if not broken.any():
        worst = int(difference.argmax())
        return worst, float(difference.ravel()[worst]), ""
    count, worst = int(broken.sum()), int(broken.ravel().int().argmax())
    text = f"{count} of {ours.numel()} values are NaN or Inf on one side only"
    return worst, float("inf"), text


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))
