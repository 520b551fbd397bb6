"""MobileNetV3-large, the backbone of one of the 2021 PicoDets (arXiv:1905.02244, table 1).

Mirrors ppdet/modeling/backbones/mobilenet_v3.py of PaddleDetection 666f597: same tree, same order.
"""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from picodet.config import MobileNetV3Config, make_divisible
from picodet.models.layers import Act, ConvBN, SqueezeExcite

HARD_SIGMOID_SLOPE = 0.20000000298023224  # Paddle keeps 0.2 in float32 (mobilenet_v3.py:215)


class Block(NamedTuple):
    """A row of table 1."""

    kernel: int
    expanded: int  # channels of the depthwise convolution at scale 1
    channels: int  # of the output, at scale 1
    se: bool
    act: Act
    stride: int = 1


STEM_CHANNELS = 16  # at scale 1
BLOCKS = (
    Block(3, 16, 16, False, F.relu),
    Block(3, 64, 24, False, F.relu, stride=2),
    Block(3, 72, 24, False, F.relu),
    Block(5, 72, 40, True, F.relu, stride=2),
    Block(5, 120, 40, True, F.relu),
    Block(5, 120, 40, True, F.relu),
    Block(3, 240, 80, False, F.hardswish, stride=2),
    Block(3, 200, 80, False, F.hardswish),
    Block(3, 184, 80, False, F.hardswish),
    Block(3, 184, 80, False, F.hardswish),
    Block(3, 480, 112, True, F.hardswish),
    Block(3, 672, 112, True, F.hardswish),
    Block(5, 672, 160, True, F.hardswish, stride=2),
    Block(5, 960, 160, True, F.hardswish),
    Block(5, 960, 160, True, F.hardswish),
)
FIRST, C3, C4, C5 = 2, 7, 13, 16  # numbers of blocks, which are named conv2 .. conv16


class InvertedBlock(nn.Sequential):
    """[B, C_in, H, W] -> [B, C_out, H/stride, W/stride]: an inverted bottleneck."""

    def __init__(self, channels_in: int, expanded: int, channels_out: int, block: Block) -> None:
        super().__init__()
        self.expand_conv = ConvBN(channels_in, expanded, act=block.act)
        self.bottleneck_conv = ConvBN(
            expanded, expanded, block.kernel, block.stride, expanded, block.act
        )
        if block.se:
            self.se = SqueezeExcite(expanded, HARD_SIGMOID_SLOPE)
        self.linear_conv = ConvBN(expanded, channels_out, act=None)


class ResidualBlock(InvertedBlock):
    """[B, C, H, W] -> same shape, with a residual."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class MobileNetV3(nn.Module):
    """[B, 3, H, W] -> C3 [B, c3, H/8, W/8], C4 [B, c4, H/16, W/16], C5 [B, c5, H/32, W/32]."""

    def __init__(self, config: MobileNetV3Config) -> None:
        super().__init__()
        channels = make_divisible(STEM_CHANNELS * config.scale)
        self.conv1 = ConvBN(3, channels, 3, stride=2)
        for number, block in enumerate(BLOCKS, FIRST):
            channels_in, channels = channels, make_divisible(block.channels * config.scale)
            expanded = make_divisible(block.expanded * config.scale)
            residual = block.stride == 1 and channels_in == channels
            kind = ResidualBlock if residual else InvertedBlock
            self.add_module(f"conv{number}", kind(channels_in, expanded, channels, block))
        ends = (BLOCKS[number - FIRST].channels for number in (C3, C4, C5))
        c3, c4, c5 = (make_divisible(width * config.scale) for width in ends)
        self.channels = (c3, c4, c5)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c3 = self._run(FIRST, C3, self.conv1(images))
        c4 = self._run(C3 + 1, C4, c3)
        c5 = self._run(C4 + 1, C5, c4)
        return c3, c4, c5

    def _run(self, first: int, last: int, x: Tensor) -> Tensor:
        for number in range(first, last + 1):
            x = self.get_submodule(f"conv{number}")(x)
        return x
