"""How far tensors of ours are from recorded ones, and how far from each other.

What is noise, our own training says: the same steps once more in double, with other threads, and
with pictures and weights that differ in their last bits. A training makes much of such bits, more
with each step, and where an activation has a kink an element may be on its other side.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.result import Difference, worst
from picodet.alignment.tolerance import Tolerance, measure_difference, not_comparable
from picodet.alignment.training.recording import TensorDigest, TensorDigests
from picodet.converter.names.rules import NameTable
from picodet.converter.names.unmatched_tensors import PADDLE_ONLY

Measure = Callable[[Tensor], Tensor]
# what a recording has of a whole tensor, and its magnitude: of a tensor of changes, by how much the
# first may change
MEASURE_FUNCTIONS: Mapping[str, tuple[Measure, Measure]] = {
    "norm": (torch.linalg.vector_norm, torch.linalg.vector_norm),
    "sum": (lambda x: x.sum(), lambda x: x.abs().sum()),
    "greatest": (lambda x: x.abs().max(), lambda x: x.abs().max()),
}


class NamedDifference(NamedTuple):
    """A tensor that was compared, by our name."""

    name: str
    difference: Difference


def compare_tensors(
    recorded: TensorDigests,
    ours: Mapping[str, Tensor],
    others: Sequence[Mapping[str, Tensor]],
    table: NameTable,
    tolerance: Tolerance,
    steps: int = 1,
) -> Iterator[NamedDifference]:
    """Every tensor of the recording; `others` are runs of ours that should be equal.

    After several steps a tensor that happened to be the same in all of them has the noise of the
    median tensor, in parts of its scale: where a channel is cut off whole in ours, it need not be
    in the reference.
    """
    min_noise = _median_noise(ours, others) if steps > 1 else 0.0
    for theirs, digest in recorded.items():
        found = table.to_ours(theirs)
        if found is None:
            if not any(only.pattern.fullmatch(theirs) for only in PADDLE_ONLY):
                yield NamedDifference(theirs, not_comparable("no tensor of ours by the name table"))
        elif found.name not in ours:
            yield NamedDifference(found.name, not_comparable("ours has none"))
        else:
            runs = [other[found.name] for other in others]
            yield NamedDifference(
                found.name, compare_tensor(digest, ours[found.name], runs, tolerance, min_noise)
            )


def _median_noise(ours: Mapping[str, Tensor], others: Sequence[Mapping[str, Tensor]]) -> float:
    parts = [
        max(float((value - other[name]).abs().max()) for other in others) / scale
        for name, value in ours.items()
        if value.is_floating_point() and (scale := float(value.abs().max()))
    ]
    return float(np.median(parts)) if parts and others else 0.0


def compare_tensor(
    digest: TensorDigest,
    ours: Tensor,
    runs: Sequence[Tensor],
    tolerance: Tolerance,
    min_noise: float = 0.0,
) -> Difference:
    """What is known of a tensor: its values, and what all of them amount to. The worst of these.

    least: noise, as a part of the scale.
    """
    if digest.shape is not None and tuple(ours.shape) != digest.shape:
        return not_comparable(f"shape {list(ours.shape)}, the reference's is {list(digest.shape)}")
    if digest.positions.size and int(digest.positions[-1]) >= ours.numel():
        return not_comparable(f"shape {list(ours.shape)}, the reference's has more values")
    values = torch.from_numpy(digest.values).to(ours.dtype)
    deviations = [(ours - run).abs().double() for run in runs]
    max_magnitude = digest.measures.get("greatest", 0.0)
    noise = max((float(d.max()) for d in deviations), default=0.0)
    noise = max(noise, min_noise * float(ours.abs().max()))
    found = measure_difference(
        ours.ravel()[digest.positions],
        values,
        noise,
        tolerance,
        max_magnitude,
    )
    scale = max(found.scale, max_magnitude)
    where = int(digest.positions[found.index[0]]) if found.index else 0
    index = tuple(int(i) for i in np.unravel_index(where, tuple(ours.shape)))
    allowed = 0.0 if found.problem else tolerance.allowed(found.floor, scale)
    differences = [replace(found, index=index, scale=scale, allowed=allowed)]
    if digest.measures and digest.positions.size < ours.numel():
        differences += _compare_measures(
            digest.measures, ours.double(), deviations, tolerance, min_noise
        )
    return worst(differences) or found


def _compare_measures(
    digest: Mapping[str, float],
    ours: Tensor,
    deviations: Sequence[Tensor],
    tolerance: Tolerance,
    min_noise: float,
) -> Iterator[Difference]:
    """By how much each may change where every value changes by its difference."""
    for name, (measure, scale) in MEASURE_FUNCTIONS.items():
        noise = max((float(scale(change)) for change in deviations), default=0.0)
        our_scale = float(scale(ours))
        noise = max(noise, min_noise * our_scale)
        yield compare_scalars(float(measure(ours)), digest[name], our_scale, noise, tolerance)


def compare_scalars(
    ours: float, theirs: float, scale: float, noise: float, tolerance: Tolerance
) -> Difference:
    """Of two numbers."""
    if np.isfinite(ours) != np.isfinite(theirs):
        return not_comparable("one of the two is NaN or Inf", scale, noise)
    same = ours == theirs or not np.isfinite(ours)
    error = 0.0 if same else abs(ours - theirs)
    return Difference(error, (), ours, theirs, scale, noise, tolerance.allowed(noise, scale))
