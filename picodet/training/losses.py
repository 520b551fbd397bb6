"""The three losses of PicoDet, element by element: varifocal, GIoU, distribution focal.

Sources: ppdet/modeling/losses/varifocal_loss.py, gfocal_loss.py and iou_loss.py.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from picodet.ops.boxes import enclosing_area, intersection_and_union

ALPHA = 0.75  # weight of background in the varifocal loss; its exponent gamma is 2
LEAST_LOG = -100.0  # lower bound of log(probability), in Paddle's cross entropy kernel
STEEPEST = 1e-12  # probability below which the gradient of the log is constant
LEAST_AREA = 1e-10  # added to areas that GIoU is divided by, iou_loss.py:75
BELOW_LAST = 0.1  # bins that a target distance stays below the last one, bbox_utils.py:506-525


class Losses(NamedTuple):
    """Scalars as ppdet logs them: each already weighted and divided by its normalizer."""

    vfl: Tensor
    giou: Tensor
    dfl: Tensor

    @property
    def total(self) -> Tensor:
        """The loss that is minimized."""
        return self.vfl + self.giou + self.dfl


def varifocal_of_background(logits: Tensor) -> Tensor:
    """Varifocal loss of negatives, elementwise: logits -> same shape (arXiv:2008.13367).

    The weight, the squared probability, is not detached: the gradient flows through it too.
    """
    return logits.sigmoid().square() * F.logsigmoid(-logits) * -ALPHA


def varifocal_of_objects(logits: Tensor, quality: Tensor) -> Tensor:
    """Varifocal loss of positives: logits [n] and target scores `quality` [n] -> [n].

    A quality of 0 counts as background (varifocal_loss.py:31-77).
    """
    there = quality * F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    return torch.where(quality > 0, there, varifocal_of_background(logits))


def varifocal_of_background_scores(scores: Tensor) -> Tensor:
    """varifocal_of_background for scores without a logit (PicoHeadV2's are means of two)."""
    return scores.square() * _log(1 - scores) * -ALPHA


def varifocal_of_object_scores(scores: Tensor, quality: Tensor) -> Tensor:
    """varifocal_of_objects for scores without a logit."""
    there = quality * _cross_entropy(scores, quality)
    return torch.where(quality > 0, there, varifocal_of_background_scores(scores))


def _cross_entropy(scores: Tensor, quality: Tensor) -> Tensor:
    """Of probabilities. torch's own asserts on NaN, which leaves a GPU unusable."""
    return -(quality * _log(scores) + (1 - quality) * _log(1 - scores))


def _log(x: Tensor) -> Tensor:
    return _Log.apply(x)


class _Log(torch.autograd.Function):
    """log as in Paddle's cross entropy: at least -100, with a gradient of at most 1e12."""

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

    The target is split between the two bins next to the distance, more to the nearer one.
    """
    last = bins.shape[-1] - 1
    distances = distances.clamp(min=0, max=last - BELOW_LAST)
    left = distances.long()
    both = torch.stack([left, left + 1], dim=-1)
    to_right = distances - left
    weights = torch.stack([1 - to_right, to_right], dim=-1)
    return -(bins.log_softmax(dim=-1).gather(-1, both) * weights).sum(dim=-1)
