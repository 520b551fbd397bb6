"""The names of the mmdet port of PicoDet, github.com/Bo396543018/Picodet_Pytorch.

It has the three PicoDets of 2021 with ESNet (mmdet/models/backbones/esnet.py, arch_settings) and
no others. Tensors have the same shapes as in ppdet and picodet, and channels the same order
(classes before regression; left, top, right, bottom); nothing is transposed or merged.

Two spellings are in use. The current one has mmcv's layers (commits 31e1b27 to d5dbf47; read and
written); the first one (commit 4377963; read only) has ppdet's names in the backbone and nanodet's
in the head. Both load a plain state_dict, without the version entry of mmdet's other heads.

What differs besides names: the port's hard sigmoid has a slope of 1/6, Paddle's 0.1666667 (1.2e-7
at most); it resizes images linearly, as float32 (interp 1; ppdet: cubic, as uint8); like ppdet 2.3
it keeps 1000 anchor points of each level and clips boxes to the image. Epsilon and momentum of
batch norm, the strides, the bins and the image mean and std are the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from picodet.config import BackboneConfig, Head, Neck
from picodet.converter.names.rules import NameTable, Rule, Translation
from picodet.errors import ConversionError
from picodet.zoo.architectures import ESNET_X0_75, ESNET_X1_0, ESNET_X1_25

MMDET_BACKBONES = (ESNET_X0_75, ESNET_X1_0, ESNET_X1_25)


def same(*names: str) -> tuple[Rule, ...]:
    """Rules for names that are the same on both sides."""
    return tuple(Rule(name, name) for name in names)


WEIGHT_AND_BIAS = same("weight", "bias")
TENSORS = (*WEIGHT_AND_BIAS, *same("running_mean", "running_var", "num_batches_tracked"))

ESNET_BLOCKS = (
    ("conv_dw_1", "conv_dw1"),
    ("conv_linear_1", "conv_linear1"),
    ("conv_pw_2", "conv_pw2"),
    ("conv_dw_2", "conv_dw2"),
    ("conv_linear_2", "conv_linear2"),
    ("conv_dw_mv1", "conv_dw_merge"),
    ("conv_pw_mv1", "conv_pw_merge"),
    ("conv_pw", "conv_pw"),
    ("conv_dw", "conv_dw"),
    ("conv_linear", "conv_linear"),
)

# mmdet/models/backbones/esnet.py and utils/inverted_residual.py; mmdet's own utils/se_layer.py
_SE = (Rule("conv1.conv", "reduce"), Rule("conv2.conv", "expand"), *WEIGHT_AND_BIAS)
ESNET = (
    Rule("conv1", "stem"),
    Rule("{stage}_{block}", "stage{stage}.block{block}"),
    *(Rule(mmdet, torch) for mmdet, torch in ESNET_BLOCKS),
    Rule("se", "se", nested=_SE),
    *same("conv", "bn"),
    *TENSORS,
)
SE_WITHOUT_WRAPPERS = (Rule("conv1", "reduce"), Rule("conv2", "expand"), *WEIGHT_AND_BIAS)
FIRST_ESNET = (
    Rule("_conv1", "stem"),
    Rule("{stage}_{block}", "stage{stage}.block{block}"),
    *(Rule(f"_{mmdet}", torch) for mmdet, torch in ESNET_BLOCKS),
    Rule("_se", "se", nested=SE_WITHOUT_WRAPPERS),
    Rule("_conv", "conv"),
    Rule("_batch_norm", "bn"),
    *TENSORS,
)

# mmdet/models/necks/csp_pan.py and utils/csp_layer.py, the same in both spellings
CSP_PAN = (
    Rule("trans.trans.{i}", "conv_t.convs.{i}"),
    *same("first_top_conv", "second_top_conv"),
    *same("top_down_blocks.{i}", "downsamples.{i}", "bottom_up_blocks.{i}"),
    *same("main_conv", "short_conv", "final_conv", "blocks.{i}", "conv1", "conv2"),
    Rule("depthwise_conv.conv", "dwconv"),
    Rule("depthwise_conv.bn", "bn1"),
    Rule("pointwise_conv.conv", "pwconv"),
    Rule("pointwise_conv.bn", "bn2"),
    *same("conv", "bn"),
    *TENSORS,
)

# mmdet/models/dense_heads/picodet_head.py and gfl_head.py (Integral)
_HEAD = (
    Rule("gfl_cls.{level}", "predictors.{level}"),
    *same("integral", "project"),
    *TENSORS,
)
PICO_HEAD = (
    Rule("cls_convs.{level}.{i}.depthwise_conv", "conv_feat.levels.{level}.dw{i}"),
    Rule("cls_convs.{level}.{i}.pointwise_conv", "conv_feat.levels.{level}.pw{i}"),
    *same("conv", "bn"),
    *_HEAD,
)
FIRST_PICO_HEAD = (
    Rule("cls_convs.{level}.{i}.depthwise", "conv_feat.levels.{level}.dw{i}.conv"),
    Rule("cls_convs.{level}.{i}.dwnorm", "conv_feat.levels.{level}.dw{i}.bn"),
    Rule("cls_convs.{level}.{i}.pointwise", "conv_feat.levels.{level}.pw{i}.conv"),
    Rule("cls_convs.{level}.{i}.pwnorm", "conv_feat.levels.{level}.pw{i}.bn"),
    *_HEAD,
)


class _MMDetTable(NameTable):
    """A table whose `paddle` side, here mmdet's, names the head `bbox_head`."""

    def to_ours(self, path: str) -> Translation | None:
        part, dot, rest = path.partition(".")
        part = {"bbox_head": "head", "head": ""}.get(part, part)
        return super().to_ours(part + dot + rest)

    def to_paddle(self, path: str) -> Translation | None:
        found = super().to_paddle(path)
        part, dot, rest = found.name.partition(".") if found else ("", "", "")
        return found._replace(name="bbox_head" + dot + rest) if found and part == "head" else found


