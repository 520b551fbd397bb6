"""Faults planted in our training, one at a time; training_faults.py in benchmarks/ has all."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from trained_models import recorded

from picodet.alignment.training.align import align_training
from scripts.fixtures.trained import GOLDEN, training_setup

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
from benchmarks.fault_injection.training_fault_list import FAULTS, GENERATION

pytestmark = pytest.mark.slow

# some of each stage
PLANTED = (
    *("center radius 2.0", "first of several boxes", "biased deviation", "beta 3"),
    *("boxes divided by all positives", "classes divided by summed weights"),
    *("distances up to the last bin", "2022: divided by a mean"),
    *("weight of classes detached", "2022: weight of classes detached"),
    *("unbiased running variance", "running statistics keep a tenth"),
    *("norms of the backbone decay", "Nesterov"),
    *("EMA from parameters", "EMA not corrected", "statistics not in the EMA"),
    *("cosine by epochs", "warm-up from 0"),
)
BY_NAME = {fault.name: fault for fault in FAULTS}


@pytest.mark.parametrize("name", PLANTED)
def test_it_is_found_at_its_stage(name):
    fault = BY_NAME[name]
    generation = GENERATION[fault.run]
    recording = recorded(generation)
    runs = tuple(run for run in recording.runs if run.name == fault.run)
    with fault.planted(training_setup(generation)) as wrong:
        comparison = align_training(
            replace(recording, runs=runs), wrong, GOLDEN / f"{generation}.npz"
        )
    stages = [stage for stage in comparison.stages if stage.verdict == "differs"]
    assert [stage.name for stage in stages][:1] == [fault.stage]
    assert stages[0].findings


def test_a_wrong_weight_decay_is_diagnosed():
    fault = BY_NAME["norms of the neck do not decay"]
    recording = recorded(GENERATION[fault.run])
    runs = tuple(run for run in recording.runs if run.name == fault.run)
    with fault.planted(training_setup(GENERATION[fault.run])) as wrong:
        comparison = align_training(
            replace(recording, runs=runs), wrong, GOLDEN / "training_2021.npz"
        )
    (stage,) = (stage for stage in comparison.stages if stage.name == "parameters")
    assert stage.findings[0].name.startswith("SimOTA: neck.")
    assert stage.findings[0].diagnosis == "weight decay 4e-05 too small"
