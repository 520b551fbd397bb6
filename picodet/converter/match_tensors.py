"""Matches named arrays to the shapes a model expects: weights by the model's names, or problems.

Every tensor on both sides is accounted for, and all problems are collected.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from picodet.converter.names.rules import NameTable, Rule
from picodet.converter.names.unmatched_tensors import (
    EMA_TOLERANCE,
    PADDLE_ONLY,
    TORCH_ONLY_REASON,
    TORCH_ONLY_SUFFIX,
    Context,
    UnmatchedRule,
)
from picodet.formats.precision import as_float32

Shape = tuple[int, ...]

INTEGRAL_PROJECT = "head.integral.project"  # the bins' values


@dataclass(frozen=True, order=True)
class Problem:
    """One reason why a conversion is refused; `kind` groups the rows of the report."""

    kind: str
    name: str
    found: str
    expected: str


@dataclass(frozen=True)
class UnmatchedTensor:
    """A tensor that legitimately exists on one side only, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Conversion:
    """The result; `weights` may be used only if there are no `problems`."""

    weights: dict[str, np.ndarray] = field(repr=False)  # by the PyTorch names, float32
    mapped: int  # number of tensors of the checkpoint that became weights
    skipped: tuple[UnmatchedTensor, ...]  # of the checkpoint
    initialized: tuple[UnmatchedTensor, ...]  # of the PyTorch model
    dtypes: dict[str, int]  # number of mapped tensors by stored dtype
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def match_tensors(
    arrays: Mapping[str, np.ndarray],
    expected: Mapping[str, Shape],
    table: NameTable,
    input_size: tuple[int, int],
    allow_nonfinite: bool = False,
    unmatched_rules: tuple[UnmatchedRule, ...] = PADDLE_ONLY,
) -> Conversion:
    """Match every array of a checkpoint to one of the `expected` tensors of a model."""
    translations = {name: table.to_ours(name) for name in arrays}
    matches = {name: t for name, t in translations.items() if t and t.name in expected}
    weights: dict[str, np.ndarray] = {}
    skipped: list[UnmatchedTensor] = []
    problems: list[Problem] = []
    dtypes = Counter[str]()
    for name, array in arrays.items():
        torch_name = matches[name].name if name in matches else None
        context = Context(arrays, input_size)
        outcome = _skip_unmatched(name, array, context, unmatched_rules) or _match_tensor(
            name, array, torch_name, expected, allow_nonfinite
        )
        if isinstance(outcome, UnmatchedTensor):
            skipped.append(outcome)
        elif isinstance(outcome, Problem):
            problems.append(outcome)
        elif torch_name is not None:
            weights[torch_name] = outcome
            dtypes["bfloat16" if array.dtype == np.uint16 else array.dtype.name] += 1
    mapped = len(weights)

    left = expected.keys() - {match.name for match in matches.values()}
    initialized = {
        name: np.zeros((), np.int64) for name in left if name.endswith(TORCH_ONLY_SUFFIX)
    }
    for name in left - initialized.keys():
        counterpart = table.to_paddle(name)
        problems.append(
            Problem(
                "missing",
                counterpart.name if counterpart else name,
                "nothing",
                f"{list(expected[name])}",
            )
        )
    used = frozenset[Rule]().union(*(match.rules for match in matches.values()))
    problems += [
        Problem("unused rule", f"{rule.paddle} -> {rule.ours}", "no tensor", "at least one")
        for rule in table.rules - used
        if rule.has_tensors
    ]
    weights |= initialized
    return Conversion(
        weights={name: weights[name] for name in expected if name in weights},
        mapped=mapped,
        skipped=tuple(skipped),
        initialized=tuple(
            UnmatchedTensor(name, TORCH_ONLY_REASON) for name in expected if name in initialized
        ),
        dtypes=dict(dtypes),
        problems=tuple(sorted(problems)),
    )


def _skip_unmatched(
    name: str, array: np.ndarray, context: Context, unmatched_rules: tuple[UnmatchedRule, ...]
) -> UnmatchedTensor | Problem | None:
    """An array that only the checkpoint has: skipped if a rule allows its value, else a problem."""
    for only in unmatched_rules:
        if match := only.pattern.fullmatch(name):
            value = as_float32(array)
            wrong = "not a float" if value is None else only.problem(match, value, context)
            if wrong is None:
                return UnmatchedTensor(name, only.reason)
            return Problem("wrong value", name, wrong, only.reason)
    return None


def _match_tensor(
    name: str,
    array: np.ndarray,
    torch_name: str | None,
    expected: Mapping[str, Shape],
    allow_nonfinite: bool,
) -> np.ndarray | Problem:
    """One array of a checkpoint as the weight `torch_name`, or the problem."""
    if torch_name is None:
        return Problem("unexpected", name, _describe(array), "no such tensor")
    counts = torch_name.endswith(TORCH_ONLY_SUFFIX)  # in files of PyTorch, not of Paddle
    weight = _as_count(array) if counts else as_float32(array)
    if weight is None or weight.shape != expected[torch_name]:
        counterpart = f"{list(expected[torch_name])} {'count' if counts else 'float'}"
        return Problem("mismatched", name, _describe(array), counterpart)
    if not allow_nonfinite and not np.isfinite(weight).all():
        found = f"{np.isnan(weight).sum()} NaN, {np.isinf(weight).sum()} Inf of {weight.size}"
        return Problem("not finite", name, found, "finite numbers, or --allow-nonfinite")
    if torch_name.endswith(".running_var") and (weight < 0).any():
        return Problem("wrong value", name, f"a variance of {weight.min()}", "0 or more")
    if torch_name == INTEGRAL_PROJECT and not _are_bins(weight):
        found = np.array2string(weight, precision=4, max_line_width=1000)
        return Problem("wrong value", name, found, f"near {np.arange(len(weight))}")
    return weight


def _as_count(array: np.ndarray) -> np.ndarray | None:
    """An int64 copy of whole numbers of 0 or more; None for others."""
    return array.astype(np.int64) if array.dtype.kind == "i" and (array >= 0).all() else None


def _describe(array: np.ndarray) -> str:
    return f"{list(array.shape)} {array.dtype}"


def _are_bins(project: np.ndarray) -> bool:
    """Whether these are 0, 1, 2 .., exactly or as an EMA stores them."""
    bins = np.arange(len(project))
    return bool((np.abs(project - bins) <= EMA_TOLERANCE * np.maximum(bins, 1)).all())
