"""The training loss of a recipe: assignment, then VFL, GIoU and DFL."""

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor

from picodet.models.head import AnyHeadOutput, HeadOutput, HeadV2Output
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
    AnchorPoints,
    Integral,
    anchor_points_of,
    box_losses,
    flatten_levels,
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
    normalizer: Callable[[Tensor], Tensor],
) -> Losses:
    """Losses of 2021, with SimOTA (ppdet/modeling/heads/simota_head.py).

    normalizer: sum of the positives' weights -> divisor of the box losses. The classification loss
    is divided by this process's own number of positives: ppdet tries to average it over the
    processes, which fails for a plain int.
    """
    anchors = anchor_points_of(output)
    logits, reg = flatten_levels(output.logits), flatten_levels(output.reg)
    assigned = assign_simota(logits, reg, anchors, targets, assignment, integral)
    pos = positives(assigned, targets, anchors)
    own = logits[pos.images, pos.classes, pos.anchors]
    vfl = varifocal_of_background(logits).sum()
    vfl = vfl + (varifocal_of_objects(own, pos.quality) - varifocal_of_background(own)).sum()
    confidence = logits.detach()[pos.images, :, pos.anchors].amax(dim=1).sigmoid()
    giou, dfl = box_losses(reg, pos, confidence, anchors, integral)
    divisor = normalizer(confidence.sum()).clamp(min=1)
    return Losses(
        vfl * weights.vfl / _num_positives(assigned, targets),
        giou * weights.giou / divisor,
        dfl * weights.dfl / divisor,
    )


@torch.no_grad()
def assign_simota(
    logits: Tensor,
    reg: Tensor,
    anchors: AnchorPoints,
    targets: Targets,
    config: SimOTA,
    integral: Integral,
) -> Assignment:
    """logits [B, C, A] and reg [B, 4 * (reg_max + 1), A] of all anchor points."""
    boxes = predicted_boxes(reg, anchors, integral)
    return simota(logits.sigmoid(), boxes, anchors.points, anchors.strides, targets, config)


def _num_positives(assigned: Assignment, targets: Targets) -> Tensor:
    """Number of positives: at least 1 for each image with boxes, and at least 1 in all."""
    per_image = (assigned.box != NONE).sum(dim=1).clamp(min=1)
    return (per_image * targets.valid.any(dim=1)).sum().clamp(min=1)


def aligned_losses(
    output: HeadV2Output,
    targets: Targets,
    assignment: TaskAligned,
    weights: LossWeights,
    integral: Integral,
    normalizer: Callable[[Tensor], Tensor],
    static: bool,
) -> Losses:
    """Losses of 2022 (ppdet/modeling/heads/pico_head.py, PicoHeadV2).

    normalizer: sum of the assigned qualities -> divisor of all three losses. static: assign by
    ATSS, as in the first epochs, instead of task-aligned.
    """
    anchors = anchor_points_of(output)
    scores, reg = flatten_levels(output.scores()), flatten_levels(output.reg)
    assigned = assign_aligned(scores, reg, anchors, targets, assignment, integral, static)
    pos = positives(assigned, targets, anchors)
    own = scores[pos.images, pos.classes, pos.anchors]
    vfl = varifocal_of_background_scores(scores).sum()
    vfl = (
        vfl
        + (varifocal_of_object_scores(own, pos.quality) - varifocal_of_background_scores(own)).sum()
    )
    giou, dfl = box_losses(reg, pos, pos.quality, anchors, integral)
    divisor = normalizer(pos.quality.sum())
    return Losses(
        vfl * weights.vfl / divisor,
        giou * weights.giou / divisor,
        dfl * weights.dfl / divisor,
    )


@torch.no_grad()
def assign_aligned(
    scores: Tensor,
    reg: Tensor,
    anchors: AnchorPoints,
    targets: Targets,
    config: TaskAligned,
    integral: Integral,
    static: bool,
) -> Assignment:
    """scores [B, C, A] and reg [B, 4 * (reg_max + 1), A] of all anchor points."""
    boxes = predicted_boxes(reg, anchors, integral)
    if static:
        return atss(boxes, anchors.points, anchors.strides, anchors.levels, targets, config)
    return task_aligned(scores.detach(), boxes, anchors.points, targets, config)


Criterion = Callable[[AnyHeadOutput, Targets], Losses]
# a process's own sum of weights -> divisor of its losses, before it is clamped to at least 1
Normalizer = Callable[[Tensor], Tensor]


def criterion(
    assignment: SimOTA | TaskAligned,
    weights: LossWeights,
    integral: Integral,
    normalizer: Normalizer,
    world_size: int,
    epoch: int,
) -> Criterion:
    """The loss function of one epoch (counted from 0), which selects the assigner of 2022.

    integral: the head's. As in ppdet, a single process does not clamp the divisor of 2022 to at
    least 1: losses of a batch without positives are not finite (pico_head.py:757-761).
    """
    if isinstance(assignment, SimOTA):
        losses = partial(
            simota_losses,
            assignment=assignment,
            weights=weights,
            integral=integral,
            normalizer=normalizer,
        )
        return cast(Criterion, losses)
    losses = partial(
        aligned_losses,
        assignment=assignment,
        weights=weights,
        integral=integral,
        normalizer=normalizer if world_size == 1 else lambda own: normalizer(own).clamp(min=1),
        static=epoch < assignment.static_epochs,
    )
    return cast(Criterion, losses)
