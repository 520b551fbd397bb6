"""PicoHead, the head of the 2021 PicoDets (arXiv:2111.00902, section 3.2), and shared parts.

Mirrors ppdet/modeling/heads/pico_head.py of PaddleDetection 666f597: same tree, same order.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from picodet.models.layers import Act, ConvBN

KERNEL = 5  # of every depthwise convolution
SCORE_EPSILON = 1e-9  # under the square root, pico_head.py:37


class HeadOutput(NamedTuple):
    """Raw outputs of PicoHead on each level; h and w are the size of the feature map."""

    logits: tuple[Tensor, ...]  # [B, classes, h, w], before the sigmoid
    reg: tuple[Tensor, ...]  # [B, 4 * (reg_max + 1), h, w], before the softmax: l, t, r, b

    def scores(self) -> tuple[Tensor, ...]:
        """Scores [B, classes, h, w] of each level: the class probabilities."""
        return tuple(logits.sigmoid() for logits in self.logits)


class HeadV2Output(NamedTuple):
    """Raw outputs of PicoHeadV2: those of PicoHead, and the alignment of class and box."""

    logits: tuple[Tensor, ...]  # [B, classes, h, w], before the sigmoid
    alignment: tuple[Tensor, ...]  # [B, 1, h, w], before the sigmoid
    reg: tuple[Tensor, ...]  # [B, 4 * (reg_max + 1), h, w], before the softmax: l, t, r, b

    def scores(self) -> tuple[Tensor, ...]:
        """[B, classes, h, w] on each level: the geometric mean of class score and alignment."""
        return tuple(
            (logits.sigmoid() * alignment.sigmoid() + SCORE_EPSILON).sqrt()
            for logits, alignment in zip(self.logits, self.alignment, strict=True)
        )


AnyHeadOutput = HeadOutput | HeadV2Output


class Integral(nn.Module):
    """A distribution over 0 .. reg_max for each side of a box -> its mean, in strides.

    reg [B, 4 * (reg_max + 1), A] logits -> [B, 4, A]. The bins' values are loaded like a weight, as
    ppdet's EMA changes them (generalized focal loss, arXiv:2006.04388;
    ppdet/modeling/heads/gfl_head.py:54-85).
    """

    project: Tensor

    def __init__(self, reg_max: int) -> None:
        super().__init__()
        # on the meta device arange and linspace import modules for half a second
        self.register_buffer("project", torch.tensor(range(reg_max + 1), dtype=torch.float32))

    def forward(self, reg: Tensor) -> Tensor:
        bins = reg.unflatten(1, (4, len(self.project)))
        return torch.einsum("bsna,n->bsa", bins.softmax(dim=2), self.project)


def make_towers(channels: int, num_convs: int, num_levels: int) -> nn.ModuleList:
    """A tower of convolutions without activations for each level: dw0, pw0, dw1, pw1 .."""
    return nn.ModuleList(
        nn.ModuleDict(
            {
                f"{kind}{i}": ConvBN(channels, channels, kernel, groups=groups, act=None)
                for i in range(num_convs)
                for kind, kernel, groups in (("dw", KERNEL, channels), ("pw", 1, 1))
            }
        )
        for _ in range(num_levels)
    )


def run_tower(tower: nn.Module, x: Tensor, act: Act) -> Tensor:
    """[B, C, h, w] -> same shape, through the convolutions and activations of one level."""
    for conv in tower.children():
        x = act(conv(x))  # outside of `conv` as in ppdet, so that the layers pair one to one
    return x


class PicoFeat(nn.Module):
    """A depthwise-separable tower per level, shared by classes and boxes: [B, C, h, w] -> same."""

    def __init__(
        self, channels: int, num_convs: int, num_levels: int, act: Act = F.hardswish
    ) -> None:
        super().__init__()
        self.levels = make_towers(channels, num_convs, num_levels)
        self.act = act

    def forward(self, x: Tensor, level: int) -> Tensor:
        return run_tower(self.levels[level], x, self.act)


class PicoHead(nn.Module):
    """P3, P4, P5, P6 [B, channels, h, w] -> HeadOutput."""

    def __init__(
        self,
        channels: int,
        num_convs: int,
        num_classes: int,
        reg_max: int,
        num_levels: int,
        act: Act = F.hardswish,
    ) -> None:
        super().__init__()
        self.split = [num_classes, 4 * (reg_max + 1)]
        self.conv_feat = PicoFeat(channels, num_convs, num_levels, act)
        self.integral = Integral(reg_max)
        self.predictors = nn.ModuleList(
            nn.Conv2d(channels, sum(self.split), 1) for _ in range(num_levels)
        )

    def forward(self, features: tuple[Tensor, ...]) -> HeadOutput:
        logits, reg = [], []
        for level, (x, predictor) in enumerate(zip(features, self.predictors, strict=True)):
            logits_level, reg_level = predictor(self.conv_feat(x, level)).split(self.split, dim=1)
            logits.append(logits_level)
            reg.append(reg_level)
        return HeadOutput(tuple(logits), tuple(reg))
