"""What a training minimises, made of its recipe."""

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import Tensor

from picodet.models.head import Output
from picodet.training.aligned_criterion import aligned_losses
from picodet.training.data.targets import Targets
from picodet.training.losses import Losses
from picodet.training.positives import Integral
from picodet.training.recipes.schema import LossWeights, SimOTA, TaskAligned
from picodet.training.simota_criterion import simota_losses

Criterion = Callable[[Output, Targets], Losses]
# a process's own sum of weights -> what its losses are divided by, before it is made 1 at least
Normaliser = Callable[[Tensor], Tensor]


def criterion(
    assignment: SimOTA | TaskAligned,
    weights: LossWeights,
    integral: Integral,
    normaliser: Normaliser,
    world_size: int,
    epoch: int,
) -> Criterion:
    """For one epoch, as of which on cells may be assigned in another way; `integral` is the head's.

    One process alone does not make the 2022 normaliser 1 at least, as in ppdet: where a batch has
    no positives its losses are not finite (pico_head.py:757-761).
    """
    if isinstance(assignment, SimOTA):
        losses = partial(
            simota_losses,
            assignment=assignment,
            weights=weights,
            integral=integral,
            normaliser=normaliser,
        )
        return cast(Criterion, losses)
    losses = partial(
        aligned_losses,
        assignment=assignment,
        weights=weights,
        integral=integral,
        normaliser=normaliser if world_size == 1 else lambda own: normaliser(own).clamp(min=1),
        static=epoch < assignment.static_epochs,
    )
    return cast(Criterion, losses)
