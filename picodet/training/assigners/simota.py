"""SimOTA (arXiv:2107.08430, section 2.3), the assigner of the models of 2021.

Mirrors ppdet/modeling/assigners/simota_assigner.py with varifocal loss as classification cost.
"""

import torch
from torch import Tensor

from picodet.ops.boxes import (
    box_centers,
    enclosing_area,
    intersection_and_union,
    min_distance_to_sides,
)
from picodet.training.assigners.assignment import (
    Assignment,
    FlatTargets,
    assigned_anchors,
    flatten_targets,
    resolve_conflicts,
    top_k_mask,
)
from picodet.training.data.batch import Targets
from picodet.training.losses import (
    ALPHA,
    LEAST_LOG,
    varifocal_of_background_scores,
    varifocal_of_object_scores,
)
from picodet.training.recipes.schema import SimOTA

# the cost of an anchor point outside of the box, or far from its center. In float32 the rest of its
# cost is rounded to multiples of 8: most of them cost the same
OUTSIDE_COST = 1e8
LEAST_AREA = 1e-6  # lower bound of unions and enclosing boxes, bbox_utils.py:242-335


@torch.no_grad()
def simota(
    scores: Tensor,
    boxes: Tensor,
    points: Tensor,
    strides: Tensor,
    targets: Targets,
    config: SimOTA,
) -> Assignment:
    """Assign to each box its anchor points of least cost, as many as its greatest IoUs sum up to.

    scores [B, C, A] probabilities, boxes [B, A, 4] predicted, xyxy; points [A, 2] (x, y); strides
    [A, 1]; all lengths in pixels. The quality is the IoU of the predicted box.
    """
    flat = flatten_targets(targets, boxes.dtype)
    iou, cost, candidates = costs(scores, boxes, points, strides, flat, config)
    top = min(config.candidates, iou.shape[1])
    num_positives = iou.where(candidates, 0).topk(top, dim=1).values.sum(dim=1).long().clamp(min=1)
    chosen = top_k_mask(-cost, num_positives, config.candidates) & candidates
    box = resolve_conflicts(chosen, -cost, flat)
    image, anchor, gt = assigned_anchors(box, flat)
    quality = torch.zeros_like(boxes[..., 0])
    quality[image, anchor] = iou[gt, anchor]
    return Assignment(box, quality)


def costs(
    scores: Tensor,
    boxes: Tensor,
    points: Tensor,
    strides: Tensor,
    flat: FlatTargets,
    config: SimOTA,
) -> tuple[Tensor, Tensor, Tensor]:
    """[N, A] each: IoU, cost (infinite except for candidates), and candidates (bool)."""
    near, candidates = _inside_and_near_center(
        points, strides, flat, config.center_radius, len(boxes)
    )
    iou, giou_loss = _iou_and_giou_loss(flat.per_box(boxes), flat.boxes[:, None])
    cost = _class_cost(scores, iou, flat) * config.class_weight
    cost = cost + giou_loss * config.iou_weight + (~near).to(cost) * OUTSIDE_COST
    return iou, cost.masked_fill(~candidates, torch.inf), candidates


def _inside_and_near_center(
    points: Tensor, strides: Tensor, flat: FlatTargets, radius: float, num_images: int
) -> tuple[Tensor, Tensor]:
    """[N, A] bool each: in the box and near its center; in, or near the center of, any box."""
    (x, y), reach = box_centers(flat.boxes)[:, None].unbind(2), radius * strides[:, 0]
    around = torch.stack([x - reach, y - reach, x + reach, y + reach]).movedim(0, -1)
    inside = min_distance_to_sides(points, flat.boxes[:, None]) > 0
    central = min_distance_to_sides(points, around) > 0
    any_box = torch.zeros(num_images, len(points), dtype=torch.int32, device=points.device)
    any_box.index_add_(0, flat.image, (inside | central).int())
    return inside & central, (any_box > 0)[flat.image]


def _iou_and_giou_loss(predicted: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """IoU, and 1 - GIoU."""
    intersection, union = intersection_and_union(predicted, boxes)
    union = union.clamp(min=LEAST_AREA)
    enclosing = enclosing_area(predicted, boxes).clamp(min=LEAST_AREA)
    iou = intersection / union
    return iou, 1 - (iou - (enclosing - union) / enclosing)


def _class_cost(scores: Tensor, iou: Tensor, flat: FlatTargets) -> Tensor:
    """[N, A], the varifocal loss of all classes if the anchor point had this box."""
    # varifocal_of_background_scores without intermediate arrays, 92 MB each at batch size 80
    logs = (1 - scores).log_().clamp_(min=LEAST_LOG)
    background = logs.mul_(scores).mul_(scores).sum(dim=1) * -ALPHA
    own = scores[flat.image, flat.classes]
    others = background[flat.image] - varifocal_of_background_scores(own)
    return others + varifocal_of_object_scores(own, iou)
