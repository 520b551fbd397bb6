"""CSP-PAN, the neck of the 2021 PicoDets (arXiv:2111.00902, section 3.2).

Mirrors ppdet/modeling/necks/csp_pan.py of PaddleDetection 666f597: same tree, same order.
"""

import torch
from torch import Tensor, nn

from picodet.models.layers import Act, ConvBN, DepthwiseSeparable
from picodet.models.pan import KERNEL, PathAggregation


class Bottleneck(nn.Module):
    """[B, C, H, W] -> same shape, without a residual."""

    def __init__(self, channels: int, act: Act) -> None:
        super().__init__()
        self.conv1 = ConvBN(channels, channels, act=act)
        self.conv2 = DepthwiseSeparable(channels, KERNEL, act=act)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


class CSPLayer(nn.Module):
    """[B, 2C, H, W] -> [B, C, H, W]: fuses two concatenated levels (CSPNet, arXiv:1911.11929)."""

    def __init__(self, channels: int, act: Act) -> None:
        super().__init__()
        self.main_conv = ConvBN(2 * channels, channels // 2, act=act)
        self.short_conv = ConvBN(2 * channels, channels // 2, act=act)
        self.final_conv = ConvBN(channels, channels, act=act)
        self.blocks = nn.Sequential(Bottleneck(channels // 2, act))

    def forward(self, x: Tensor) -> Tensor:
        short = self.short_conv(x)
        main = self.blocks(self.main_conv(x))
        return self.final_conv(torch.cat([main, short], dim=1))


class CSPPAN(PathAggregation):
    """Path aggregation that fuses levels by CSPLayer; shapes as in PathAggregation."""

    def __init__(self, channels_in: tuple[int, int, int], channels: int, act: Act) -> None:
        super().__init__(channels_in, channels, act, fusion=lambda: CSPLayer(channels, act))
