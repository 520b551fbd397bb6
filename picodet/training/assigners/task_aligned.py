"""Task-aligned assignment (arXiv:2108.07755), the assigner of the models of 2022 after ATSS.

Mirrors ppdet/modeling/assigners/task_aligned_assigner.py.
"""

import torch
from torch import Tensor

from picodet.ops.boxes import intersection_and_union, min_distance_to_sides
from picodet.training.assigners.assignment import (
    Assignment,
    assigned_anchors,
    flatten_targets,
    resolve_conflicts,
    top_k_mask,
)
from picodet.training.data.batch import Targets
from picodet.training.recipes.schema import TaskAligned

LEAST_UNION = 1e-9  # added to unions, bbox_utils.py:430-452
LEAST_ALIGNMENT = 1e-9  # added to the divisor, task_aligned_assigner.py:189
INSIDE = 1e-9  # least distance of a point to its box's sides, pixels, assigners/utils.py:116


@torch.no_grad()
def task_aligned(
    scores: Tensor, boxes: Tensor, points: Tensor, targets: Targets, config: TaskAligned
) -> Assignment:
    """The anchor points in each box with the greatest alignment, score^alpha * IoU^beta.

    scores [B, C, A] probabilities, boxes [B, A, 4] predicted, xyxy; points [A, 2] (x, y); all in
    pixels. The quality is the alignment, scaled so that its greatest is the box's greatest IoU.
    """
    flat = flatten_targets(targets, boxes.dtype)
    intersection, union = intersection_and_union(flat.boxes[:, None], flat.per_box(boxes))
    iou = intersection / (union + LEAST_UNION)
    alignment = scores[flat.image, flat.classes] ** config.alpha * iou**config.beta
    inside = min_distance_to_sides(points, flat.boxes[:, None]) > INSIDE
    chosen = top_k_mask(alignment * inside, config.candidates, config.candidates) & inside
    box = resolve_conflicts(chosen, iou, flat)
    image, anchor, gt = assigned_anchors(box, flat)
    aligned, overlap = alignment[gt, anchor], iou[gt, anchor]
    most_aligned, most_overlap = (
        values.new_zeros(len(iou)).scatter_reduce(0, gt, values, "amax")
        for values in (aligned, overlap)
    )
    quality = torch.zeros_like(boxes[..., 0])
    scaled = aligned / (most_aligned[gt] + LEAST_ALIGNMENT) * most_overlap[gt]
    quality[image, anchor] = scaled
    return Assignment(box, quality)
