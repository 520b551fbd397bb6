"""PicoHeadV2, the head of the 2022 PicoDets.

Mirrors ppdet/modeling/heads/pico_head.py of PaddleDetection 666f597: same tree, same order.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from picodet.models.head import KERNEL, HeadV2Output, Integral, make_towers, run_tower
from picodet.models.layers import Act, BatchNorm2d, ConvBN


class PicoSE(nn.Module):
    """[B, C, h, w] and its channel means [B, C, 1, 1] -> [B, C, h, w], without an activation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)
        self.conv = ConvBN(channels, channels, act=None)

    def forward(self, x: Tensor, means: Tensor) -> Tensor:
        return self.conv(x * torch.sigmoid(self.fc(means)))


class PicoFeatV2(nn.Module):
    """A tower per level, followed by squeeze-and-excitation.

    [B, C, h, w] -> features for the alignment, and those for classes and boxes, of the same shape.
    """

    def __init__(self, channels: int, num_convs: int, num_levels: int, act: Act) -> None:
        super().__init__()
        self.se = nn.ModuleList(PicoSE(channels) for _ in range(num_levels))
        self.levels = make_towers(channels, num_convs, num_levels)
        self.act = act

    def forward(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        x = run_tower(self.levels[level], x, self.act)
        means = F.adaptive_avg_pool2d(x, 1)
        return x, self.act(self.se[level](x, means))


class Alignment(nn.Module):
    """[B, C, h, w] -> [B, 1, h, w] logits: two convolutions, activated between them.

    In ppdet a DPModule with as many groups as outputs, 1: its depthwise convolution is a full
    one (pico_head.py:561-566).
    """

    def __init__(self, channels: int, act: Act) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 1, KERNEL, padding=KERNEL // 2, bias=False)
        self.bn1 = BatchNorm2d(1)
        self.conv2 = nn.Conv2d(1, 1, 1, bias=False)
        self.bn2 = BatchNorm2d(1)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))


class PicoHeadV2(nn.Module):
    """P3, P4, P5, P6 [B, channels, h, w] -> HeadV2Output."""

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
        self.conv_feat = PicoFeatV2(channels, num_convs, num_levels, act)
        self.integral = Integral(reg_max)
        self.alignment = nn.ModuleList(Alignment(channels, act) for _ in range(num_levels))
        self.predictors = nn.ModuleDict(
            {
                f"{kind}{level}": nn.Conv2d(channels, channels_out, 1)
                for level in range(num_levels)
                for kind, channels_out in (("classes", num_classes), ("reg", 4 * (reg_max + 1)))
            }
        )

    def forward(self, features: tuple[Tensor, ...]) -> HeadV2Output:
        logits, reg, alignment = [], [], []
        for level, x in enumerate(features):
            tower, excited = self.conv_feat(x, level)
            logits.append(self.predictors[f"classes{level}"](excited))
            reg.append(self.predictors[f"reg{level}"](excited))
            alignment.append(self.alignment[level](tower))
        return HeadV2Output(tuple(logits), tuple(alignment), tuple(reg))
