"""Decodes raw head outputs to boxes and scores, in torch."""

from collections.abc import Callable

import torch
from torch import Tensor

from picodet.models.head import AnyHeadOutput
from picodet.ops.anchor_points import make_anchor_points


def decode(output: AnyHeadOutput, integral: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Boxes [B, A, 4] xyxy in pixels of the network's input, and scores [B, C, A].

    The A anchor points are in order of level, then row. `integral` is that of the head.
    Source: ppdet/modeling/heads/pico_head.py:344-392 and 620-664, bbox_utils.py:562-584.
    """
    joined = type(output)(*((torch.cat([x.flatten(2) for x in maps], dim=2),) for maps in output))
    (scores,), (reg,) = joined.scores(), joined.reg
    distances = integral(reg)
    levels = tuple((logits.shape[2], logits.shape[3]) for logits in output.logits)
    centers, strides = (torch.tensor(array).to(distances) for array in make_anchor_points(levels))
    return distances_to_boxes(centers, distances.transpose(1, 2)) * strides, scores


def distances_to_boxes(points: Tensor, distances: Tensor) -> Tensor:
    """points [A, 2] (x, y), distances [B, A, 4] (left, top, right, bottom) -> [B, A, 4] xyxy."""
    left_top, right_bottom = distances.chunk(2, dim=2)
    return torch.cat([points - left_top, points + right_bottom], dim=2)
