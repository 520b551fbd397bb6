"""CSP-PAN, the neck of the 2021 PicoDets (arXiv:2111.00902, section 3.2).

Mirrors ppdet/modeling/necks/csp_pan.py of PaddleDetection 666f597: same tree, same order.
"""

import torch
from torch import Tensor, nn

from picodet.models.layers import ConvBN, DepthwiseSeparable

KERNEL = 5  # of every depthwise convolution


class Bottleneck(nn.Module):
    """[B, C, H, W] -> same, without a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(channels, channels)
        self.conv2 = DepthwiseSeparable(channels, KERNEL)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


class CSPLayer(nn.Module):
    """[B, 2C, H, W] -> [B, C, H, W]: fuses two concatenated levels (CSPNet, arXiv:1911.11929)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main_conv = ConvBN(2 * channels, channels // 2)
        self.short_conv = ConvBN(2 * channels, channels // 2)
        self.final_conv = ConvBN(channels, channels)
        self.blocks = nn.Sequential(Bottleneck(channels // 2))

    def forward(self, x: Tensor) -> Tensor:
        short = self.short_conv(x)
        main = self.blocks(self.main_conv(x))
        return self.final_conv(torch.cat([main, short], dim=1))


class ChannelTransform(nn.Module):
    """Gives the backbone's three levels the same number of channels."""

    def __init__(self, channels_in: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(ConvBN(c, channels) for c in channels_in)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(conv(x) for conv, x in zip(self.convs, features, strict=True))


class CSPPAN(nn.Module):
    """C3, C4, C5 -> P3, P4, P5, P6 [B, channels, H/8 .. H/64, W/8 .. W/64].

    Twice a level is made twice as large, so the sides of the picture must be multiples of 32.
    """

    def __init__(self, channels_in: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        self.conv_t = ChannelTransform(channels_in, channels)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.first_top_conv = DepthwiseSeparable(channels, KERNEL, stride=2)
        self.second_top_conv = DepthwiseSeparable(channels, KERNEL, stride=2)
        self.top_down_blocks = nn.ModuleList(CSPLayer(channels) for _ in range(2))  # P4, P3
        self.downsamples = nn.ModuleList(
            DepthwiseSeparable(channels, KERNEL, stride=2) for _ in range(2)
        )
        self.bottom_up_blocks = nn.ModuleList(CSPLayer(channels) for _ in range(2))  # P4, P5

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
        t3, t4, t5 = self.conv_t(features)

        inner4 = self.top_down_blocks[0](torch.cat([self.upsample(t5), t4], dim=1))
        p3 = self.top_down_blocks[1](torch.cat([self.upsample(inner4), t3], dim=1))

        p4 = self.bottom_up_blocks[0](torch.cat([self.downsamples[0](p3), inner4], dim=1))
        p5 = self.bottom_up_blocks[1](torch.cat([self.downsamples[1](p4), t5], dim=1))

        # from level 5 before any fusion, and from it after all (csp_pan.py:345-349)
        p6 = self.first_top_conv(t5) + self.second_top_conv(p5)
        return p3, p4, p5, p6
