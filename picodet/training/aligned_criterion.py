"""What the trainings of 2022 minimise (ppdet/modeling/heads/pico_head.py:666-771)."""

from collections.abc import Callable

import torch
from torch import Tensor

from picodet.models.head import AlignedOutput
from picodet.training.assigners.assignment import Assignment
from picodet.training.assigners.atss import atss
from picodet.training.assigners.task_aligned import task_aligned
from picodet.training.data.targets import Targets
from picodet.training.losses import (
    Losses,
    varifocal_of_background_scores,
    varifocal_of_object_scores,
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
from picodet.training.recipes.schema import LossWeights, TaskAligned


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
    assigned = assign(scores, sides, cells, targets, assignment, integral, static)
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
def assign(
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
