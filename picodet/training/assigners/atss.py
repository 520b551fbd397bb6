"""ATSS (arXiv:1912.02424), the assigner of the first epochs of the models of 2022.

Mirrors ppdet/modeling/assigners/atss_assigner.py: the position of an anchor point decides.
"""

import torch
from torch import Tensor

from picodet.config import FeatureMapSize
from picodet.ops.boxes import box_centers, intersection_and_union, min_distance_to_sides
from picodet.training.assigners.assignment import (
    Assignment,
    assigned_anchors,
    flatten_targets,
    resolve_conflicts,
    top_k_mask,
)
from picodet.training.data.batch import Targets
from picodet.training.recipes.schema import TaskAligned

LEAST_UNION = 1e-10  # added to unions, bbox_utils.py:592-612
LEAST_PREDICTED_UNION = 1e-9  # added to unions, bbox_utils.py:430-452
INSIDE = 1e-9  # least distance of a point to its box's sides, pixels, assigners/utils.py:116


@torch.no_grad()
def atss(
    boxes: Tensor,
    points: Tensor,
    strides: Tensor,
    levels: tuple[FeatureMapSize, ...],
    targets: Targets,
    config: TaskAligned,
) -> Assignment:
    """The nearest anchor points of each level whose anchor square has an IoU above mean + std.

    boxes [B, A, 4] predicted, xyxy; points [A, 2] (x, y); strides [A, 1]; all in pixels. The
    quality is the IoU of the predicted box.
    """
    flat = flatten_targets(targets, boxes.dtype)
    half = config.anchor_size * strides * 0.5
    squares = torch.cat([points - half, points + half], dim=1)
    intersection, union = intersection_and_union(flat.boxes[:, None], squares)
    iou = intersection / (union + LEAST_UNION)
    nearest = _nearest(flat.boxes, points, levels, config.static_candidates)
    # the same number for every box: a rectangle
    fits = iou[nearest].view(len(iou), -1) if len(iou) else iou
    least = fits.mean(dim=1, keepdim=True) + fits.std(dim=1, keepdim=True)
    chosen = nearest & (iou > least)
    chosen &= min_distance_to_sides(points, flat.boxes[:, None]) > INSIDE
    box = resolve_conflicts(chosen, iou, flat)
    image, anchor, gt = assigned_anchors(box, flat)
    intersection, union = intersection_and_union(flat.boxes[gt], boxes[image, anchor])
    quality = torch.zeros_like(boxes[..., 0])
    quality[image, anchor] = intersection / (union + LEAST_PREDICTED_UNION)
    return Assignment(box, quality)


def _nearest(
    boxes: Tensor, points: Tensor, levels: tuple[FeatureMapSize, ...], count: int
) -> Tensor:
    """[N, A] bool: the `count` anchor points of each level nearest to the box's center.

    Of a level with fewer anchor points, all; ppdet raises an error there.
    """
    dx, dy = (box_centers(boxes)[:, None] - points).unbind(2)
    distances = (dx.square() + dy.square()).sqrt()
    per_level = distances.split([h * w for h, w in levels], dim=1)
    return torch.cat([top_k_mask(-level, count, count) for level in per_level], dim=1)
