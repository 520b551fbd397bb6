"""One thing that was done to many weights: it is looked for first, and told once.

A cause counts where doing the same to the reference's tensors gives ours, but for rounding.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from picodet.alignment.diagnosis.weights import common_factor, format_factor, half_precisions
from picodet.alignment.result import Finding

MIN_TENSORS = 5  # tensors; of fewer each is told by itself
ULPS = 2.0**-22  # relative: two units in the last place of float32
INT8_LEVELS = 256  # that eight bits have
MIN_VALUES = 16  # values that a tensor is rounded to, not overwritten with
DECIMALS = range(1, 9)
MAX_EXPLAINED = 40  # tensors that the usual mistakes are tried on
NOT_EXPLAINED = f"not looked into, as the {MAX_EXPLAINED} before it were"

Pairs = Mapping[str, tuple[np.ndarray, np.ndarray]]  # ours and the reference's, of one shape


class WeightDifference(NamedTuple):
    """A tensor that differs, or a pair of layers that one side has folded."""

    tensors: tuple[str, ...]  # by our names
    ours: np.ndarray
    theirs: np.ndarray | None  # None where it cannot be held against ours value by value
    finding: Callable[[bool], Finding]  # told with a diagnosis, or without


class Cause(NamedTuple):
    """What was done, and to which tensors."""

    text: str
    tensors: tuple[str, ...]


def group_by_cause(differences: Sequence[WeightDifference]) -> list[Finding]:
    """Each common cause as one finding, then what none explains, each by itself."""
    findings, remaining = [], list(differences)
    while cause := common_cause(
        {str(i): (d.ours, d.theirs) for i, d in enumerate(remaining) if d.theirs is not None}
    ):
        shared = [remaining[int(i)] for i in cause.tensors]
        first = shared[0].finding(False)
        grouped = replace(
            first,
            name=f"{len(shared)} of {len(differences)} that differ, first {first.name}",
            diagnosis=f"one cause: ours are {cause.text}",
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
    """What explains at least half of the tensors, all of which differ, and MIN_TENSORS of them."""
    if len(pairs) < MIN_TENSORS:
        return None
    explained = defaultdict(list)
    for name, (ours, theirs) in pairs.items():
        for text in _causes(ours, theirs):
            explained[text].append(name)
    best = max(explained, key=lambda text: len(explained[text]), default=None)
    if best is None or len(explained[best]) < max(MIN_TENSORS, len(pairs) / 2):
        return None
    return Cause(best, tuple(explained[best]))


def _factor(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    """With no more digits than it takes, so that many tensors have the same."""
    factor = common_factor(ours, theirs)
    if factor is None:
        return None
    shown = (float(f"{factor:.{digits}g}") for digits in range(1, 10))
    return next((short for short in shown if abs(short / factor - 1) < ULPS), factor)


def _causes(ours: np.ndarray, theirs: np.ndarray) -> Iterator[str]:
    exact, factor = theirs.astype(np.float64), _factor(ours, theirs)
    if factor is not None and _reproduces(exact * factor, ours, exact):
        yield f"the reference's times {format_factor(factor)}"
    for what, half in half_precisions(theirs):
        if np.array_equal(ours, half):
            yield f"the reference's, {what}"
    for decimals in DECIMALS:
        if _reproduces(_round_to_grid(exact, ours, 10.0**-decimals), ours, exact):
            yield f"the reference's, rounded to {decimals} decimals"
    for scope, axes in (("output channel", tuple(range(1, exact.ndim))), ("tensor", None)):
        if axes != () and any(
            _reproduces(_round_to_grid(exact, ours, step), ours, exact)
            for step in _int8_steps(exact, axes)
        ):
            yield f"the reference's, rounded to int8 with one scale for each {scope}"
    if _is_quantized(ours, exact):
        yield f"the reference's, rounded to at most {INT8_LEVELS} values in each tensor (8 bits)"


def _reproduces(reproduced: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether this is ours, and what differed is gone."""
    residual = np.abs(ours - reproduced)
    return bool(
        (residual <= ULPS * np.abs(reproduced)).all()
        and residual.max() * 4 < np.abs(ours - theirs).max()
    )


def _round_to_grid(exact: np.ndarray, ours: np.ndarray, step: np.ndarray | float) -> np.ndarray:
    """Rounded to multiples of a step; what lies between two, as near as float32 can tell, as ours.

    step: broadcasts to `exact`, and is 0 only where that is.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(step > 0, exact / step, 0)
    rounded_values = np.rint(parts) * step
    tie = np.abs(np.abs(parts - np.floor(parts)) - 0.5) <= 4 * ULPS * np.abs(parts)
    other = (2 * np.floor(parts) + 1 - np.rint(parts)) * step
    return np.where(
        tie & (np.abs(ours - other) < np.abs(ours - rounded_values)), other, rounded_values
    )


def _int8_steps(exact: np.ndarray, axes: tuple[int, ...] | None) -> Iterator[np.ndarray]:
    """Of the usual ways to int8: symmetric, and with a zero point."""
    greatest = np.abs(exact).max(axis=axes, keepdims=True)
    for levels in (127, 127.5, 128):
        yield greatest / levels
    high = np.maximum(exact.max(axis=axes, keepdims=True), 0)
    yield (high - np.minimum(exact.min(axis=axes, keepdims=True), 0)) / (INT8_LEVELS - 1)


def _is_quantized(ours: np.ndarray, exact: np.ndarray) -> bool:
    """Whether each is the nearest of a few, where the reference has many more."""
    values = np.unique(ours).astype(np.float64)
    if not MIN_VALUES <= len(values) <= INT8_LEVELS or len(np.unique(exact)) < 2 * len(values):
        return False
    midpoints = (values[1:] + values[:-1]) / 2
    nearest = values[np.searchsorted(midpoints, exact.ravel())]
    return bool((np.abs(nearest - ours.ravel()) <= ULPS * np.abs(nearest)).mean() > 0.99)
