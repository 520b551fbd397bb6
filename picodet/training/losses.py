"""The three losses of PicoDet, of single numbers and boxes; who divides and weights them says so.

Sources: ppdet/modeling/losses/varifocal_loss.py, gfocal_loss.py and iou_loss.py.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from picodet.ops.boxes import enclosing_area, intersection_and_union

ALPHA = 0.75  # of what is no object, in the varifocal loss; its exponent gamma is 2
LEAST_LOG = -100.0  # of a probability, in Paddle's kernel of the cross entropy
STEEPEST = 1e-12  # the probability at which its gradient stops growing
LEAST_AREA = 1e-10  # added to areas that GIoU is divided by, iou_loss.py:75
BELOW_LAST = 0.1  # what a target distance stays below the last bin by, bbox_utils.py:506-525


class Losses(NamedTuple):
    """Scalars as ppdet reports them: each already weighted, and divided by its normaliser."""

    vfl: Tensor
    giou: Tensor
    dfl: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.vfl + self.giou + self.dfl


def varifocal_of_background(logits: Tensor) -> Tensor:
    """Of classes that are not there, element by element.

    The weight, the squared probability, is not detached: the gradient flows through it too.
    """
    return logits.sigmoid().square() * F.logsigmoid(-logits) * -ALPHA


def varifocal_of_objects(logits: Tensor, quality: Tensor) -> Tensor:
    """[n] each, of classes that are there, whose score should be `quality`; 0 counts as not there.

    varifocal_loss.py:31-77.
    """
    there = quality * F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    return torch.where(quality > 0, there, varifocal_of_background(logits))


def varifocal_of_background_scores(scores: Tensor) -> Tensor:
    """varifocal_of_background where there is no logit: the score is a mean of two."""
    return scores.square() * _log(1 - scores) * -ALPHA


def varifocal_of_object_scores(scores: Tensor, quality: Tensor) -> Tensor:
    """varifocal_of_objects where there is no logit."""
    there = quality * _cross_entropy(scores, quality)
    return torch.where(quality > 0, there, varifocal_of_background_scores(scores))


def _cross_entropy(scores: Tensor, quality: Tensor) -> Tensor:
    """Of probabilities. torch's own stops at NaN, and with it a whole GPU."""
    return -(quality * _log(scores) + (1 - quality) * _log(1 - scores))


def _log(x: Tensor) -> Tensor:
    return _Log.apply(x)


class _Log(torch.autograd.Function):
    """As Paddle's cross entropy has it: not less than -100, and not steeper than 1e12."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return x.log().clamp_(min=LEAST_LOG)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (x,) = context.saved_tensors
        return gradient / x.clamp(min=STEEPEST)


def giou_loss(predicted: Tensor, boxes: Tensor) -> Tensor:
    """[..., 4] each, xyxy -> [...]: 1 - GIoU (arXiv:1902.09630)."""
    intersection, union = intersection_and_union(predicted, boxes)
    union = union + LEAST_AREA
    enclosing = enclosing_area(predicted, boxes) + LEAST_AREA
    return 1 - (intersection / union - (enclosing - union) / enclosing)


def distribution_focal_loss(bins: Tensor, distances: Tensor) -> Tensor:
    """bins [..., reg_max + 1] logits, distances [...] in strides -> [...] (arXiv:2006.04388).

    The bins on both sides of the distance should have all the probability, the nearer one more.
    """
    last = bins.shape[-1] - 1
    distances = distances.clamp(min=0, max=last - BELOW_LAST)
    left = distances.long()
    both = torch.stack([left, left + 1], dim=-1)
    to_right = distances - left
    weights = torch.stack([1 - to_right, to_right], dim=-1)
    return -(bins.log_softmax(dim=-1).gather(-1, both) * weights).sum(dim=-1)
