"""The models whose training scripts/record/training.py recorded, for comparison."""

from functools import cache

from picodet.alignment.training.align import align_training
from scripts.fixtures import trained
from scripts.fixtures.trained import GOLDEN

STAGES = [
    *("weights", "assignment", "losses", "gradients", "batch norms", "parameters", "momentum"),
    *("EMA", "learning rate"),
]
recorded = cache(trained.load_recording)


def align_recorded(name, ours):
    return align_training(recorded(name), ours, GOLDEN / f"{name}.npz")


def verdicts(comparison):
    return {stage.name: stage.verdict for stage in comparison.stages}
