"""Scores that are roots, converted to one formula; the values are computed by hand."""

import pytest
import torch

from picodet.alignment.checks.score_epsilon import ScoreAdjustment, adds_epsilon
from picodet.graphs.operators import Operator, Source

WITH = torch.tensor([(0.25 + 1e-9) ** 0.5, (1e-8 + 1e-9) ** 0.5, 1e-9**0.5])
WITHOUT = torch.tensor([0.5, 1e-4, 0.0])


@pytest.mark.slow
@pytest.mark.parametrize("candidate", [True, False])
@pytest.mark.parametrize("reference", [True, False])
def test_scores_are_converted_to_the_references_formula(candidate, reference):
    adjustment = ScoreAdjustment(candidate, reference)
    made, expected = (WITH if adds else WITHOUT for adds in (candidate, reference))
    torch.testing.assert_close(adjustment.adjust_candidate(made), expected, rtol=1e-6, atol=2e-8)
    assert adjustment.adjust_reference(expected) is expected
    assert adjustment.adjust_candidate(made).dtype == torch.float32


def test_other_errors_stay():
    wrong = WITHOUT.square()  # no root
    assert (ScoreAdjustment(True, False).adjust_candidate(wrong) - WITHOUT).abs().max() > 0.2


def test_with_onnxruntime_squares_are_compared():
    adjustment = ScoreAdjustment(True, False, squared=True)
    torch.testing.assert_close(
        adjustment.adjust_reference(WITHOUT), torch.tensor([0.25, 1e-8, 0.0])
    )
    torch.testing.assert_close(
        adjustment.adjust_candidate(WITH), torch.tensor([0.25, 1e-8, 0.0]), rtol=1e-6, atol=1e-15
    )


def test_the_note_names_what_was_adjusted():
    assert ScoreAdjustment().note == ScoreAdjustment(False, False).note == ""
    note = "; the reference lacks the 1e-09 that the model adds under the root"
    assert ScoreAdjustment(True, False).note == note
    note = "; the model lacks the 1e-09 that the reference adds under the root"
    assert ScoreAdjustment(False, True).note == note
    squares = "; scores as squares, as onnxruntime's sigmoid rounds like 1"
    assert ScoreAdjustment(squared=True).note == squares
    assert ScoreAdjustment(False, True, squared=True).note == squares + note


def chain(*kinds):
    return [Operator(kind, kind, (Source(i - 1),), ()) for i, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kinds", "adds"),
    [
        (("sigmoid", "mul", "sqrt"), False),
        (("sigmoid", "mul", "add", "sqrt"), True),
        (("sigmoid", "mul", "scale", "sqrt"), True),
        (("sigmoid",), True),  # the score of 2021, which has no epsilon
        ((), True),  # a reference with layers
    ],
)
def test_whether_a_graph_adds_the_epsilon(kinds, adds):
    assert adds_epsilon(chain(*kinds)) is adds
