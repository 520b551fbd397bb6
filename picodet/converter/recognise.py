"""Which PicoDet a checkpoint is, told from the names and shapes of its tensors alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from picodet.config import VARIANTS, ModelConfig
from picodet.converter.rules import CLAS_BACKBONE, PPDET_BACKBONE, NameTable

Shapes = Mapping[str, tuple[int, ...]]

# The last convolution of a stage's first block is [stage channels, stage channels, 1, 1].
PPDET_WIDTHS = [f"backbone.{stage}_1._conv_pw_mv1._conv.weight" for stage in (2, 3, 4)]
CLAS_WIDTHS = [f"backbone.blocks.{block}.concat_pw.conv.weight" for block in (0, 3, 10)]


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
    bins = (shapes.get("head.distribution_project.project") or (variant.reg_max + 1,))[0]
    channels = (shapes.get("head.head_cls0.weight") or (len(variant.classes) + 4 * bins,))[0]
    depth = sum(
        name.startswith("head.conv_feat.cls_conv_dw0.") and name.endswith(".conv.weight")
        for name in shapes
    )
    return Recognised(
        variant,
        num_classes=max(channels - 4 * bins, 1),
        head_convs=depth or variant.head_convs,
        reg_max=max(bins - 1, 1),
    )


def recognise_backbone(shapes: Shapes) -> tuple[ModelConfig, NameTable] | None:
    """The ESNet these tensors belong to, and whose names they bear; all begin `backbone.`."""
    for table, names in ((PPDET_BACKBONE, PPDET_WIDTHS), (CLAS_BACKBONE, CLAS_WIDTHS)):
        variant = _variant(shapes, names)
        if variant is not None:
            return variant, table
    return None


def _variant(shapes: Shapes, names: list[str]) -> ModelConfig | None:
    """The variant that agrees with most of the three named tensors, if any agrees with one."""

    def agreeing(variant: ModelConfig) -> int:
        widths = [stage.channels for stage in variant.stages]
        return sum(shapes.get(name) == (c, c, 1, 1) for name, c in zip(names, widths, strict=True))

    best = max(VARIANTS, key=agreeing)
    return best if agreeing(best) else None
