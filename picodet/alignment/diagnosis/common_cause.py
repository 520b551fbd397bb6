"""One change that was made to many weights: it is searched first, and reported once.

A cause counts if the same change to the reference's tensors gives the model's, within rounding.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from picodet.alignment.diagnosis.weights import common_factor, format_factor, half_precisions
from picodet.alignment.result import Finding

MIN_TENSORS = 5  # fewer are reported one by one
ULPS = 2.0**-22  # relative: two units in the last place of float32
INT8_LEVELS = 256
MIN_VALUES = 16  # distinct values; a tensor with fewer was overwritten, not quantized
DECIMALS = range(1, 9)
MAX_EXPLAINED = 40  # tensors that known causes are tried on
NOT_EXPLAINED = f"not examined, as {MAX_EXPLAINED} before it were"

Pairs = Mapping[str, tuple[np.ndarray, np.ndarray]]  # the model's and the reference's, of one shape


class WeightDifference(NamedTuple):
    """A tensor that differs, or a pair of layers that one side has folded."""

    tensors: tuple[str, ...]  # by picodet's names
    model: np.ndarray
    reference: np.ndarray | None  # None where values cannot be compared one by one
    finding: Callable[[bool], Finding]  # with a diagnosis, or without


class Cause(NamedTuple):
    """A change, and the tensors that it was made to."""

    text: str
    tensors: tuple[str, ...]


def group_by_cause(differences: Sequence[WeightDifference]) -> list[Finding]:
    """Findings: each common cause as one, then those that none explains."""
    findings, remaining = [], list(differences)
    while cause := common_cause(
        {str(i): (d.model, d.reference) for i, d in enumerate(remaining) if d.reference is not None}
    ):
        shared = [remaining[int(i)] for i in cause.tensors]
        first = shared[0].finding(False)
        grouped = replace(
            first,
            name=f"{len(shared)} of {len(differences)} that differ, first {first.name}",
            diagnosis=f"one cause: the model's are {cause.text}",
            tensors=tuple(name for each in shared for name in each.tensors),
        )
        findings.append(grouped)
        remaining = [each for i, each in enumerate(remaining) if str(i) not in cause.tensors]
    for count, each in enumerate(remaining):
        explained = count < MAX_EXPLAINED
        found = each.finding(explained)
        text = found.diagnosis if explained else NOT_EXPLAINED
        findings.append(replace(found, diagnosis=text, tensors=each.tensors))
    return findings


def common_cause(pairs: Pairs) -> Cause | None:
    """A cause that explains at least half of the differing tensors, and at least MIN_TENSORS."""
    if len(pairs) < MIN_TENSORS:
        return None
    explained = defaultdict(list)
    for name, (candidate, reference) in pairs.items():
        for text in _causes(candidate, reference):
            explained[text].append(name)
    best = max(explained, key=lambda text: len(explained[text]), default=None)
    if best is None or len(explained[best]) < max(MIN_TENSORS, len(pairs) / 2):
        return None
    return Cause(best, tuple(explained[best]))


def _factor(candidate: np.ndarray, reference: np.ndarray) -> float | None:
    """The common factor, rounded to as few digits as possible, so that many tensors share it."""
    factor = common_factor(candidate, reference)
    if factor is None:
        return None
    shown = (float(f"{factor:.{digits}g}") for digits in range(1, 10))
    return next((short for short in shown if abs(short / factor - 1) < ULPS), factor)


def _causes(candidate: np.ndarray, reference: np.ndarray) -> Iterator[str]:
    exact, factor = reference.astype(np.float64), _factor(candidate, reference)
    if factor is not None and _reproduces(exact * factor, candidate, exact):
        yield f"the reference's times {format_factor(factor)}"
    for what, half in half_precisions(reference):
        if np.array_equal(candidate, half):
            yield f"the reference's, {what}"
    for decimals in DECIMALS:
        if _reproduces(_round_to_grid(exact, candidate, 10.0**-decimals), candidate, exact):
            yield f"the reference's, rounded to {decimals} decimals"
    for scope, axes in (("output channel", tuple(range(1, exact.ndim))), ("tensor", None)):
        if axes != () and any(
            _reproduces(_round_to_grid(exact, candidate, step), candidate, exact)
            for step in _int8_steps(exact, axes)
        ):
            yield f"the reference's, rounded to int8 with one scale for each {scope}"
    if _is_quantized(candidate, exact):
        yield f"the reference's, rounded to at most {INT8_LEVELS} values in each tensor (8 bits)"


def _reproduces(reproduced: np.ndarray, candidate: np.ndarray, reference: np.ndarray) -> bool:
    """Whether this gives the model's values, and removes most of the difference."""
    residual = np.abs(candidate - reproduced)
    return bool(
        (residual <= ULPS * np.abs(reproduced)).all()
        and residual.max() * 4 < np.abs(candidate - reference).max()
    )


def _round_to_grid(
    exact: np.ndarray, candidate: np.ndarray, step: np.ndarray | float
) -> np.ndarray:
    """Round to multiples of a step; values halfway, as near as float32 shows, like the model's.

    step: broadcasts to `exact`, and is 0 only where `exact` is.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(step > 0, exact / step, 0)
    rounded_values = np.rint(parts) * step
    tie = np.abs(np.abs(parts - np.floor(parts)) - 0.5) <= 4 * ULPS * np.abs(parts)
    other = (2 * np.floor(parts) + 1 - np.rint(parts)) * step
    return np.where(
        tie & (np.abs(candidate - other) < np.abs(candidate - rounded_values)),
        other,
        rounded_values,
    )


def _int8_steps(exact: np.ndarray, axes: tuple[int, ...] | None) -> Iterator[np.ndarray]:
    """The steps of common int8 quantizations: symmetric, and with a zero point."""
    greatest = np.abs(exact).max(axis=axes, keepdims=True)
    for levels in (127, 127.5, 128):
        yield greatest / levels
    high = np.maximum(exact.max(axis=axes, keepdims=True), 0)
    yield (high - np.minimum(exact.min(axis=axes, keepdims=True), 0)) / (INT8_LEVELS - 1)


def _is_quantized(candidate: np.ndarray, exact: np.ndarray) -> bool:
    """Whether each value is the nearest of a few, where the reference has many more."""
    values = np.unique(candidate).astype(np.float64)
    if not MIN_VALUES <= len(values) <= INT8_LEVELS or len(np.unique(exact)) < 2 * len(values):
        return False
    midpoints = (values[1:] + values[:-1]) / 2
    nearest = values[np.searchsorted(midpoints, exact.ravel())]
    return bool((np.abs(nearest - candidate.ravel()) <= ULPS * np.abs(nearest)).mean() > 0.99)
