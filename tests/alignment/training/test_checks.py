"""Our training against ppdet's own, recorded in float64 (scripts/record/training.py)."""

import pytest
from trained_models import STAGES, align_recorded, verdicts

from scripts.fixtures.trained import TRAINED, training_setup

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", TRAINED)
def test_every_stage_is_ppdets(name):
    comparison = align_recorded(name, training_setup(name))
    assert verdicts(comparison) == dict.fromkeys(STAGES, "aligned"), comparison.stages
    assert comparison.aligned
