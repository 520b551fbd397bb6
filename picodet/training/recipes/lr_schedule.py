"""The learning rate of every iteration, composed as in ppdet/optimizer/optimizer.py:34-246.

ppdet builds a table: warm-up for iterations 0 .. W - 1, then the cosine, which begins at W. The
table ends at the last iteration of `decay_epochs`; a longer training keeps the last learning rate.
"""

import math
from collections.abc import Callable

from picodet.training.recipes.schema import Schedule

EXPONENT = 2  # ExpWarmup's power


def learning_rates(schedule: Schedule, steps_per_epoch: int) -> Callable[[int], float]:
    """Function: iteration, from 0 on -> learning rate. `steps_per_epoch`: full batches only."""
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
        if schedule.per == "epoch":  # counted from the first epoch, warm-up included
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
    """Base learning rate for another number of images per step (arXiv:1706.02677, section 2.1)."""
    return base_lr * actual_total / recipe_total
