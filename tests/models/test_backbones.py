"""All backbones return three feature maps; special cases of each."""

import pytest
import torch
from torch import nn

from picodet.models.lcnet import LCNet
from picodet.models.mobilenet_v3 import InvertedBlock, MobileNetV3, ResidualBlock
from picodet.models.picodet import BACKBONES
from picodet.models.resnet_vd import ResNet
from picodet.zoo.architectures import (
    ESNET_X1_0,
    LCNET_X0_35,
    LCNET_X0_75_RELU6,
    LCNET_X1_0,
    LCNET_X2_0,
    MOBILENET_V3_LARGE,
    RESNET18_VD,
    SHUFFLENET_V2_X1_0,
)

CHANNELS = {
    ESNET_X1_0: (128, 256, 512),
    LCNET_X0_35: (48, 88, 176),
    LCNET_X1_0: (128, 256, 512),
    LCNET_X2_0: (256, 512, 1024),
    MOBILENET_V3_LARGE: (40, 112, 160),
    RESNET18_VD: (128, 256, 512),
    SHUFFLENET_V2_X1_0: (116, 232, 464),
}


@pytest.mark.parametrize("config", CHANNELS, ids=lambda config: config.name)
def test_three_feature_maps(config):
    """Strides 8, 16 and 32; odd sizes are halved and rounded up: 101 -> 51, 26, 13, 7, 4."""
    backbone = BACKBONES[type(config)](config).eval()
    with torch.inference_mode():
        maps = backbone(torch.zeros(2, 3, 101, 64))
    assert backbone.channels == CHANNELS[config]
    sizes = ((13, 8), (7, 4), (4, 2))
    expected = [(2, c, *size) for c, size in zip(CHANNELS[config], sizes, strict=True)]
    assert [tuple(x.shape) for x in maps] == expected


def test_lcnet_squeezes_in_its_last_stage_only():
    blocks = [block for stage in list(LCNet(LCNET_X0_35).children())[1:] for block in stage]
    assert [hasattr(block, "se") for block in blocks] == [False] * 11 + [True] * 2


def test_the_activations_of_lcnet_are_its_configs():
    kinds = {type(layer) for layer in LCNet(LCNET_X0_75_RELU6).modules()}
    assert nn.ReLU6 in kinds
    assert nn.Hardswish not in kinds


def test_mobilenets_shortcuts():
    """Blocks with the same resolution and channels have residuals; the first is conv2."""
    blocks = [b for b in MobileNetV3(MOBILENET_V3_LARGE).children() if isinstance(b, InvertedBlock)]
    residual = [isinstance(block, ResidualBlock) for block in blocks]
    assert [i for i, is_one in enumerate(residual, 2) if is_one] == [
        2,
        4,
        6,
        7,
        9,
        10,
        11,
        13,
        15,
        16,
    ]


def test_mobilenets_squeeze_has_a_slope_of_a_fifth():
    """Means of 1 and an identity expansion: 0.2 + 0.5."""
    se = MobileNetV3(MOBILENET_V3_LARGE).conv5.se
    for conv in (se.reduce, se.expand):
        nn.init.constant_(conv.weight, 1 / conv.in_channels)
        nn.init.zeros_(conv.bias)
    with torch.inference_mode():
        assert se(torch.ones(1, se.reduce.in_channels, 2, 2)).unique().item() == pytest.approx(0.7)


def test_resnets_first_stage_has_no_pooling_in_its_shortcut():
    shortcuts = [stage[0].shortcut for stage in list(ResNet(RESNET18_VD).children())[1:]]
    assert [hasattr(shortcut, "pool") for shortcut in shortcuts] == [False, True, True, True]
