"""The models that scripts/record/training.py recorded the training of, held against it."""

from functools import cache

from picodet.alignment.training.align import align_training
from scripts.fixtures import trained
from scripts.fixtures.trained import GOLDEN

RUNGS = [
    *("weights", "assignment", "losses", "gradients", "batch norms", "parameters", "momentum"),
    *("average", "learning rate"),
]
recorded = cache(trained.recorded)


def compared(name, ours):
    return align_training(recorded(name), ours, GOLDEN / f"{name}.npz")


def verdicts(comparison):
    return {rung.name: rung.verdict for rung in comparison.rungs}
