"""What the trainings of 2021 minimise (ppdet/modeling/heads/simota_head.py:336-500)."""

from collections.abc import Callable

import torch
from torch import Tensor

from picodet.models.head import HeadOutput
from picodet.training.assigners.assignment import NONE, Assignment
from picodet.training.assigners.simota import simota
from picodet.training.data.targets import Targets
from picodet.training.losses import Losses, varifocal_of_background, varifocal_of_objects
from picodet.training.positives import (
    Cells,
    Integral,
    box_losses,
    cells_of,
    joined,
    positives,
    predicted_boxes,
)
from picodet.training.recipes.schema import LossWeights, SimOTA


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
    assigned = assign(logits, sides, cells, targets, assignment, integral)
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
def assign(
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
