"""A few tensors of each PicoDet that no other has, by ppdet's names and with their shapes.

They tell which of them a checkpoint is, also where some are missing or damaged.
"""

from collections.abc import Callable
from functools import lru_cache

from picodet.config import (
    BackboneConfig,
    ESNetConfig,
    LCNetConfig,
    MobileNetV3Config,
    ModelConfig,
    ResNetConfig,
    ShuffleNetV2Config,
    make_divisible,
)

Shape = tuple[int, ...]
Signature = dict[str, Shape]


@lru_cache
def signature(config: ModelConfig) -> Signature:
    """Of the backbone, what the neck makes of its outputs, the neck and the head."""
    c = config.channels
    outputs = OUTPUTS[type(config.backbone)](config.backbone)
    transforms = {
        f"neck.conv_t.convs.{level}.conv.weight": (c, channels, 1, 1)
        for level, channels in enumerate(outputs)
    }
    necks: dict[str, Signature] = {
        "csp_pan": {"neck.top_down_blocks.0.main_conv.conv.weight": (c // 2, 2 * c, 1, 1)},
        "lc_pan": {"neck.top_down_blocks.0.0.dw_conv.conv.weight": (2 * c, 1, 5, 5)},
    }
    bins = config.reg_max + 1
    heads: dict[str, Signature] = {
        "pico_head": {"head.head_cls0.weight": (len(config.classes) + 4 * bins, c, 1, 1)},
        "pico_head_v2": {
            "head.head_reg0.weight": (4 * bins, c, 1, 1),
            "head.cls_align.0.dwconv.weight": (1, c, 5, 5),
        },
    }
    parts = (
        backbone_signature(config.backbone),
        transforms,
        necks[config.neck],
        heads[config.head],
    )
    return {name: shape for part in parts for name, shape in part.items()}


def backbone_signature(backbone: BackboneConfig) -> Signature:
    """One tensor of each of its three last stages."""
    return SIGNATURES[type(backbone)](backbone)


def _esnet(backbone: ESNetConfig) -> Signature:
    return {
        f"backbone.{stage}_1._conv_pw_mv1._conv.weight": (c, c, 1, 1)
        for stage, c in enumerate(_esnet_outputs(backbone), 2)
    }


def _esnet_outputs(backbone: ESNetConfig) -> list[int]:
    return [stage.channels for stage in backbone.stages]


def _lcnet(backbone: LCNetConfig) -> Signature:
    return {
        f"backbone.blocks{stage}.1.pw_conv.conv.weight": (c, c, 1, 1)
        for stage, c in enumerate(_lcnet_outputs(backbone), 4)
    }


def _lcnet_outputs(backbone: LCNetConfig) -> list[int]:
    return [make_divisible(c * backbone.scale) for c in (128, 256, 512)]


def _mobilenet(backbone: MobileNetV3Config) -> Signature:
    blocks = zip((7, 13, 16), (120, 672, 960), _mobilenet_outputs(backbone), strict=True)
    return {
        f"backbone.conv{i}.linear_conv.conv.weight": (c, make_divisible(mid * backbone.scale), 1, 1)
        for i, mid, c in blocks
    }


def _mobilenet_outputs(backbone: MobileNetV3Config) -> list[int]:
    return [make_divisible(c * backbone.scale) for c in (40, 112, 160)]


def _resnet(_: ResNetConfig) -> Signature:
    return {
        f"backbone.res{stage}.res{stage}a.branch2a.conv.weight": (c, c // 2, 3, 3)
        for stage, c in enumerate(RESNET_OUTPUTS, 3)
    }


def _shufflenet(backbone: ShuffleNetV2Config) -> Signature:
    return {
        f"backbone.{stage}_1._conv_linear_2._conv.weight": (c // 2, c // 2, 1, 1)
        for stage, c in enumerate(backbone.channels, 2)
    }


RESNET_OUTPUTS = [128, 256, 512]  # of basic blocks
OUTPUTS: dict[type, Callable[..., list[int]]] = {
    ESNetConfig: _esnet_outputs,
    LCNetConfig: _lcnet_outputs,
    MobileNetV3Config: _mobilenet_outputs,
    ResNetConfig: lambda _: RESNET_OUTPUTS,
    ShuffleNetV2Config: lambda backbone: list(backbone.channels),
}
SIGNATURES: dict[type, Callable[..., Signature]] = {
    ESNetConfig: _esnet,
    LCNetConfig: _lcnet,
    MobileNetV3Config: _mobilenet,
    ResNetConfig: _resnet,
    ShuffleNetV2Config: _shufflenet,
}
