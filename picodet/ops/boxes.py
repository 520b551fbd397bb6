"""Intersection, union and enclosing area of boxes.

Boxes are [..., 4] xyxy in any unit of length, with shapes that broadcast. None of the functions
computes an IoU: ppdet treats a division by zero differently in every place.
"""

import torch
from torch import Tensor


def intersection_and_union(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Areas [...] of the intersection and of the union of two boxes."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.unbind(-1), b.unbind(-1)
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)
    intersection = width * height
    return intersection, (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - intersection


def enclosing_area(a: Tensor, b: Tensor) -> Tensor:
    """Area [...] of the smallest box that encloses boxes a and b [..., 4]."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.unbind(-1), b.unbind(-1)
    width = torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)
    height = torch.maximum(ay2, by2) - torch.minimum(ay1, by1)
    return width * height


def min_distance_to_sides(points: Tensor, boxes: Tensor) -> Tensor:
    """Distance [...] of points [..., 2] (x, y) to the nearest side of a box; negative outside."""
    (x, y), (x1, y1, x2, y2) = points.unbind(-1), boxes.unbind(-1)
    across = torch.minimum(x - x1, x2 - x)
    return torch.minimum(across, torch.minimum(y - y1, y2 - y))


def box_centers(boxes: Tensor) -> Tensor:
    """Boxes [..., 4] xyxy -> their centers [..., 2] (x, y)."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2
