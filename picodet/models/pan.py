"""The path aggregation that both necks share; they differ in the fusion of two levels.

Mirrors the common part of ppdet/modeling/necks/csp_pan.py:239-349 and lc_pan.py:31-148 of
PaddleDetection 666f597: same tree, same order.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from picodet.models.layers import Act, ConvBN, DepthwiseSeparable

KERNEL = 5  # of every depthwise convolution


class ChannelTransform(nn.Module):
    """C3, C4, C5 [B, c, h, w] -> same sizes with `channels` channels each, by 1x1 convolutions."""

    def __init__(self, channels_in: tuple[int, ...], channels: int, act: Act) -> None:
        super().__init__()
        self.convs = nn.ModuleList(ConvBN(c, channels, act=act) for c in channels_in)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(conv(x) for conv, x in zip(self.convs, features, strict=True))


class PathAggregation(nn.Module):
    """C3, C4, C5 -> P3, P4, P5, P6 [B, channels, H/8 .. H/64, W/8 .. W/64].

    `fusion` makes a layer [B, 2 * channels, h, w] -> [B, channels, h, w]. Two levels
    are upsampled by 2, so height and width of the image must be multiples of 32.
    """

    def __init__(
        self,
        channels_in: tuple[int, int, int],
        channels: int,
        act: Act,
        fusion: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.conv_t = ChannelTransform(channels_in, channels, act)
        self.first_top_conv = DepthwiseSeparable(channels, KERNEL, 2, act)
        self.second_top_conv = DepthwiseSeparable(channels, KERNEL, 2, act)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.top_down_blocks = nn.ModuleList(fusion() for _ in range(2))  # P4, P3
        self.downsamples = nn.ModuleList(
            DepthwiseSeparable(channels, KERNEL, 2, act) for _ in range(2)
        )
        self.bottom_up_blocks = nn.ModuleList(fusion() for _ in range(2))  # P4, P5

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
        t3, t4, t5 = self.conv_t(features)

        inner4 = self.top_down_blocks[0](torch.cat([self.upsample(t5), t4], dim=1))
        p3 = self.top_down_blocks[1](torch.cat([self.upsample(inner4), t3], dim=1))

        p4 = self.bottom_up_blocks[0](torch.cat([self.downsamples[0](p3), inner4], dim=1))
        p5 = self.bottom_up_blocks[1](torch.cat([self.downsamples[1](p4), t5], dim=1))

        # from C5 before any fusion, and from P5 after all (csp_pan.py:345-349)
        p6 = self.first_top_conv(t5) + self.second_top_conv(p5)
        return p3, p4, p5, p6
