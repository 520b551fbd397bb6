"""Differences between picodet's tensors and recorded ones, and the noise among picodet's runs.

The noise is measured with picodet's training: the same steps in float64, with another number of
threads, and with images and weights that differ in their last bits. Training amplifies such
differences with each step, and an element near an activation's kink may end on its other side.
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
# per measure of a whole tensor: the measure, and its scale; the scale of a tensor of differences is
# how much these can change the measure
MEASURE_FUNCTIONS: Mapping[str, tuple[Measure, Measure]] = {
    "norm": (torch.linalg.vector_norm, torch.linalg.vector_norm),
    "sum": (lambda x: x.sum(), lambda x: x.abs().sum()),
    "greatest": (lambda x: x.abs().max(), lambda x: x.abs().max()),
}


class NamedDifference(NamedTuple):
    """The difference of a tensor, by picodet's name."""

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
    """Compare every recorded tensor; `others` are picodet's runs that differ only by rounding.

    After several steps the noise of a tensor is at least that of the median tensor, as a part of
    its scale: a channel that an activation zeroes in all of picodet's runs may live in the
    reference's.
    """
    min_noise = _median_noise(ours, others) if steps > 1 else 0.0
    for theirs, digest in recorded.items():
        found = table.to_ours(theirs)
        if found is None:
            if not any(only.pattern.fullmatch(theirs) for only in PADDLE_ONLY):
                yield NamedDifference(theirs, not_comparable("no counterpart in the name table"))
        elif found.name not in ours:
            yield NamedDifference(found.name, not_comparable("not in picodet's training"))
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
    """The worst difference of a tensor's recorded values and of its measures (MEASURES).

    runs: the tensor in runs that differ only by rounding; min_noise: as a part of the scale.
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
    """Differences of the measures; the deviations of all values add up to their noise."""
    for name, (measure, scale) in MEASURE_FUNCTIONS.items():
        noise = max((float(scale(change)) for change in deviations), default=0.0)
        our_scale = float(scale(ours))
        noise = max(noise, min_noise * our_scale)
        yield compare_scalars(float(measure(ours)), digest[name], our_scale, noise, tolerance)


def compare_scalars(
    ours: float, theirs: float, scale: float, noise: float, tolerance: Tolerance
) -> Difference:
    """The difference of two scalars; a NaN or Inf on both sides counts as equal."""
    if np.isfinite(ours) != np.isfinite(theirs):
        return not_comparable("one of the two is NaN or Inf", scale, noise)
    same = ours == theirs or not np.isfinite(ours)
    error = 0.0 if same else abs(ours - theirs)
    return Difference(error, (), ours, theirs, scale, noise, tolerance.allowed(noise, scale))
