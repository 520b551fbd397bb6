"""The learning rate of every iteration, composed as in ppdet/optimizer/optimizer.py:34-246.

There a table of rates is made: the warm-up's for iterations 0 .. W - 1, then the cosine's, which
begins at W. The table ends at the last iteration of `decay_epochs`, and a longer training keeps
the last rate.
"""

import math
from collections.abc import Callable

from picodet.training.recipes.schema import Schedule

EXPONENT = 2  # ExpWarmup's power


def learning_rates(schedule: Schedule, steps_per_epoch: int) -> Callable[[int], float]:
    """iteration, from 0 on -> rate. `steps_per_epoch` is the number of whole batches."""
    base = schedule.base_lr
    warmup = max(schedule.warmup_steps or schedule.warmup_epochs * steps_per_epoch, 1)
    total = schedule.decay_epochs * steps_per_epoch
    decay_steps = total - schedule.plateau_epochs * steps_per_epoch
    end = base * schedule.end_ratio

    def warmup_lr(step: int) -> float:
        if schedule.warmup == "exponential":
            return base * (step / warmup) ** EXPONENT
        done = step / warmup
        return base * (schedule.warmup_factor * (1 - done) + done)

    def cosine_lr(step: int) -> float:
        if schedule.per == "epoch":  # from the first epoch on, whatever is warming up
            step = step // steps_per_epoch * steps_per_epoch
            begin = 0
        else:
            begin = warmup
        if step >= decay_steps:
            return end
        cosine = math.cos((step - begin) * math.pi / (decay_steps - begin))
        return end + (base - end) * 0.5 * (cosine + 1)

    def lr(step: int) -> float:
        if step < warmup:
            return warmup_lr(step)
        if warmup >= total:
            return base  # the table ends with the warm-up
        return cosine_lr(min(step, total - 1))

    return lr


def linear_scaling_rule(base_lr: float, recipe_total: int, actual_total: int) -> float:
    """The base rate for another number of images a step (arXiv:1706.02677, section 2.1)."""
    return base_lr * actual_total / recipe_total
