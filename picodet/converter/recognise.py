"""Which PicoDet a checkpoint is, told from the names and shapes of its tensors alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from picodet.config import STRIDES, VARIANTS, ModelConfig
from picodet.converter.rules import CLAS_BACKBONE, PPDET_BACKBONE, NameTable

Shapes = Mapping[str, tuple[int, ...]]

# The last convolution of a stage's first block is [stage channels, stage channels, 1, 1].
PPDET_WIDTHS = [f"backbone.{stage}_1._conv_pw_mv1._conv.weight" for stage in (2, 3, 4)]
CLAS_WIDTHS = [f"backbone.blocks.{block}.concat_pw.conv.weight" for block in (0, 3, 10)]

PROJECT = "head.distribution_project.project"
PREDICTORS = [f"head.head_cls{level}.weight" for level in range(len(STRIDES))]
TOWER = re.compile(r"head\.conv_feat\.cls_conv_dw0\.\d+\.conv\.weight")
MAX_HEAD_CONVS = 16  # four times the deepest official head


@dataclass(frozen=True)
class Recognised:
    """What the tensors tell; the input size and the names of the classes they do not."""

    variant: ModelConfig
    num_classes: int
    head_convs: int
    reg_max: int

    @classmethod
    def of(cls, config: ModelConfig) -> "Recognised":
        """What the tensors of a config would tell."""
        variant = next(variant for variant in VARIANTS if variant.stages == config.stages)
        return cls(variant, len(config.classes), config.head_convs, config.reg_max)

    def __str__(self) -> str:
        return (
            f"{self.variant.name} with {self.num_classes} classes, head depth {self.head_convs} "
            f"and reg_max {self.reg_max}"
        )


def recognise_detector(shapes: Shapes) -> Recognised | None:
    """The detector these tensors belong to, whether or not all of them are there."""
    variant = _variant(shapes, PPDET_WIDTHS)
    if variant is None:
        return None
    # Numbers that a model is built from are taken only where as many weights stand behind them.
    bins = shapes.get(PROJECT, ())
    predictors = [shapes[name] for name in PREDICTORS if len(shapes.get(name, ())) == 4]
    channels = min((shape[0] for shape in predictors), default=0)
    if len(bins) != 1 or not 8 <= 4 * bins[0] < channels:
        bins = (variant.reg_max + 1,)
    num_classes = channels - 4 * bins[0]
    depthwise = (variant.channels, 1, 5, 5)
    depth = sum(TOWER.match(name) is not None and shapes[name] == depthwise for name in shapes)
    return Recognised(
        variant,
        num_classes=num_classes if num_classes > 0 else len(variant.classes),
        head_convs=min(depth, MAX_HEAD_CONVS) or variant.head_convs,
        reg_max=bins[0] - 1,
    )


def recognise_backbone(shapes: Shapes) -> tuple[ModelConfig, NameTable] | None:
    """The ESNet these tensors belong to, and whose names they bear; all begin `backbone.`."""
    for table, names in ((PPDET_BACKBONE, PPDET_WIDTHS), (CLAS_BACKBONE, CLAS_WIDTHS)):
        variant = _variant(shapes, names)
        if variant is not None:
            return variant, table
    return None


def esnet_widths(shapes: Shapes) -> list[int]:
    """Channels of the stages of any ESNet, PicoDet's or another; empty if it is none."""
    found = [shapes[name] for name in PPDET_WIDTHS + CLAS_WIDTHS if name in shapes]
    return [shape[0] for shape in found if len(shape) == 4]


def _variant(shapes: Shapes, names: list[str]) -> ModelConfig | None:
    """The variant that agrees with most of the three named tensors, if any agrees with one."""

    def agreeing(variant: ModelConfig) -> int:
        widths = [stage.channels for stage in variant.stages]
        return sum(shapes.get(name) == (c, c, 1, 1) for name, c in zip(names, widths, strict=True))

    best = max(VARIANTS, key=agreeing)
    return best if agreeing(best) else None
