"""Our training against ppdet's own, recorded in float64 (scripts/record/training.py)."""

import pytest
from trained_models import RUNGS, compared, verdicts

from scripts.fixtures.trained import TRAINED, ours


@pytest.mark.parametrize("name", TRAINED)
def test_every_rung_is_ppdets(name):
    comparison = compared(name, ours(name))
    assert verdicts(comparison) == dict.fromkeys(RUNGS, "aligned"), comparison.rungs
    assert comparison.aligned
