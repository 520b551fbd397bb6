"""PP-LCNet, the backbone of the 2022 PicoDets and of some of 2021 (arXiv:2109.15099, table 1).

Mirrors ppdet/modeling/backbones/lcnet.py of PaddleDetection 666f597: same tree, same order. Its
activations are layers, unlike those of the other backbones.
"""

from typing import NamedTuple

from torch import Tensor, nn

from picodet.config import Activation, LCNetConfig, make_divisible
from picodet.models.layers import BatchNorm2d, hard_sigmoid

ACTIVATION_LAYERS: dict[Activation, type[nn.Module]] = {
    "hardswish": nn.Hardswish,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
}


class Stage(NamedTuple):
    """Blocks with the same number of output channels."""

    channels: int  # at scale 1
    kernels: tuple[int, ...]  # of each block's depthwise convolution
    stride: int = 2  # of the first block
    se: bool = False  # whether the blocks have squeeze-and-excitation


STEM_CHANNELS = 16  # at scale 1
STAGES = (
    Stage(32, (3,), stride=1),
    Stage(64, (3, 3)),
    Stage(128, (3, 3)),
    Stage(256, (3, 5, 5, 5, 5, 5)),
    Stage(512, (5, 5), se=True),
)


class HardSigmoid(nn.Module):
    """picodet.models.layers.hard_sigmoid as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return hard_sigmoid(x)


class ConvBNAct(nn.Sequential):
    """[B, C_in, H, W] -> [B, C_out, H/stride, W/stride]: convolution, batch norm, activation."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int,
        groups: int,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.bn = BatchNorm2d(channels_out)
        self.act = ACTIVATION_LAYERS[activation]()


class SqueezeExcite(nn.Module):
    """picodet.models.layers.SqueezeExcite with its activations as layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.relu = nn.ReLU()
        self.expand = nn.Conv2d(channels // 4, channels, 1)
        self.hard_sigmoid = HardSigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.hard_sigmoid(self.expand(self.relu(self.reduce(self.avg_pool(x)))))


class LCBlock(nn.Sequential):
    """[B, C_in, H, W] -> [B, C_out, H/stride, W/stride]: a depthwise, then a pointwise convolution.

    Mirrors DepthwiseSeparable of lcnet.py:101-132.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int = 1,
        se: bool = False,
        activation: Activation = "hardswish",
    ) -> None:
        super().__init__()
        self.dw_conv = ConvBNAct(channels_in, channels_in, kernel, stride, channels_in, activation)
        if se:
            self.se = SqueezeExcite(channels_in)
        self.pw_conv = ConvBNAct(channels_in, channels_out, 1, 1, 1, activation)


class LCNet(nn.Module):
    """[B, 3, H, W] -> C3 [B, c3, H/8, W/8], C4 [B, c4, H/16, W/16], C5 [B, c5, H/32, W/32]."""

    def __init__(self, config: LCNetConfig) -> None:
        super().__init__()
        widths = STEM_CHANNELS, *(stage.channels for stage in STAGES)
        c0, c1, c2, c3, c4, c5 = (make_divisible(width * config.scale) for width in widths)
        self.channels = (c3, c4, c5)
        self.conv1 = ConvBNAct(3, c0, 3, 2, 1, config.activation)
        self.blocks2 = _blocks(c0, c1, STAGES[0], config.activation)
        self.blocks3 = _blocks(c1, c2, STAGES[1], config.activation)
        self.blocks4 = _blocks(c2, c3, STAGES[2], config.activation)
        self.blocks5 = _blocks(c3, c4, STAGES[3], config.activation)
        self.blocks6 = _blocks(c4, c5, STAGES[4], config.activation)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c2 = self.blocks3(self.blocks2(self.conv1(images)))
        c3 = self.blocks4(c2)
        c4 = self.blocks5(c3)
        c5 = self.blocks6(c4)
        return c3, c4, c5


def _blocks(channels_in: int, channels: int, stage: Stage, activation: Activation) -> nn.Sequential:
    first, *others = stage.kernels
    return nn.Sequential(
        LCBlock(channels_in, channels, first, stage.stride, stage.se, activation),
        *(LCBlock(channels, channels, kernel, 1, stage.se, activation) for kernel in others),
    )