MMDET = _MMDetTable(backbone=ESNET, neck=CSP_PAN, head=PICO_HEAD)
FIRST_MMDET = _MMDetTable(backbone=FIRST_ESNET, neck=CSP_PAN, head=FIRST_PICO_HEAD)


def mmdet_table(backbone: BackboneConfig, neck: Neck, head: Head) -> NameTable:
    """The table of a detector in the port's current spelling, which is its `paddle` side.

    Raises ConversionError for a detector that the port does not have.
    """
    known = [replace(supported, name=backbone.name) for supported in MMDET_BACKBONES]
    if backbone in known and (neck, head) == ("csp_pan", "pico_head"):
        return MMDET
    raise ConversionError(
        f"the mmdet port has no PicoDet of {backbone.name}, {neck} and {head}; expected one of "
        f"{', '.join(supported.name for supported in MMDET_BACKBONES)} with csp_pan and "
        "pico_head: S, M and L of 2021"
    )


def find_table(names: Iterable[str]) -> NameTable | None:
    """The table of the spelling of these names; None if they are not the port's."""
    stems = {"backbone.conv1.conv.weight": MMDET, "backbone._conv1._conv.weight": FIRST_MMDET}
    names = set(names)
    if not any(name.startswith("bbox_head.") for name in names):
        return None
    return next((table for stem, table in stems.items() if stem in names), None)


def translate_known(
    arrays: Mapping[str, np.ndarray], source_table: NameTable, target_table: NameTable
) -> dict[str, np.ndarray]:
    """The arrays that both tables name, by the names of `target_table`, to recognize a model."""
    torch_names = {name: source_table.to_ours(name) for name in arrays}
    targets = {name: target_table.to_paddle(t.name) for name, t in torch_names.items() if t}
    return {target.name: arrays[name] for name, target in targets.items() if target}
