"""Our training against ppdet's own, recorded in float64 (tools/record_training.py)."""

import pytest
from trained import TRAINED, ours
from trained_models import RUNGS, compared, verdicts


@pytest.mark.parametrize("name", TRAINED)
def test_every_rung_is_ppdets(name):
    comparison = compared(name, ours(name))
    assert verdicts(comparison) == dict.fromkeys(RUNGS, "aligned"), comparison.rungs
    assert comparison.aligned
