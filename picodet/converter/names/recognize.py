"""Recognizes the PicoDet variant of a checkpoint from the names and shapes of its tensors."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from picodet.config import (
    STRIDES,
    BackboneConfig,
    ESNetConfig,
    LCNetConfig,
    MobileNetV3Config,
    ModelConfig,
    ResNetConfig,
    ShuffleNetV2Config,
    make_divisible,
)
from picodet.converter.names.name_tables import CLAS_BACKBONE, backbone_table
from picodet.converter.names.rules import NameTable
from picodet.zoo.architectures import VARIANTS

Shape = tuple[int, ...]
Signature = dict[str, Shape]


@lru_cache
def signature(config: ModelConfig) -> Signature:
    """Shapes of characteristic tensors, by ppdet's names: of backbone, neck and head."""
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
    """The shape of one tensor in each of the three last stages, by ppdet's names."""
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


Shapes = Mapping[str, tuple[int, ...]]

PPDET_PROJECT = "head.distribution_project.project"
PREDICTORS = [f"head.head_cls{level}.weight" for level in range(len(STRIDES))]
TOWER = re.compile(r"head\.conv_feat\.cls_conv_dw0\.\d+\.conv\.weight")
MAX_HEAD_CONVS = 16  # four times the deepest official head
# PaddleClas's ESNet: the last convolution of a stage's first block is [channels, channels, 1, 1]
CLAS_WIDTHS = [f"backbone.blocks.{block}.concat_pw.conv.weight" for block in (0, 3, 10)]
PPDET_WIDTHS = [f"backbone.{stage}_1._conv_pw_mv1._conv.weight" for stage in (2, 3, 4)]


@dataclass(frozen=True)
class RecognizedModel:
    """The parts of a config that the tensors determine: all but input size and class names."""

    variant: ModelConfig
    num_classes: int
    head_convs: int
    reg_max: int

    @classmethod
    def of(cls, config: ModelConfig) -> "RecognizedModel":
        """The parts of this config that tensors determine.

        The variant is the first of those that differ in their activations only.
        """
        variant = next(v for v in VARIANTS if _parts(v) == _parts(config))
        return cls(variant, len(config.classes), config.head_convs, config.reg_max)

    def __str__(self) -> str:
        return (
            f"{self.variant.name} with {self.num_classes} classes, head depth {self.head_convs} "
            f"and reg_max {self.reg_max}"
        )


def _parts(config: ModelConfig) -> tuple[object, ...]:
    """What tells a variant from others by its tensors."""
    backbone = replace(config.backbone, name="")
    if isinstance(backbone, LCNetConfig):
        backbone = replace(backbone, activation="hardswish")
    return backbone, config.neck, config.head, config.channels


def recognize_detector(shapes: Shapes) -> RecognizedModel | None:
    """The detector that these tensors belong to, complete or not; None if there is none."""
    variant = _variant(shapes)
    if variant is None:
        return None
    # Sizes that a model is built from are only taken if as many weights back them.
    bins = shapes.get(PPDET_PROJECT, ())
    predictors = [shapes[name] for name in PREDICTORS if len(shapes.get(name, ())) == 4]
    channels = min((shape[0] for shape in predictors), default=0)
    reg_channels = _num_reg_channels(variant, shapes, channels)
    if len(bins) != 1 or not 8 <= 4 * bins[0] <= reg_channels:
        bins = (variant.reg_max + 1,)
    num_classes = channels - (4 * bins[0] if variant.head == "pico_head" else 0)
    depthwise = (variant.channels, 1, 5, 5)
    depth = sum(TOWER.match(name) is not None and shapes[name] == depthwise for name in shapes)
    return RecognizedModel(
        variant,
        num_classes=num_classes if num_classes > 0 else len(variant.classes),
        head_convs=min(depth, MAX_HEAD_CONVS) or variant.head_convs,
        reg_max=bins[0] - 1,
    )


def recognize_backbone(shapes: Shapes) -> tuple[BackboneConfig, NameTable] | None:
    """The backbone of these tensors, whose names begin `backbone.`, and its name table."""
    backbones = list(dict.fromkeys(variant.backbone for variant in VARIANTS))
    best = max(backbones, key=lambda b: _count_matches(backbone_signature(b), shapes))
    if _count_matches(backbone_signature(best), shapes):
        return best, backbone_table(best)
    renamed = zip(CLAS_WIDTHS, PPDET_WIDTHS, strict=True)
    in_clas = {ppdet: shapes.get(clas, ()) for clas, ppdet in renamed}
    best = max(backbones, key=lambda b: _count_matches(backbone_signature(b), in_clas))
    return (best, CLAS_BACKBONE) if _count_matches(backbone_signature(best), in_clas) else None


def esnet_widths(shapes: Shapes) -> list[int]:
    """Channels of the stages of any ESNet, PicoDet's or another; empty if it is not one."""
    found = [shapes[name] for name in PPDET_WIDTHS + CLAS_WIDTHS if name in shapes]
    return [shape[0] for shape in found if len(shape) == 4]


def _variant(shapes: Shapes) -> ModelConfig | None:
    """The variant with most of its signature present, if any tensor of its backbone is."""

    def agreeing(variant: ModelConfig) -> tuple[int, int]:
        whole = signature(replace(variant, classes=()))
        return _count_matches(whole, shapes), len(whole.keys() & shapes.keys())

    best = max(VARIANTS, key=agreeing)
    return best if _count_matches(backbone_signature(best.backbone), shapes) else None


def _count_matches(expected: Mapping[str, tuple[int, ...]], shapes: Shapes) -> int:
    return sum(shapes.get(name) == shape for name, shape in expected.items())


def _num_reg_channels(variant: ModelConfig, shapes: Shapes, predicted: int) -> int:
    """The largest number of a predictor's channels that could be box regression."""
    if variant.head == "pico_head":
        return predicted - 1  # at least one is of a class
    shape = shapes.get("head.head_reg0.weight", ())
    return shape[0] if len(shape) == 4 else 0
