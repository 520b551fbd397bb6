"""PicoDet: backbone, neck and head."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from picodet.config import (
    STRIDES,
    BackboneConfig,
    ESNetConfig,
    Head,
    LCNetConfig,
    MobileNetV3Config,
    ModelConfig,
    Neck,
    ResNetConfig,
    ShuffleNetV2Config,
)
from picodet.models.csp_pan import CSPPAN
from picodet.models.esnet import ESNet
from picodet.models.head import AnyHeadOutput, PicoHead
from picodet.models.layers import ACTIVATIONS
from picodet.models.lc_pan import LCPAN
from picodet.models.lcnet import LCNet
from picodet.models.mobilenet_v3 import MobileNetV3
from picodet.models.pico_head_v2 import PicoHeadV2
from picodet.models.resnet_vd import ResNet
from picodet.models.shufflenet_v2 import ShuffleNetV2

Backbone = ESNet | LCNet | MobileNetV3 | ResNet | ShuffleNetV2

# by the type of their config, their only argument
BACKBONES: Mapping[type[BackboneConfig], Callable[[Any], Backbone]] = {
    ESNetConfig: ESNet,
    LCNetConfig: LCNet,
    MobileNetV3Config: MobileNetV3,
    ResNetConfig: ResNet,
    ShuffleNetV2Config: ShuffleNetV2,
}
NECKS: Mapping[Neck, type[CSPPAN | LCPAN]] = {"csp_pan": CSPPAN, "lc_pan": LCPAN}
HEADS: Mapping[Head, type[PicoHead | PicoHeadV2]] = {
    "pico_head": PicoHead,
    "pico_head_v2": PicoHeadV2,
}


class PicoDet(nn.Module):
    """images [B, 3, H, W], preprocessed, H and W multiples of 32 -> the head's raw outputs.

    Layers have the tree and order of PaddleDetection's; picodet.converter.names.name_tables maps
    the names.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        act = ACTIVATIONS[config.activation]
        self.config = config
        self.backbone = BACKBONES[type(config.backbone)](config.backbone)
        self.neck = NECKS[config.neck](self.backbone.channels, config.channels, act)
        self.head = HEADS[config.head](
            config.channels,
            config.head_convs,
            len(config.classes),
            config.reg_max,
            num_levels=len(STRIDES),
            act=act,
        )

    def forward(self, images: Tensor) -> AnyHeadOutput:
        return self.head(self.neck(self.backbone(images)))
