"""What a training minimises, made of its recipe."""

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor

from picodet.models.head import AlignedOutput, HeadOutput, Output
from picodet.training.assigners.assignment import NONE, Assignment
from picodet.training.assigners.atss import atss
from picodet.training.assigners.simota import simota
from picodet.training.assigners.task_aligned import task_aligned
from picodet.training.data.batch import Targets
from picodet.training.losses import (
    Losses,
    varifocal_of_background,
    varifocal_of_background_scores,
    varifocal_of_object_scores,
    varifocal_of_objects,
)
from picodet.training.positives import (
    Cells,
    Integral,
    box_losses,
    cells_of,
    joined,
    positives,
    predicted_boxes,
)
from picodet.training.recipes.schema import LossWeights, SimOTA, TaskAligned


def simota_losses(
    output: HeadOutput,
    targets: Targets,
    assignment: SimOTA,
    weights: LossWeights,
    integral: Integral,
    normaliser: Callable[[Tensor], Tensor],
) -> Losses:
    """`normaliser` makes of the sum of the positives' weights what the loss of boxes is divided by.

    The loss of classes is divided by this process's own count of positives: ppdet means to average
    it over the processes, and does not, as that fails for a plain int.
    """
    cells = cells_of(output)
    logits, sides = joined(output.logits), joined(output.sides)
    assigned = assign_simota(logits, sides, cells, targets, assignment, integral)
    found = positives(assigned, targets, cells)
    own = logits[found.pictures, found.classes, found.cells]
    varifocal = varifocal_of_background(logits).sum()
    varifocal = (
        varifocal + (varifocal_of_objects(own, found.quality) - varifocal_of_background(own)).sum()
    )
    confidence = logits.detach()[found.pictures, :, found.cells].amax(dim=1).sigmoid()
    boxes, distances = box_losses(sides, found, confidence, cells, integral)
    divisor = normaliser(confidence.sum()).clamp(min=1)
    return Losses(
        varifocal * weights.varifocal / _count(assigned, targets),
        boxes * weights.boxes / divisor,
        distances * weights.sides / divisor,
    )


@torch.no_grad()
def assign_simota(
    logits: Tensor,
    sides: Tensor,
    cells: Cells,
    targets: Targets,
    numbers: SimOTA,
    integral: Integral,
) -> Assignment:
    """logits [B, C, A] and sides [B, 4 * (reg_max + 1), A] of all cells."""
    boxes = predicted_boxes(sides, cells, integral)
    return simota(logits.sigmoid(), boxes, cells.points, cells.strides, targets, numbers)


def _count(assigned: Assignment, targets: Targets) -> Tensor:
    """Of positives; a picture that has boxes counts 1 at least, and all of them together too."""
    per_picture = (assigned.box != NONE).sum(dim=1).clamp(min=1)
    return (per_picture * targets.valid.any(dim=1)).sum().clamp(min=1)


def aligned_losses(
    output: AlignedOutput,
    targets: Targets,
    assignment: TaskAligned,
    weights: LossWeights,
    integral: Integral,
    normaliser: Callable[[Tensor], Tensor],
    static: bool,
) -> Losses:
    """`normaliser` makes of the sum of the assigned scores what all three terms are divided by.

    static: in the first epochs, when cells are assigned by where they lie.
    """
    cells = cells_of(output)
    scores, sides = joined(output.scores()), joined(output.sides)
    assigned = assign_aligned(scores, sides, cells, targets, assignment, integral, static)
    found = positives(assigned, targets, cells)
    own = scores[found.pictures, found.classes, found.cells]
    varifocal = varifocal_of_background_scores(scores).sum()
    varifocal = (
        varifocal
        + (
            varifocal_of_object_scores(own, found.quality) - varifocal_of_background_scores(own)
        ).sum()
    )
    boxes, distances = box_losses(sides, found, found.quality, cells, integral)
    divisor = normaliser(found.quality.sum())
    return Losses(
        varifocal * weights.varifocal / divisor,
        boxes * weights.boxes / divisor,
        distances * weights.sides / divisor,
    )


@torch.no_grad()
def assign_aligned(
    scores: Tensor,
    sides: Tensor,
    cells: Cells,
    targets: Targets,
    numbers: TaskAligned,
    integral: Integral,
    static: bool,
) -> Assignment:
    """scores [B, C, A] and sides [B, 4 * (reg_max + 1), A] of all cells."""
    boxes = predicted_boxes(sides, cells, integral)
    if static:
        return atss(boxes, cells.points, cells.strides, cells.levels, targets, numbers)
    return task_aligned(scores.detach(), boxes, cells.points, targets, numbers)


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
