"""ResNet-vd of basic blocks, the backbone of one of the 2021 PicoDets.

arXiv:1512.03385, table 1, with the stem and the shortcuts of arXiv:1812.01187, figure 2 (C and D).
Mirrors variant d of ppdet/modeling/backbones/resnet.py of PaddleDetection 666f597: same tree, same
order.
"""

from collections import OrderedDict
from string import ascii_lowercase

from torch import Tensor, nn
from torch.nn import functional as F

from picodet.config import ResNetConfig
from picodet.models.layers import ConvBN

STEM_CHANNELS = 64
CHANNELS = (64, 128, 256, 512)  # of each stage


class BasicBlock(nn.Module):
    """[B, C, H, W] -> same shape: two convolutions with an identity shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch2a = ConvBN(channels, channels, 3, act=F.relu)
        self.branch2b = ConvBN(channels, channels, 3, act=None)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch2b(self.branch2a(x)) + x)


class FirstBlock(nn.Module):
    """[B, C_in, H, W] -> [B, C_out, H/stride, W/stride]: the first of a stage."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.shortcut = _shortcut(channels_in, channels_out, stride)
        self.branch2a = ConvBN(channels_in, channels_out, 3, stride, act=F.relu)
        self.branch2b = ConvBN(channels_out, channels_out, 3, act=None)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch2b(self.branch2a(x)) + self.shortcut(x))


def _shortcut(channels_in: int, channels_out: int, stride: int) -> nn.Module:
    conv = ConvBN(channels_in, channels_out, act=None)
    if stride == 1:
        return conv
    pool = nn.AvgPool2d(stride, ceil_mode=True)
    return nn.Sequential(OrderedDict(pool=pool, conv=conv))


def _stage(number: int, channels_in: int, channels: int, depth: int) -> nn.Sequential:
    """The blocks of a stage, named res2a, res2b .. as in ppdet."""
    first = FirstBlock(channels_in, channels, stride=1 if number == 2 else 2)
    blocks = [first, *(BasicBlock(channels) for _ in range(depth - 1))]
    names = (f"res{number}{letter}" for letter in ascii_lowercase[:depth])
    return nn.Sequential(OrderedDict(zip(names, blocks, strict=True)))


class ResNet(nn.Module):
    """[B, 3, H, W] -> C3 [B, 128, H/8, W/8], C4 [B, 256, H/16, W/16], C5 [B, 512, H/32, W/32]."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        c2, c3, c4, c5 = CHANNELS
        self.channels = (c3, c4, c5)
        half = STEM_CHANNELS // 2
        self.conv1 = nn.Sequential(
            OrderedDict(
                conv1_1=ConvBN(3, half, 3, stride=2, act=F.relu),
                conv1_2=ConvBN(half, half, 3, act=F.relu),
                conv1_3=ConvBN(half, STEM_CHANNELS, 3, act=F.relu),
            )
        )
        self.res2 = _stage(2, STEM_CHANNELS, c2, config.blocks[0])
        self.res3 = _stage(3, c2, c3, config.blocks[1])
        self.res4 = _stage(4, c3, c4, config.blocks[2])
        self.res5 = _stage(5, c4, c5, config.blocks[3])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c2 = self.res2(F.max_pool2d(self.conv1(images), 3, stride=2, padding=1))
        c3 = self.res3(c2)
        c4 = self.res4(c3)
        c5 = self.res5(c4)
        return c3, c4, c5
