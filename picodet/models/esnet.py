"""ESNet, the backbone of the 2021 PicoDets (arXiv:2111.00902, section 3.1).

Mirrors ppdet/modeling/backbones/esnet.py of PaddleDetection 666f597: same tree, same order.
"""

import torch
from torch import Tensor, nn

from picodet.config import ESNetConfig, Stage
from picodet.models.layers import ConvBN, SqueezeExcite, channel_shuffle, run_sequentially

STEM_CHANNELS = 24


class DownsampleBlock(nn.Module):
    """[B, C_in, H, W] -> [B, C_out, H/2, W/2]: two branches, then a merging convolution."""

    def __init__(self, channels_in: int, mid_channels: int, channels_out: int) -> None:
        super().__init__()
        mid, half = mid_channels // 2, channels_out // 2
        self.conv_dw1 = ConvBN(channels_in, channels_in, 3, stride=2, groups=channels_in, act=None)
        self.conv_linear1 = ConvBN(channels_in, half)
        self.conv_pw2 = ConvBN(channels_in, mid)
        self.conv_dw2 = ConvBN(mid, mid, 3, stride=2, groups=mid, act=None)
        self.se = SqueezeExcite(mid)
        self.conv_linear2 = ConvBN(mid, half)
        self.conv_dw_merge = ConvBN(channels_out, channels_out, 3, groups=channels_out)
        self.conv_pw_merge = ConvBN(channels_out, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        left = self.conv_linear1(self.conv_dw1(x))
        right = self.conv_linear2(self.se(self.conv_dw2(self.conv_pw2(x))))
        return self.conv_pw_merge(self.conv_dw_merge(torch.cat([left, right], dim=1)))


class ShuffleBlock(nn.Module):
    """[B, C, H, W] -> same shape: half the channels pass unchanged (ghost block)."""

    def __init__(self, channels: int, mid_channels: int) -> None:
        super().__init__()
        half = mid_channels // 2
        self.conv_pw = ConvBN(channels // 2, half)
        self.conv_dw = ConvBN(half, half, 3, groups=half, act=None)
        self.se = SqueezeExcite(mid_channels)
        self.conv_linear = ConvBN(mid_channels, channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        shortcut, branch = x.chunk(2, dim=1)
        branch = self.conv_pw(branch)
        branch = self.se(torch.cat([branch, self.conv_dw(branch)], dim=1))
        return channel_shuffle(torch.cat([shortcut, self.conv_linear(branch)], dim=1))


def _stage(channels_in: int, stage: Stage) -> nn.ModuleDict:
    first, *others = stage.mid_channels
    blocks = nn.ModuleDict({"block1": DownsampleBlock(channels_in, first, stage.channels)})
    for i, mid_channels in enumerate(others, 2):
        blocks[f"block{i}"] = ShuffleBlock(stage.channels, mid_channels)
    return blocks


class ESNet(nn.Module):
    """[B, 3, H, W] -> C3 [B, c3, H/8, W/8], C4 [B, c4, H/16, W/16], C5 [B, c5, H/32, W/32].

    The stages are dictionaries, not nn.Sequential, so that the tree has no layer that ppdet's
    has not. An odd size is halved and rounded up.
    """

    def __init__(self, config: ESNetConfig) -> None:
        super().__init__()
        stage2, stage3, stage4 = config.stages
        self.channels = (stage2.channels, stage3.channels, stage4.channels)
        self.stem = ConvBN(3, STEM_CHANNELS, 3, stride=2)
        self.max_pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage2 = _stage(STEM_CHANNELS, stage2)
        self.stage3 = _stage(stage2.channels, stage3)
        self.stage4 = _stage(stage3.channels, stage4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c2 = self.max_pool(self.stem(images))
        c3 = run_sequentially(self.stage2, c2)
        c4 = run_sequentially(self.stage3, c3)
        c5 = run_sequentially(self.stage4, c4)
        return c3, c4, c5
