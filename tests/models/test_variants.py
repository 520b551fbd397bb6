"""Every architecture builds, with as many parameters as Paddle's."""

from dataclasses import replace

import pytest
import torch

from picodet.models.head import HeadOutput, HeadV2Output
from picodet.models.picodet import HEADS, NECKS, PicoDet
from picodet.zoo import architectures

# of ppdet's models of 80 classes, run with paddledet 2.6.0
PARAMETERS = {
    architectures.S: 992_719,
    architectures.M: 2_152_558,
    architectures.L: 3_305_013,
    architectures.LCNET_1_0X: 1_830_692,
    architectures.LCNET_1_5X: 3_107_668,
    architectures.LCNET_1_5X_WIDE: 3_499_604,
    architectures.LCNET_2_5X: 7_084_724,
    architectures.LCNET_2_5X_LEAKY_RELU: 7_084_724,
    architectures.MOBILENET: 3_554_666,
    architectures.RESNET: 12_014_500,
    architectures.SHUFFLENET: 1_178_920,
    architectures.XS_LCNET: 704_258,
    architectures.S_LCNET: 1_186_496,
    architectures.M_LCNET: 3_465_320,
    architectures.L_LCNET: 5_804_504,
    architectures.S_NPU: 1_154_048,
}
UNUSED = 4  # one for each level, made by ppdet's GFLHead and called by nobody

BACKBONES = {type(config.backbone): config.backbone for config in architectures.VARIANTS}
OUTPUTS = {"pico_head": HeadOutput, "pico_head_v2": HeadV2Output}


def test_all_variants_are_counted():
    assert tuple(PARAMETERS) == architectures.VARIANTS


@pytest.mark.slow
@pytest.mark.parametrize("config", PARAMETERS, ids=lambda config: config.name)
def test_learnable_parameters(config):
    found = sum(parameter.numel() for parameter in PicoDet(config).parameters())
    assert found == PARAMETERS[config] - UNUSED


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=lambda backbone: backbone.name)
@pytest.mark.parametrize("neck", NECKS)
@pytest.mark.parametrize("head", HEADS)
def test_all_backbones_necks_and_heads_combine(backbone, neck, head):
    config = replace(
        architectures.S, backbone=backbone, neck=neck, head=head, channels=8, activation="relu6"
    )
    with torch.inference_mode():
        output = PicoDet(config).eval()(torch.zeros(1, 3, 32, 64))
    assert isinstance(output, OUTPUTS[head])
    assert [tuple(x.shape[2:]) for x in output.logits] == [(4, 8), (2, 4), (1, 2), (1, 1)]
