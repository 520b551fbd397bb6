"""The greatest difference between two tensors, where it is, and whether it is noise."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.result import Difference

# Times the noise floor. The right models stay below 3.7 in 180 comparisons
# (benchmarks/fault_injection/faults.py: three checkpoints, three folders and three ONNX files on
# 20 images each); of the weights that are off by 1 %, 92.7 % are beyond 10 in their own layer
# (benchmarks/fault_injection/sensitivity.py).
NOISE_MULTIPLE = 10.0
# Of a layer's scale. By itself no layer of a right model rounds by more than 7e-6. A layer whose
# float32 and float64 runs differ by more computes in less than float32 (autocast, half, TF32), and
# that difference is no noise.
MAX_NOISE = 3e-5
FLOAT64_TOLERANCE = 1e-9  # of a layer's scale, where both sides compute in float64
# A result is rounded once whatever the kernel: half a unit in the last place of its scale.
ROUNDING = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}


@dataclass(frozen=True)
class Tolerance:
    """How great a difference may be: the greater of a part of the scale and a multiple of noise."""

    noise_factor: float = 0.0  # times the noise floor
    scale_factor: float = 0.0  # times the greatest magnitude in the reference's tensor
    max_noise: float = float("inf")  # of the scale: what is more does not count as noise

    def for_one_layer(self) -> "Tolerance":
        """The tolerance of a layer alone, whose noise is at most MAX_NOISE."""
        return replace(self, max_noise=MAX_NOISE)

    def allowed(self, floor: float, scale: float) -> float:
        """The greatest error that passes. floor: the noise floor, which may be infinite."""
        noise = self.noise_factor * floor if self.noise_factor else 0.0
        return max(self.scale_factor * scale, noise)


def measure_difference(
    candidate: Tensor,
    reference: Tensor,
    noise: float,
    tolerance: Tolerance,
    intermediate_scale: float = 0.0,
) -> Difference:
    """The greatest absolute difference between two tensors, with the noise floor and tolerance.

    noise: greatest difference between runs of the model that should be equal; NaN where it is not
    known. intermediate_scale: magnitude of intermediate results, where the result is smaller: a
    sigmoid is 1 / (1 + exp(-x)), and rounds like 1.
    """
    scale = _scale(reference)
    rounding = ROUNDING.get(reference.dtype, 0.0) * max(scale, intermediate_scale)
    floor = rounding if np.isnan(noise) else max(noise, rounding)
    floor = min(floor, max(rounding, tolerance.max_noise * scale))
    allowed = tolerance.allowed(floor, scale)
    if candidate.shape != reference.shape:
        return not_comparable(
            f"shape {_shape(candidate)}, the reference's is {_shape(reference)}", scale, floor
        )
    if candidate.dtype != reference.dtype:
        return not_comparable(
            f"{candidate.dtype}, the reference's is {reference.dtype}", scale, floor
        )
    if not candidate.numel():
        return Difference(0.0, (), 0.0, 0.0, 0.0, floor, allowed)
    difference = (candidate - reference).abs()
    position = int(difference.argmax())
    error = float(difference.ravel()[position])
    problem = ""
    if not np.isfinite(error):
        position, error, problem = _not_finite(candidate, reference, difference)
    index = np.unravel_index(position, tuple(candidate.shape))
    value, expected = (float(side.ravel()[position]) for side in (candidate, reference))
    where = tuple(int(n) for n in index)
    return Difference(error, where, value, expected, scale, floor, allowed, problem)


def noise_between(*runs: Tensor) -> float:
    """Greatest absolute difference between the first run and the others; NaN if shapes differ."""
    first, *others = runs
    if any(other.shape != first.shape for other in others) or not first.numel():
        return 0.0 if not first.numel() else float("nan")
    return max((_max_magnitude(first - other) for other in others), default=0.0)


def _max_magnitude(difference: Tensor) -> float:
    """Greatest magnitude, NaN if one value is NaN; in one pass, faster than abs() and max()."""
    low, high = difference.aminmax()
    return max(float(high), -float(low))


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
    """The difference of two results that cannot be subtracted; `text` says why."""
    return Difference(float("inf"), (), float("nan"), float("nan"), scale, floor, 0.0, text)


def _not_finite(candidate: Tensor, reference: Tensor, difference: Tensor) -> tuple[int, float, str]:
    """Position, error and problem: of NaN or Inf on one side only, else of the greatest error."""
    same = (candidate == reference) | (candidate.isnan() & reference.isnan())
    difference = torch.where(same, torch.zeros_like(difference), difference)
    broken = ~difference.isfinite()
    if not broken.any():
        position = int(difference.argmax())
        return position, float(difference.ravel()[position]), ""
    count, position = int(broken.sum()), int(broken.ravel().int().argmax())
    text = f"{count} of {candidate.numel()} values are NaN or Inf on one side only"
    return position, float("inf"), text


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))
