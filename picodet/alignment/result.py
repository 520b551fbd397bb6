"""The outcome of a comparison: plain values, which the table, the page and the JSON show."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Verdict = Literal["aligned", "differs", "not compared"]
Status = Literal["aligned", "guilty", "affected"]
Side = Literal["reference", "ours"]


@dataclass(frozen=True)
class Difference:
    """The greatest difference between two tensors, and the noise it is held against."""

    error: float  # absolute; infinite where the tensors cannot be subtracted
    index: tuple[int, ...]  # where it is
    ours: float  # the value there
    reference: float
    scale: float  # greatest magnitude in the reference's tensor
    floor: float  # greatest difference that rounding makes in our own model, on the same input
    allowed: float  # error up to which this passes
    problem: str = ""  # why they cannot be subtracted: shape, dtype, NaN or Inf on one side

    @property
    def ok(self) -> bool:
        return not self.problem and self.error <= self.allowed  # a NaN is not ok

    @property
    def error_over_noise(self) -> float:
        """How many times the noise; 0 for no error, infinite for an error where there is none."""
        if self.problem:
            return float("inf")
        if not self.error:
            return 0.0
        return self.error / self.floor if self.floor else float("inf")


@dataclass(frozen=True)
class ErrorPlots:
    """For the eye: where a guilty layer is wrong, and how its values lie against the reference's.

    errors [H, W]: greatest absolute difference over batch and channels, NaN where one side is not
    finite; ours and reference [N]: values at the same sampled positions.
    """

    errors: np.ndarray
    ours: np.ndarray
    reference: np.ndarray


@dataclass(frozen=True)
class Layer:
    """One call of one layer, compared."""

    path: str  # ours: backbone.stem.conv; two joined by " + " where the reference has folded them
    reference: str  # what the reference calls it
    call: int  # which call of this layer, from 0
    type: str  # Conv2d, BatchNorm2d, ConvBN, ShuffleBlock ..
    accumulated: (
        Difference | None
    )  # the whole model's error up to here; None where ours never got here
    local: (
        Difference | None
    )  # of this layer alone, fed the reference's input; None where none is recorded
    status: Status
    where: str = ""  # what of it is wrong: "output", or "input of final_conv" that it prepares
    diagnosis: str = ""  # for a guilty layer: what makes the difference vanish, or that nothing did
    error_plots: ErrorPlots | None = field(default=None, repr=False)  # of a guilty layer


@dataclass(frozen=True)
class Finding:
    """Something outside the layers that differs: a tensor, a step, a head, a box."""

    name: str
    found: str
    expected: str
    diagnosis: str = ""
    tensors: tuple[str, ...] = ()  # of weights: all that it is about, by our names


@dataclass(frozen=True)
class Stage:
    """One step of the ladder."""

    name: str  # weights, preprocessing, layers, heads, decoding, NMS
    verdict: Verdict
    summary: str  # one line: what was compared, how close it was, against what evidence
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Unpaired:
    """A layer without a partner, and no rule that says why."""

    side: Side
    path: str
    type: str


@dataclass(frozen=True)
class Comparison:
    """All rungs, and every layer in the order of the forward pass."""

    reference: str
    model: str
    stages: tuple[Stage, ...]
    layers: tuple[Layer, ...]
    unpaired: tuple[Unpaired, ...]
    tolerance: str  # how what is allowed was found, in a sentence
    environment: dict[str, str]  # versions, hashes, input: what the numbers depend on

    @property
    def aligned(self) -> bool:
        return bool(self.stages) and all(stage.verdict == "aligned" for stage in self.stages)

    @property
    def guilty(self) -> tuple[Layer, ...]:
        """Worst first: by error over noise."""
        found = [layer for layer in self.layers if layer.status == "guilty"]
        return tuple(sorted(found, key=lambda layer: -_severity(layer)))


def _severity(layer: Layer) -> float:
    difference = layer.local or layer.accumulated
    return difference.error_over_noise if difference else 0.0
