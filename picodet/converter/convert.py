"""Named arrays and the shapes a model expects -> weights under the model's names, or why not.

Everything is accounted for, both ways: all problems are gathered and shown together.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from picodet.converter.one_sided import (
    EMA_TOLERANCE,
    OURS_ONLY_REASON,
    OURS_ONLY_SUFFIX,
    PADDLE_ONLY,
    Context,
)
from picodet.converter.precision import as_float32
from picodet.converter.rules import NameTable, Rule

Shape = tuple[int, ...]

PROJECT = "head.integral.project"


@dataclass(frozen=True, order=True)
class Problem:
    """Why a conversion is refused; `kind` groups the rows of the report."""

    kind: str
    name: str
    found: str
    expected: str


@dataclass(frozen=True)
class OneSided:
    """A tensor that exists on one side only, for a reason that is known."""

    name: str
    reason: str


@dataclass(frozen=True)
class Conversion:
    """The outcome: `weights` may be used only if there are no `problems`."""

    weights: dict[str, np.ndarray] = field(repr=False)  # by our names, float32
    mapped: int  # tensors of the checkpoint that found their place
    left_out: tuple[OneSided, ...]  # of the checkpoint
    added: tuple[OneSided, ...]  # of our model
    dtypes: dict[str, int]  # how many of the mapped tensors came in which format
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def convert(
    arrays: Mapping[str, np.ndarray],
    expected: Mapping[str, Shape],
    table: NameTable,
    input_size: tuple[int, int],
    allow_nonfinite: bool = False,
) -> Conversion:
    """Give every array of a checkpoint its place among the `expected` tensors of a model."""
    context = Context(arrays, input_size)
    weights: dict[str, np.ndarray] = {}
    left_out: list[OneSided] = []
    problems: list[Problem] = []
    found, used, dtypes = set[str](), set[Rule](), Counter[str]()
    for name, array in arrays.items():
        match _one_sided(name, array, context):
            case OneSided() as known:
                left_out.append(known)
                continue
            case Problem() as problem:
                problems.append(problem)
                continue
        translation = table.to_ours(name)
        if translation is None or translation.name not in expected:
            problems.append(Problem("unexpected", name, _describe(array), "no such tensor"))
            continue
        found.add(translation.name)
        used |= translation.rules
        weight, shape = as_float32(array), expected[translation.name]
        if weight is None or weight.shape != shape:
            problems.append(Problem("mismatched", name, _describe(array), f"{list(shape)} float"))
            continue
        if not allow_nonfinite and not np.isfinite(weight).all():
            expectation = "numbers, or --allow-nonfinite"
            problems.append(Problem("not finite", name, _count_nonfinite(weight), expectation))
        weights[translation.name] = weight
        dtypes["bfloat16" if array.dtype == np.uint16 else array.dtype.name] += 1

    added = [name for name in expected if name.endswith(OURS_ONLY_SUFFIX)]
    for name in expected.keys() - found - set(added):
        there = table.to_paddle(name)
        problems.append(
            Problem("missing", there.name if there else name, "nothing", f"{list(expected[name])}")
        )
    problems += _wrong_bins(weights)
    problems += [
        Problem("unused rule", f"{rule.paddle} -> {rule.ours}", "no tensor", "at least one")
        for rule in sorted(table.rules - used)
        if rule.of_tensors
    ]
    weights |= {name: np.zeros((), np.int64) for name in added}
    return Conversion(
        weights={name: weights[name] for name in expected if name in weights},
        mapped=len(found),
        left_out=tuple(left_out),
        added=tuple(OneSided(name, OURS_ONLY_REASON) for name in added),
        dtypes=dict(dtypes),
        problems=tuple(sorted(problems)),
    )


def _one_sided(name: str, array: np.ndarray, context: Context) -> OneSided | Problem | None:
    for only in PADDLE_ONLY:
        if match := only.pattern.fullmatch(name):
            problem = only.problem(match, array, context)
            return (
                Problem("wrong value", name, problem, only.reason)
                if problem
                else OneSided(name, only.reason)
            )
    return None


def _describe(array: np.ndarray) -> str:
    return f"{list(array.shape)} {array.dtype}"


def _count_nonfinite(weight: np.ndarray) -> str:
    return f"{np.isnan(weight).sum()} NaN, {np.isinf(weight).sum()} Inf of {weight.size}"


def _wrong_bins(weights: Mapping[str, np.ndarray]) -> Iterator[Problem]:
    """The bins' values are weights, but only those near 0, 1, 2 .. are a PicoDet's."""
    project = weights.get(PROJECT)
    if project is not None:
        bins = np.arange(len(project))
        if not (np.abs(project - bins) <= EMA_TOLERANCE * np.maximum(bins, 1)).all():
            found = np.array2string(project, precision=4, max_line_width=1000)
            yield Problem("wrong value", "head.distribution_project.project", found, f"near {bins}")
