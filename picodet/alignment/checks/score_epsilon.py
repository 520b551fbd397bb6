"""How scores are adjusted before they are compared, where a score is the root of a product.

ppdet's score of 2022 is sqrt(p + 1e-9), where p is the product of two sigmoids (pico_head.py:37).
Correct exports deviate in two ways:

- They may lack the 1e-9: paddle2onnx drops what is below 1e-6 (mapper/tensor/scale.cc). The
  model's scores are then converted to that formula, which near zero is up to 3e-5 away.
- onnxruntime computes sigmoid as 0.5 plus a term (mlas/lib/logistic.cpp), so that small values
  round like 1. Near zero the root magnifies that and the square undoes it: squares are compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from picodet.graphs.operators import Operator
from picodet.models.head import SCORE_EPSILON

SIDE_NAMES = {True: "the model", False: "the reference"}


@dataclass(frozen=True)
class ScoreAdjustment:
    """Where the score epsilon is added, and whether squares are compared; default: nowhere."""

    candidate_adds: bool = True  # whether it adds SCORE_EPSILON under the root
    reference_adds: bool = True
    squared: bool = False  # a side is run by onnxruntime

    def adjust_candidate(self, scores: Tensor) -> Tensor:
        """The model's scores, converted to the reference's formula; other errors stay."""
        if self.candidate_adds == self.reference_adds:
            return self.adjust_reference(scores)
        product = scores.double().square() + SCORE_EPSILON * (
            self.reference_adds - self.candidate_adds
        )
        return (product if self.squared else product.clamp(min=0).sqrt()).to(scores.dtype)

    def adjust_reference(self, scores: Tensor) -> Tensor:
        """The reference's scores, squared if squares are compared."""
        return scores.square() if self.squared else scores

    @property
    def note(self) -> str:
        """The sentence for the report, or ""."""
        text = "; scores as squares, as onnxruntime's sigmoid rounds like 1" if self.squared else ""
        if self.candidate_adds != self.reference_adds:
            lacking, adding = SIDE_NAMES[not self.candidate_adds], SIDE_NAMES[self.candidate_adds]
            text += f"; {lacking} lacks the {SCORE_EPSILON:g} that {adding} adds under the root"
        return text


def adds_epsilon(operators: Sequence[Operator]) -> bool:
    """Whether a graph adds an epsilon: no score is the root of a mere product."""
    return not any(
        operator.kind == "sqrt" and operators[source.operator].kind == "mul"
        for operator in operators
        for source in operator.sources[:1]
    )
