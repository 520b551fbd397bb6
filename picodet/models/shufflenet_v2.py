"""ShuffleNetV2, the backbone of one of the 2021 PicoDets (arXiv:1807.11164, table 5).

Mirrors ppdet/modeling/backbones/shufflenet_v2.py of PaddleDetection 666f597: same tree, same
order. The slope of leaky ReLU is 0.01 as in torch: Paddle keeps this number in float64.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from picodet.config import ShuffleNetV2Config
from picodet.models.layers import ConvBN, channel_shuffle, run_sequentially

STEM_CHANNELS = 24
DEPTHS = (4, 8, 4)  # blocks in each stage


class DownsampleBlock(nn.Module):
    """[B, C_in, H, W] -> [B, C_out, H/2, W/2]: two branches, interleaved."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        half = channels_out // 2
        self.conv_dw1 = ConvBN(channels_in, channels_in, 3, 2, groups=channels_in, act=None)
        self.conv_linear1 = ConvBN(channels_in, half, act=F.leaky_relu)
        self.conv_pw2 = ConvBN(channels_in, half, act=F.leaky_relu)
        self.conv_dw2 = ConvBN(half, half, 3, 2, groups=half, act=None)
        self.conv_linear2 = ConvBN(half, half, act=F.leaky_relu)

    def forward(self, x: Tensor) -> Tensor:
        left = self.conv_linear1(self.conv_dw1(x))
        right = self.conv_linear2(self.conv_dw2(self.conv_pw2(x)))
        return channel_shuffle(torch.cat([left, right], dim=1))


class ShuffleBlock(nn.Module):
    """[B, C, H, W] -> same shape: half the channels pass unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv_pw = ConvBN(half, half, act=F.leaky_relu)
        self.conv_dw = ConvBN(half, half, 3, groups=half, act=None)
        self.conv_linear = ConvBN(half, half, act=F.leaky_relu)

    def forward(self, x: Tensor) -> Tensor:
        shortcut, branch = x.chunk(2, dim=1)
        branch = self.conv_linear(self.conv_dw(self.conv_pw(branch)))
        return channel_shuffle(torch.cat([shortcut, branch], dim=1))


def _stage(channels_in: int, channels: int, depth: int) -> nn.ModuleDict:
    blocks = nn.ModuleDict({"block1": DownsampleBlock(channels_in, channels)})
    for i in range(2, depth + 1):
        blocks[f"block{i}"] = ShuffleBlock(channels)
    return blocks


class ShuffleNetV2(nn.Module):
    """[B, 3, H, W] -> C3 [B, c3, H/8, W/8], C4 [B, c4, H/16, W/16], C5 [B, c5, H/32, W/32].

    The stages are dictionaries, not nn.Sequential, so that the tree has no layer that ppdet's
    has not.
    """

    def __init__(self, config: ShuffleNetV2Config) -> None:
        super().__init__()
        self.channels = c3, c4, c5 = config.channels
        self.stem = ConvBN(3, STEM_CHANNELS, 3, stride=2, act=F.leaky_relu)
        self.max_pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage2 = _stage(STEM_CHANNELS, c3, DEPTHS[0])
        self.stage3 = _stage(c3, c4, DEPTHS[1])
        self.stage4 = _stage(c4, c5, DEPTHS[2])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c2 = self.max_pool(self.stem(images))
        c3 = run_sequentially(self.stage2, c2)
        c4 = run_sequentially(self.stage3, c3)
        c5 = run_sequentially(self.stage4, c4)
        return c3, c4, c5
