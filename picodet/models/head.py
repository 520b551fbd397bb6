"""PicoHead, the head of the 2021 PicoDets (arXiv:2111.00902, section 3.2).

Mirrors ppdet/modeling/heads/pico_head.py of PaddleDetection 666f597: same tree, same order.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from picodet.models.layers import ConvBN

KERNEL = 5  # of every depthwise convolution


class HeadOutput(NamedTuple):
    """What the head says on each level, nothing decoded; h and w are the cells of the level."""

    logits: tuple[Tensor, ...]  # [B, classes, h, w], before the sigmoid
    sides: tuple[Tensor, ...]  # [B, 4 * (reg_max + 1), h, w], before the softmax: l, t, r, b


class Integral(nn.Module):
    """A distribution over 0 .. reg_max for each side of a box -> its mean, in strides.

    sides [B, 4 * (reg_max + 1), A] logits -> [B, 4, A]. The bins' values are loaded like a
    weight: an averaged checkpoint holds them as averaged (generalized focal loss,
    arXiv:2006.04388; ppdet/modeling/heads/gfl_head.py:54-85).
    """

    project: Tensor

    def __init__(self, reg_max: int) -> None:
        super().__init__()
        self.register_buffer("project", torch.linspace(0, reg_max, reg_max + 1))

    def forward(self, sides: Tensor) -> Tensor:
        bins = sides.unflatten(1, (4, len(self.project)))
        return torch.einsum("bsna,n->bsa", bins.softmax(dim=2), self.project)


class PicoFeat(nn.Module):
    """One tower of depthwise-separable blocks per level, shared by classes and boxes."""

    def __init__(self, channels: int, num_convs: int, num_levels: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.ModuleDict(
                {
                    f"{kind}{i}": ConvBN(channels, channels, kernel, groups=groups, act=False)
                    for i in range(num_convs)
                    for kind, kernel, groups in (("dw", KERNEL, channels), ("pw", 1, 1))
                }
            )
            for _ in range(num_levels)
        )

    def forward(self, x: Tensor, level: int) -> Tensor:
        for conv in self.levels[level].children():
            x = F.hardswish(conv(x))  # out here as in ppdet, so that the layers pair one to one
        return x


class PicoHead(nn.Module):
    """P3, P4, P5, P6 [B, channels, h, w] -> HeadOutput."""

    def __init__(
        self, channels: int, num_convs: int, num_classes: int, reg_max: int, num_levels: int
    ) -> None:
        super().__init__()
        self.split = [num_classes, 4 * (reg_max + 1)]
        self.conv_feat = PicoFeat(channels, num_convs, num_levels)
        self.integral = Integral(reg_max)
        self.predictors = nn.ModuleList(
            nn.Conv2d(channels, sum(self.split), 1) for _ in range(num_levels)
        )

    def forward(self, features: tuple[Tensor, ...]) -> HeadOutput:
        logits, sides = [], []
        for level, (x, predictor) in enumerate(zip(features, self.predictors, strict=True)):
            of_classes, of_sides = predictor(self.conv_feat(x, level)).split(self.split, dim=1)
            logits.append(of_classes)
            sides.append(of_sides)
        return HeadOutput(tuple(logits), tuple(sides))
