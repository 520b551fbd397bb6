"""The models that tools/record_training.py recorded the training of, held against it."""

from functools import cache

import trained
from trained import GOLDEN

from picodet.alignment.training_align import align_training

RUNGS = [
    *("weights", "assignment", "losses", "gradients", "batch norms", "parameters", "momentum"),
    *("average", "learning rate"),
]
recorded = cache(trained.recorded)


def compared(name, ours):
    return align_training(recorded(name), ours, GOLDEN / f"{name}.npz")


def verdicts(comparison):
    return {rung.name: rung.verdict for rung in comparison.rungs}
