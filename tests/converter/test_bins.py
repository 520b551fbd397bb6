"""The values of the bins: what ppdet's training can leave, and what it cannot."""

import numpy as np
import pytest
import torch
from torch import nn

from picodet.converter import bins
from picodet.training.ema import ModelEMA
from picodet.training.recipes.schema import EMAConfig

EXACT = np.arange(8, dtype=np.float32)


def averaged(steps, constant=EXACT):
    """As our own training averages a constant, which is held against ppdet's recordings."""
    model = nn.Module()
    model.register_buffer("project", torch.tensor(constant))
    ema = ModelEMA(model, EMAConfig())
    for _ in range(steps):
        ema.update()
    return ema.averaged_state_dict()["project"].numpy()


def test_whole_numbers_need_no_words():
    assert bins.describe_bins(EXACT) == "0 .. 7"
    assert bins.describe_bins(np.arange(12, dtype=np.float32)) == "0 .. 11"
    assert bins.notes(EXACT) == ()


@pytest.mark.parametrize("steps", [2, 100, 3000])
def test_what_an_average_makes_of_them_is_known(steps):
    values = averaged(steps)
    assert not np.array_equal(values, EXACT)
    assert bins.describe_bins(values) == "0 .. 7, as ppdet's EMA stores them"
    assert bins.notes(values) == ()


def test_after_a_long_training_three_is_not_three():
    """float32 adds up until it no longer moves: a checkpoint of 300 epochs holds this."""
    values = bins._ema_values(tuple(EXACT.tolist()))[-1]
    assert values[3] == pytest.approx(3.000298, abs=1e-6)
    assert bins.describe_bins(values) == "0 .. 7, as ppdet's EMA stores them"


def test_fine_tuning_averages_once_more():
    trained = bins._ema_values(tuple(EXACT.tolist()))[-1]
    assert bins.describe_bins(averaged(500, trained)) == "0 .. 7, as ppdet's EMA stores them, twice"


@pytest.mark.parametrize("factor", [0.9998, 1.0001, 1.00012, 1.001, 1.019])
def test_a_factor_that_no_average_has(factor):
    assert bins.describe_bins(EXACT * np.float32(factor)) is None


@pytest.mark.parametrize(
    "values",
    [EXACT + 1, EXACT[::-1].copy(), EXACT * np.nan, np.where(EXACT == 5, 5.0001, EXACT)],
    ids=["from one", "backwards", "NaN", "one of them"],
)
def test_others(values):
    assert bins.describe_bins(values.astype(np.float32)) is None


def test_the_note_says_which():
    (note,) = bins.notes(EXACT * np.float32(1.019))
    assert "are neither 0 .. 7 nor" in note
    assert "7 is 7.13300037" in note
