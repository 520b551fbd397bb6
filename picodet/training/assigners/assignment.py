"""Which cell takes which box: what the assigners give, and what they have in common.

All boxes of a batch stand in a row, so that those of a picture with few cost no more than they are.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from picodet.training.data.batch import Targets

NONE = -1  # the box of a cell that takes none


class Assignment(NamedTuple):
    """What every cell of every picture is to find; A counts them as picodet.ops.anchor_points does."""

    box: Tensor  # [B, A] int64, index of a box among those of the picture; NONE for background
    quality: Tensor  # [B, A], that its score should have; 0 for background


class Row(NamedTuple):
    """The N boxes of a batch, picture after picture."""

    picture: Tensor  # [N] int64
    slot: Tensor  # [N] int64, among the boxes of the picture
    boxes: Tensor  # [N, 4] xyxy, pixels
    classes: Tensor  # [N] int64
    at: Tensor  # [B, G] int64, where in the row a box of Targets is; NONE for padding

    def of_each(self, cells: Tensor) -> Tensor:
        """[B, A, 4] -> [N, A, 4], for every box what belongs to its picture.

        In memory x1 of all comes first, then y1 of all: arithmetic goes through them one by one.
        """
        return cells.movedim(-1, 0).index_select(1, self.picture).movedim(0, -1)


def in_a_row(targets: Targets, dtype: torch.dtype) -> Row:
    """The boxes that there are, in the precision of what they are compared with."""
    picture, slot = targets.valid.nonzero(as_tuple=True)
    at = torch.full_like(targets.classes, NONE)
    at[picture, slot] = torch.arange(len(picture), device=at.device)
    boxes = targets.boxes[picture, slot].to(dtype)
    return Row(picture, slot, boxes, targets.classes[picture, slot], at)


def best(values: Tensor, count: int | Tensor, most: int) -> Tensor:
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


def one_box_each(chosen: Tensor, preference: Tensor, row: Row) -> Tensor:
    """[N, A] bool, which boxes want which cells -> [B, A] int64, the one that each cell takes.

    A cell that several boxes want takes the one of greatest preference [N, A] among all of its
    picture, whether that one wants it or not; of equals the first.
    """
    box = torch.full((len(row.at), chosen.shape[1]), NONE, device=chosen.device)
    wanting, cell = chosen.nonzero(as_tuple=True)
    picture = row.picture[wanting]
    box[picture, cell] = row.slot[wanting]
    wanted = torch.zeros_like(box)
    wanted.index_put_((picture, cell), torch.ones_like(cell), accumulate=True)
    picture, cell = (wanted > 1).nonzero(as_tuple=True)
    rivals = row.at[picture]
    preferences = preference[rivals.clamp(min=0), cell[:, None]]
    box[picture, cell] = preferences.masked_fill(rivals == NONE, -torch.inf).argmax(dim=1)
    return box


def taken(box: Tensor, row: Row) -> tuple[Tensor, Tensor, Tensor]:
    """[B, A], the box that each cell takes -> the cells that take one.

    [n] each, int64: their picture, their cell, and where in the row the box is.
    """
    picture, cell = (box != NONE).nonzero(as_tuple=True)
    return picture, cell, row.at[picture, box[picture, cell]]
