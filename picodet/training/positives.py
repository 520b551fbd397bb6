"""Flatten the head's feature maps, select the positive anchor points, and their box losses."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from picodet.config import FeatureMapSize
from picodet.models.head import AnyHeadOutput
from picodet.ops.anchor_points import make_anchor_points
from picodet.ops.decode import distances_to_boxes
from picodet.training.assigners.assignment import NONE, Assignment
from picodet.training.data.batch import Targets
from picodet.training.losses import distribution_focal_loss, giou_loss

Integral = Callable[[Tensor], Tensor]  # the head's: [B, 4 * (reg_max + 1), A] -> [B, 4, A]


class AnchorPoints(NamedTuple):
    """The anchor points of an image, level after level."""

    centers: Tensor  # [A, 2] (x, y), in strides of their own level
    strides: Tensor  # [A, 1], pixels
    levels: tuple[FeatureMapSize, ...]

    @property
    def points(self) -> Tensor:
        """[A, 2], the centers in pixels."""
        return self.centers * self.strides


class Positives(NamedTuple):
    """The n positive anchor points of a batch, those with a box."""

    images: Tensor  # [n] int64
    anchors: Tensor  # [n] int64
    classes: Tensor  # [n] int64, of the box
    boxes: Tensor  # [n, 4] xyxy, in strides of the anchor point's level
    quality: Tensor  # [n], of the assignment


def flatten_levels(maps: tuple[Tensor, ...]) -> Tensor:
    """Levels [B, C, h, w] -> [B, C, A]."""
    return torch.cat([level.flatten(2) for level in maps], dim=2)


def anchor_points_of(output: AnyHeadOutput) -> AnchorPoints:
    """The anchor points of a head's output, in its dtype and on its device."""
    first = output.logits[0]
    levels = tuple((level.shape[2], level.shape[3]) for level in output.logits)
    centers, strides = (torch.tensor(array).to(first) for array in make_anchor_points(levels))
    return AnchorPoints(centers, strides, levels)


@torch.no_grad()
def predicted_boxes(reg: Tensor, anchors: AnchorPoints, integral: Integral) -> Tensor:
    """reg [B, 4 * (reg_max + 1), A] -> [B, A, 4] xyxy in pixels, for the assigners."""
    distances = integral(reg).transpose(1, 2)
    return distances_to_boxes(anchors.centers, distances) * anchors.strides


def positives(assignment: Assignment, targets: Targets, anchors: AnchorPoints) -> Positives:
    """The positives of an assignment."""
    images, own = (assignment.box != NONE).nonzero(as_tuple=True)
    index = assignment.box[images, own]
    boxes = targets.boxes[images, index].to(assignment.quality) / anchors.strides[own]
    quality = assignment.quality[images, own]
    return Positives(images, own, targets.classes[images, index], boxes, quality)


def box_losses(
    reg: Tensor, pos: Positives, weights: Tensor, anchors: AnchorPoints, integral: Integral
) -> tuple[Tensor, Tensor]:
    """GIoU loss and distribution focal loss: weighted sums over the positives, not normalized.

    reg [B, 4 * (reg_max + 1), A] logits, weights [n]. Source: simota_head.py:447-460.
    """
    own = reg[pos.images, :, pos.anchors]
    points = anchors.centers[pos.anchors]
    distances = integral(own[:, :, None])[:, :, 0]
    predicted = distances_to_boxes(points[:, None], distances[:, None])[:, 0]
    # as in ppdet, NaN in reg shows even without positives
    boxes = (giou_loss(predicted, pos.boxes) * weights).sum() + reg.sum() * 0
    target_distances = torch.cat([points - pos.boxes[:, :2], pos.boxes[:, 2:] - points], dim=1)
    dfl = distribution_focal_loss(own.unflatten(1, (4, -1)), target_distances)
    return boxes, (dfl.mean(dim=1) * weights).sum()
