"""Which cell takes which box: what the assigners give, and what they have in common.

All boxes of a batch stand in a row, so that those of a picture with few cost no more than they are.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from picodet.training.data.batch import Targets

NONE = -1  # the box of a cell that takes none


class Assignment(NamedTuple):
    """The box of each of the A anchor points of each image, in the order of ops.anchor_points."""

    box: Tensor  # [B, A] int64, index of a box among those of the picture; NONE for background
    quality: Tensor  # [B, A], that its score should have; 0 for background


class FlatTargets(NamedTuple):
    """The N boxes of a batch, picture after picture."""

    image: Tensor  # [N] int64
    gt_index: Tensor  # [N] int64, among the boxes of the picture
    boxes: Tensor  # [N, 4] xyxy, pixels
    classes: Tensor  # [N] int64
    rows: Tensor  # [B, G] int64, where in the row a box of Targets is; NONE for padding

    def per_box(self, anchors: Tensor) -> Tensor:
        """[B, A, 4] -> [N, A, 4], for every box what belongs to its picture.

        In memory x1 of all comes first, then y1 of all: arithmetic goes through them one by one.
        """
        return anchors.movedim(-1, 0).index_select(1, self.image).movedim(0, -1)


def flatten_targets(targets: Targets, dtype: torch.dtype) -> FlatTargets:
    """The boxes that there are, in the precision of what they are compared with."""
    image, gt_index = targets.valid.nonzero(as_tuple=True)
    rows = torch.full_like(targets.classes, NONE)
    rows[image, gt_index] = torch.arange(len(image), device=rows.device)
    boxes = targets.boxes[image, gt_index].to(dtype)
    return FlatTargets(image, gt_index, boxes, targets.classes[image, gt_index], rows)


def top_k_mask(values: Tensor, count: int | Tensor, most: int) -> Tensor:
    """[N, A] -> [N, A] bool: the `count` greatest of each line; of equals those that come first.

    count may be [N], of numbers from 1 to `most`. ppdet takes any of those that are equal: it asks
    paddle.topk, whose answer depends on the kernel.
    """
    top = values.topk(min(most, values.shape[1]), dim=1).values
    counts = torch.as_tensor(count, device=values.device).expand(len(values))
    counts = counts.clamp(max=top.shape[1])[:, None]
    least = top.gather(1, counts - 1)
    greater, equal = values > least, values == least
    left = counts - greater.sum(dim=1, keepdim=True)
    return greater | (equal & (equal.cumsum(dim=1) <= left))


def resolve_conflicts(chosen: Tensor, preference: Tensor, flat: FlatTargets) -> Tensor:
    """[N, A] bool, which boxes want which cells -> [B, A] int64, the one that each cell takes.

    A cell that several boxes want takes the one of greatest preference [N, A] among all of its
    picture, whether that one wants it or not; of equals the first.
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
    """[B, A], the box that each cell takes -> the cells that take one.

    [n] each, int64: their picture, their cell, and where in the row the box is.
    """
    image, anchor = (box != NONE).nonzero(as_tuple=True)
    return image, anchor, flat.rows[image, box[image, anchor]]
