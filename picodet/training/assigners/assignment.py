"""The result of the assigners, and what they have in common.

The boxes of all images are concatenated, so that padding costs nothing.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from picodet.training.data.batch import Targets

NONE = -1  # no box: background, or padding


class Assignment(NamedTuple):
    """The box of each of the A anchor points of each image, in the order of ops.anchor_points."""

    box: Tensor  # [B, A] int64, index of a box among those of the image; NONE for background
    quality: Tensor  # [B, A], target of its score; 0 for background


class FlatTargets(NamedTuple):
    """The N ground-truth boxes of a batch, image after image."""

    image: Tensor  # [N] int64
    gt_index: Tensor  # [N] int64, among the boxes of the image
    boxes: Tensor  # [N, 4] xyxy, pixels
    classes: Tensor  # [N] int64
    rows: Tensor  # [B, G] int64, index among the N of each box of Targets; NONE for padding

    def per_box(self, anchors: Tensor) -> Tensor:
        """[B, A, 4] -> [N, A, 4]: for every box the values of its image.

        In memory all x1 come first, then all y1: arithmetic on one coordinate is contiguous.
        """
        return anchors.movedim(-1, 0).index_select(1, self.image).movedim(0, -1)


def flatten_targets(targets: Targets, dtype: torch.dtype) -> FlatTargets:
    """The valid boxes of a batch; boxes in `dtype`, that of the predictions."""
    image, gt_index = targets.valid.nonzero(as_tuple=True)
    rows = torch.full_like(targets.classes, NONE)
    rows[image, gt_index] = torch.arange(len(image), device=rows.device)
    boxes = targets.boxes[image, gt_index].to(dtype)
    return FlatTargets(image, gt_index, boxes, targets.classes[image, gt_index], rows)


def top_k_mask(values: Tensor, count: int | Tensor, most: int) -> Tensor:
    """[N, A] -> [N, A] bool: the `count` greatest of each row; of equal ones the first.

    count: a number, or [N] int64 from 1 to `most`. ppdet takes any of equal ones: paddle.topk's
    choice depends on the kernel.
    """
    top = values.topk(min(most, values.shape[1]), dim=1).values
    counts = torch.as_tensor(count, device=values.device).expand(len(values))
    counts = counts.clamp(max=top.shape[1])[:, None]
    least = top.gather(1, counts - 1)
    greater, equal = values > least, values == least
    left = counts - greater.sum(dim=1, keepdim=True)
    return greater | (equal & (equal.cumsum(dim=1) <= left))


def resolve_conflicts(chosen: Tensor, preference: Tensor, flat: FlatTargets) -> Tensor:
    """[N, A] bool, anchor points chosen by each box -> [B, A] int64, the box of each anchor point.

    An anchor point chosen by several boxes gets the box of greatest preference [N, A] of its image,
    whether that box chose it or not, as in ppdet; of equal ones the first.
    """
    box = torch.full((len(flat.rows), chosen.shape[1]), NONE, device=chosen.device)
    candidate, anchor = chosen.nonzero(as_tuple=True)
    image = flat.image[candidate]
    box[image, anchor] = flat.gt_index[candidate]
    num_candidates = torch.zeros_like(box)
    num_candidates.index_put_((image, anchor), torch.ones_like(anchor), accumulate=True)
    image, anchor = (num_candidates > 1).nonzero(as_tuple=True)
    rivals = flat.rows[image]
    preferences = preference[rivals.clamp(min=0), anchor[:, None]]
    box[image, anchor] = preferences.masked_fill(rivals == NONE, -torch.inf).argmax(dim=1)
    return box


def assigned_anchors(box: Tensor, flat: FlatTargets) -> tuple[Tensor, Tensor, Tensor]:
    """[B, A], the box of each anchor point or NONE -> the n positives.

    [n] each, int64: image, anchor point, and index of the box among the N of `flat`.
    """
    image, anchor = (box != NONE).nonzero(as_tuple=True)
    return image, anchor, flat.rows[image, box[image, anchor]]
