"""Which PicoDet a checkpoint is, told from the names and shapes of its tensors alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from picodet.config import FAMILIES, ModelConfig
from picodet.converter.rules import CLAS_BACKBONE, PPDET_BACKBONE, NameTable

Shape = tuple[int, ...]

# The last convolution of a stage's first block is [stage channels, stage channels, 1, 1].
PPDET_WIDTHS = [f"backbone.{stage}_1._conv_pw_mv1._conv.weight" for stage in (2, 3, 4)]
CLAS_WIDTHS = [f"backbone.blocks.{block}.concat_pw.conv.weight" for block in (0, 3, 10)]


@dataclass(frozen=True)
class Recognised:
    """What the tensors tell; the input size and the names of the classes they do not."""

    family: ModelConfig
    num_classes: int
    head_convs: int
    reg_max: int

    @classmethod
    def of(cls, config: ModelConfig) -> "Recognised":
        """What the tensors of a config would tell."""
        family = next(family for family in FAMILIES if family.stages == config.stages)
        return cls(family, len(config.classes), config.head_convs, config.reg_max)

    def __str__(self) -> str:
        return (
            f"{self.family.name} with {self.num_classes} classes, head depth {self.head_convs} "
            f"and reg_max {self.reg_max}"
        )


def recognise_detector(shapes: Mapping[str, Shape]) -> Recognised | None:
    """The detector these tensors belong to, whether or not all of them are there."""
    family = _family(shapes, PPDET_WIDTHS)
    if family is None:
        return None
    bins = (shapes.get("head.distribution_project.project") or (family.reg_max + 1,))[0]
    channels = (shapes.get("head.head_cls0.weight") or (len(family.classes) + 4 * bins,))[0]
    depth = sum(
        name.startswith("head.conv_feat.cls_conv_dw0.") and name.endswith(".conv.weight")
        for name in shapes
    )
    return Recognised(
        family,
        num_classes=max(channels - 4 * bins, 1),
        head_convs=depth or family.head_convs,
        reg_max=max(bins - 1, 1),
    )


def recognise_backbone(shapes: Mapping[str, Shape]) -> tuple[ModelConfig, NameTable] | None:
    """The ESNet these tensors belong to, and whose names they bear; all begin `backbone.`."""
    for table, names in ((PPDET_BACKBONE, PPDET_WIDTHS), (CLAS_BACKBONE, CLAS_WIDTHS)):
        family = _family(shapes, names)
        if family is not None:
            return family, table
    return None


def _family(shapes: Mapping[str, Shape], names: list[str]) -> ModelConfig | None:
    """The family that agrees with most of the three named tensors, if any agrees with one."""

    def agreeing(family: ModelConfig) -> int:
        widths = [stage.channels for stage in family.stages]
        return sum(shapes.get(name) == (c, c, 1, 1) for name, c in zip(names, widths, strict=True))

    best = max(FAMILIES, key=agreeing)
    return best if agreeing(best) else None
