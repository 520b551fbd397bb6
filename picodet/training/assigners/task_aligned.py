"""Task-aligned assignment, which the trainings of 2022 go on with (arXiv:2108.07755).

Mirrors ppdet/modeling/assigners/task_aligned_assigner.py.
"""

import torch
from torch import Tensor

from picodet.ops.boxes import intersection_and_union, least_distance_inside
from picodet.training.assigners.assignment import Assignment, best, in_a_row, one_box_each, taken
from picodet.training.data.batch import Targets
from picodet.training.recipes.schema import TaskAligned

LEAST_UNION = 1e-9  # is added, bbox_utils.py:430-452
LEAST_ALIGNMENT = 1e-9  # is added to what is divided by, task_aligned_assigner.py:189
INSIDE = 1e-9  # pixels that a centre must be inside of a box, assigners/utils.py:116


@torch.no_grad()
def task_aligned(
    scores: Tensor, boxes: Tensor, points: Tensor, targets: Targets, numbers: TaskAligned
) -> Assignment:
    """Cells in the box whose class and box are best together now.

    scores [B, C, A], boxes [B, A, 4] as predicted; points [A, 2], the cells' centres. All lengths
    in pixels. The quality is the alignment, on a scale that ends at the box's best IoU.
    """
    row = in_a_row(targets, boxes.dtype)
    intersection, union = intersection_and_union(row.boxes[:, None], row.of_each(boxes))
    iou = intersection / (union + LEAST_UNION)
    alignment = scores[row.picture, row.classes] ** numbers.alpha * iou**numbers.beta
    inside = least_distance_inside(points, row.boxes[:, None]) > INSIDE
    chosen = best(alignment * inside, numbers.candidates, numbers.candidates) & inside
    box = one_box_each(chosen, iou, row)
    picture, cell, place = taken(box, row)
    aligned, overlap = alignment[place, cell], iou[place, cell]
    most_aligned, most_overlap = (
        values.new_zeros(len(iou)).scatter_reduce(0, place, values, "amax")
        for values in (aligned, overlap)
    )
    quality = torch.zeros_like(boxes[..., 0])
    scaled = aligned / (most_aligned[place] + LEAST_ALIGNMENT) * most_overlap[place]
    quality[picture, cell] = scaled
    return Assignment(box, quality)
