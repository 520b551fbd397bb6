"""What a head says of all cells, level after level, and what those say that take a box."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from picodet.models.head import AnyHeadOutput
from picodet.ops.anchor_points import FeatureMapSize, make_anchor_points
from picodet.ops.decode import distances_to_boxes
from picodet.training.assigners.assignment import NONE, Assignment
from picodet.training.data.batch import Targets
from picodet.training.losses import distribution_focal_loss, giou_loss

Integral = Callable[[Tensor], Tensor]  # the head's: [B, 4 * (reg_max + 1), A] -> [B, 4, A]


class AnchorPoints(NamedTuple):
    """Where the cells of a picture lie."""

    centers: Tensor  # [A, 2] (x, y), in strides of their own level
    strides: Tensor  # [A, 1], pixels
    levels: tuple[FeatureMapSize, ...]

    @property
    def points(self) -> Tensor:
        """[A, 2], the centres in pixels."""
        return self.centers * self.strides


class Positives(NamedTuple):
    """The n cells of a batch that take a box."""

    images: Tensor  # [n] int64
    anchors: Tensor  # [n] int64
    classes: Tensor  # [n] int64, of the box
    boxes: Tensor  # [n, 4] xyxy, in strides of the cell's level
    quality: Tensor  # [n], of the assignment


def flatten_levels(maps: tuple[Tensor, ...]) -> Tensor:
    """Levels [B, C, h, w] -> [B, C, A]."""
    return torch.cat([level.flatten(2) for level in maps], dim=2)


def anchor_points_of(output: AnyHeadOutput) -> AnchorPoints:
    """In the precision, and on the device, of the output."""
    first = output.logits[0]
    levels = tuple((level.shape[2], level.shape[3]) for level in output.logits)
    centers, strides = (torch.tensor(array).to(first) for array in make_anchor_points(levels))
    return AnchorPoints(centers, strides, levels)


@torch.no_grad()
def predicted_boxes(sides: Tensor, anchors: AnchorPoints, integral: Integral) -> Tensor:
    """sides [B, 4 * (reg_max + 1), A] -> [B, A, 4] xyxy in pixels, for the assigners."""
    distances = integral(sides).transpose(1, 2)
    return distances_to_boxes(anchors.centers, distances) * anchors.strides


def positives(assignment: Assignment, targets: Targets, anchors: AnchorPoints) -> Positives:
    """What the assigner chose."""
    images, own = (assignment.box != NONE).nonzero(as_tuple=True)
    index = assignment.box[images, own]
    boxes = targets.boxes[images, index].to(assignment.quality) / anchors.strides[own]
    quality = assignment.quality[images, own]
    return Positives(images, own, targets.classes[images, index], boxes, quality)


def box_losses(
    sides: Tensor, pos: Positives, weights: Tensor, anchors: AnchorPoints, integral: Integral
) -> tuple[Tensor, Tensor]:
    """Weighted sums over the positives, not divided by anything: GIoU, and distribution focal.

    sides [B, 4 * (reg_max + 1), A] logits, weights [n]. Source: simota_head.py:447-460.
    """
    own = sides[pos.images, :, pos.anchors]
    points = anchors.centers[pos.anchors]
    distances = integral(own[:, :, None])[:, :, 0]
    predicted = distances_to_boxes(points[:, None], distances[:, None])[:, 0]
    # as in ppdet, sides that are no numbers are seen even where no cell takes a box
    boxes = (giou_loss(predicted, pos.boxes) * weights).sum() + sides.sum() * 0
    target_distances = torch.cat([points - pos.boxes[:, :2], pos.boxes[:, 2:] - points], dim=1)
    dfl = distribution_focal_loss(own.unflatten(1, (4, -1)), target_distances)
    return boxes, (dfl.mean(dim=1) * weights).sum()
