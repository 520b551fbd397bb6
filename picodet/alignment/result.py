"""The outcome of a comparison: plain values, shown by the table, the HTML page and the JSON."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Verdict = Literal["aligned", "differs", "not compared"]
Status = Literal["aligned", "guilty", "affected"]
Side = Literal["reference", "model"]
UNKNOWN_CAUSE = "no known cause reproduces the difference"


@dataclass(frozen=True)
class Difference:
    """The greatest difference between two tensors, and the noise that it is compared with."""

    error: float  # absolute; infinite where the tensors cannot be subtracted
    index: tuple[int, ...]  # of the element with that error; () where it is not known
    model: float  # the model's value there
    reference: float  # the reference's value there
    scale: float  # greatest magnitude in the reference's tensor
    floor: float  # noise floor: greatest difference that rounding alone makes on the same input
    allowed: float  # the tolerance: an error up to this passes
    problem: str = ""  # why they cannot be subtracted: shape, dtype, NaN or Inf on one side

    @property
    def ok(self) -> bool:
        return not self.problem and self.error <= self.allowed  # a NaN is not ok

    @property
    def error_over_noise(self) -> float:
        """Error in multiples of the noise floor; infinite for an error where that is 0."""
        if self.problem:
            return float("inf")
        if not self.error:
            return 0.0
        return self.error / self.floor if self.floor else float("inf")

    @property
    def error_over_allowed(self) -> float:
        """How bad this is: at most 1 passes; infinite where no number says it.

        The one order of differences, in which reports sort and choose what they show.
        """
        if self.problem or math.isnan(self.error):
            return float("inf")
        if not self.error:
            return 0.0
        return self.error / self.allowed if self.allowed else float("inf")


def worst(differences: Iterable[Difference | None]) -> Difference | None:
    """The greatest by `error_over_allowed`; None where there is none."""
    known = (difference for difference in differences if difference is not None)
    return max(known, key=lambda difference: difference.error_over_allowed, default=None)


@dataclass(frozen=True)
class ErrorPlots:
    """What the page plots of a guilty layer: an error map, and values of both sides.

    errors [H, W]: greatest absolute difference over batch and channels, NaN where one side is not
    finite; model and reference [N]: values at the same sampled positions.
    """

    errors: np.ndarray
    model: np.ndarray
    reference: np.ndarray


@dataclass(frozen=True)
class Layer:
    """One call of one layer, compared."""

    path: str  # picodet's: backbone.stem.conv; two joined by " + " where the reference folds them
    reference: str  # what the reference calls it
    call: int  # which call of this layer, from 0
    type: str  # Conv2d, BatchNorm2d, ConvBN, ShuffleBlock ..
    # error of the whole model up to here; None where the model did not get this far
    accumulated: Difference | None
    # error of this layer alone, fed the reference's input; None where none is recorded
    local: Difference | None
    status: Status
    where: str = ""  # which tensor is wrong: "output", or "input of final_conv" that it prepares
    diagnosis: str = ""  # of a guilty layer: the cause, or UNKNOWN_CAUSE
    error_plots: ErrorPlots | None = field(default=None, repr=False)  # of a guilty layer


@dataclass(frozen=True)
class Finding:
    """Something outside the layers that differs: a weight, a preprocessing step, a head, a box."""

    name: str
    found: str
    expected: str
    diagnosis: str = ""
    tensors: tuple[str, ...] = ()  # of weights: the tensors concerned, by picodet's names


@dataclass(frozen=True)
class Stage:
    """One stage of the comparison."""

    name: str  # weights, preprocessing, layers, heads, decoding, NMS
    verdict: Verdict
    summary: str  # one line: what was compared with what, and how close it was
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Unpaired:
    """A layer or tensor that only one side has, where no rule explains that."""

    side: Side
    path: str
    type: str


@dataclass(frozen=True)
class Comparison:
    """All stages, and every layer in the order of the forward pass."""

    reference: str
    model: str
    stages: tuple[Stage, ...]
    layers: tuple[Layer, ...]
    unpaired: tuple[Unpaired, ...]
    tolerance: str  # how the tolerance was found, in a sentence
    environment: dict[str, str]  # what the numbers depend on: versions, hashes, input

    @property
    def aligned(self) -> bool:
        """Whether every stage is aligned."""
        return bool(self.stages) and all(stage.verdict == "aligned" for stage in self.stages)

    @property
    def guilty(self) -> tuple[Layer, ...]:
        """The guilty layers, worst first."""
        found = [layer for layer in self.layers if layer.status == "guilty"]
        return tuple(sorted(found, key=lambda layer: -_severity(layer)))


def _severity(layer: Layer) -> float:
    difference = layer.local or layer.accumulated
    return difference.error_over_allowed if difference else 0.0
