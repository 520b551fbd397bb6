"""What scores are brought to before they are compared, where a score is the root of a product.

ppdet's score of 2022 is the root of p + 1e-9, where p is the product of two sigmoids. Two things
keep right exports from it:

- They may lack the 1e-9: paddle2onnx takes less than 1e-6 for nothing (mapper/tensor/scale.cc).
  Our scores are then compared as that formula makes them, which near zero is up to 3e-5 away.
- onnxruntime's sigmoid is 0.5 and something (mlas/lib/logistic.cpp): however small it is, it rounds
  like 1. A root makes much of that near zero, and a square takes it back: squares are compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from picodet.graphs.operators import Operator
from picodet.models.head import SCORE_EPSILON

SIDE_NAMES = {True: "the model", False: "the reference"}


@dataclass(frozen=True)
class ScoreAdjustment:
    """What is known of both sides. Scores of 2021 lack nothing and stay what they are."""

    ours_adds: bool = True  # SCORE_EPSILON, under the root
    theirs_adds: bool = True
    squared: bool = False  # one of the two is onnxruntime's

    def adjust_ours(self, scores: Tensor) -> Tensor:
        """Scores of the model, by the reference's formula; whatever else is wrong stays."""
        if self.ours_adds == self.theirs_adds:
            return self.adjust_theirs(scores)
        product = scores.double().square() + SCORE_EPSILON * (self.theirs_adds - self.ours_adds)
        return (product if self.squared else product.clamp(min=0).sqrt()).to(scores.dtype)

    def adjust_theirs(self, scores: Tensor) -> Tensor:
        """Scores of the reference."""
        return scores.square() if self.squared else scores

    @property
    def note(self) -> str:
        """What the report has to say of it."""
        text = "; scores as squares, as onnxruntime's sigmoid rounds like 1" if self.squared else ""
        if self.ours_adds != self.theirs_adds:
            lacking, adding = SIDE_NAMES[not self.ours_adds], SIDE_NAMES[self.ours_adds]
            text += f"; {lacking} lacks the {SCORE_EPSILON:g} that {adding} adds under the root"
        return text


def adds_epsilon(operators: Sequence[Operator]) -> bool:
    """Whether no score is the root of a bare product."""
    return not any(
        operator.kind == "sqrt" and operators[source.operator].kind == "mul"
        for operator in operators
        for source in operator.sources[:1]
    )
