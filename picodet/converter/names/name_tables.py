"""The name tables: every difference between Paddle's names and the PyTorch names."""

from functools import cache

from picodet.config import (
    BackboneConfig,
    ESNetConfig,
    Head,
    LCNetConfig,
    MobileNetV3Config,
    Neck,
    ResNetConfig,
    ShuffleNetV2Config,
)
from picodet.converter.names.rules import NameTable, Rule, Translation
from picodet.converter.names.unmatched_tensors import TORCH_ONLY_SUFFIX


def _same(*names: str, has_tensors: bool = True) -> tuple[Rule, ...]:
    return tuple(Rule(name, name, has_tensors) for name in names)


WEIGHT_AND_BIAS = _same("weight", "bias")
TENSORS = (
    *WEIGHT_AND_BIAS,
    Rule("_mean", "running_mean"),
    Rule("_variance", "running_var"),
)
SQUEEZE_EXCITE = (
    *_same("avg_pool", has_tensors=False),
    Rule("conv1", "reduce"),
    Rule("conv2", "expand"),
    *WEIGHT_AND_BIAS,
)

# ppdet/modeling/backbones/shufflenet_v2.py, and esnet.py after it
SHUFFLENET_V2 = (
    Rule("_conv1", "stem"),
    Rule("_max_pool", "max_pool", has_tensors=False),
    Rule("{stage}_{block}", "stage{stage}.block{block}"),
    # the first block of a stage
    Rule("_conv_dw_1", "conv_dw1"),
    Rule("_conv_linear_1", "conv_linear1"),
    Rule("_conv_pw_2", "conv_pw2"),
    Rule("_conv_dw_2", "conv_dw2"),
    Rule("_conv_linear_2", "conv_linear2"),
    # the others
    Rule("_conv_pw", "conv_pw"),
    Rule("_conv_dw", "conv_dw"),
    Rule("_conv_linear", "conv_linear"),
    # both
    Rule("_conv", "conv"),
    Rule("_batch_norm", "bn"),
    *TENSORS,
)
ESNET = (
    *SHUFFLENET_V2,
    Rule("_conv_dw_mv1", "conv_dw_merge"),
    Rule("_conv_pw_mv1", "conv_pw_merge"),
    Rule("_se", "se", nested=SQUEEZE_EXCITE),
)

# ppdet/modeling/backbones/lcnet.py; necks/lc_pan.py has its blocks too
_LCNET_BLOCK = (
    *_same("dw_conv", "pw_conv", "conv", "bn"),
    *_same("act", has_tensors=False),
    *TENSORS,
)
LCNET = (
    *_same("conv1", "blocks{stage}", "{i}"),
    Rule(
        "se",
        "se",
        nested=(
            *SQUEEZE_EXCITE,
            *_same("relu", has_tensors=False),
            Rule("hardsigmoid", "hard_sigmoid", has_tensors=False),
        ),
    ),
    *_LCNET_BLOCK,
)

# ppdet/modeling/backbones/mobilenet_v3.py
MOBILENET_V3 = (
    *_same("conv{i}", "expand_conv", "bottleneck_conv", "linear_conv", "conv", "bn"),
    Rule("mid_se", "se", nested=SQUEEZE_EXCITE),
    *TENSORS,
)

# ppdet/modeling/backbones/resnet.py, with two blocks in a stage
RESNET = (
    *_same("conv1", "conv1_{i}"),
    *_same("res{stage}", "res{stage}a", "res{stage}b", "branch2a", "branch2b"),
    Rule("short", "shortcut"),
    *_same("pool", has_tensors=False),
    *_same("conv"),
    Rule("norm", "bn"),
    *TENSORS,
)

# ppdet/modeling/necks/csp_pan.py and lc_pan.py
_PAN = (
    *_same("upsample", has_tensors=False),
    *_same("conv_t", "convs.{i}", "first_top_conv", "second_top_conv"),
    *_same("top_down_blocks.{i}", "downsamples.{i}", "bottom_up_blocks.{i}"),
    *_same("{i}", "dwconv", "bn1", "pwconv", "bn2"),
)
CSP_PAN = (
    *_PAN,
    *_same("main_conv", "short_conv", "final_conv", "blocks", "conv1", "conv2", "conv", "bn"),
    *TENSORS,
)
LC_PAN = (*_PAN, *_LCNET_BLOCK)

# ppdet/modeling/heads/pico_head.py
_HEAD = (
    *_same("conv_feat"),
    Rule("cls_conv_dw{level}.{i}", "levels.{level}.dw{i}"),
    Rule("cls_conv_pw{level}.{i}", "levels.{level}.pw{i}"),
    *_same("conv"),
    Rule("norm", "bn"),
    Rule("distribution_project", "integral"),
    *_same("project"),
    *TENSORS,
)
PICO_HEAD = (*_HEAD, Rule("head_cls{level}", "predictors.{level}"))
PICO_HEAD_V2 = (
    *_HEAD,
    *_same("se.{level}", "fc"),
    Rule("cls_align.{level}", "alignment.{level}"),
    Rule("dwconv", "conv1"),
    Rule("pwconv", "conv2"),
    *_same("bn1", "bn2"),
    Rule("head_cls{level}", "predictors.classes{level}"),
    Rule("head_reg{level}", "predictors.reg{level}"),
)

# PaddleClas 2.6 ppcls/arch/backbone/legendary_models/esnet.py numbers all blocks in one list and
# names two different layers dw_1, so each kind of block has its own rules.
_CLAS_BLOCKS = [
    (stage, i) for stage, depth in ((2, 3), (3, 7), (4, 3)) for i in range(1, depth + 1)
]
_CLAS_BOTH = (*_same("conv", "bn"), *TENSORS, Rule("se", "se", nested=SQUEEZE_EXCITE))
_CLAS_FIRST = (
    Rule("dw_1", "conv_dw1"),
    Rule("pw_1", "conv_linear1"),
    Rule("pw_2_1", "conv_pw2"),
    Rule("dw_2", "conv_dw2"),
    Rule("pw_2_2", "conv_linear2"),
    Rule("concat_dw", "conv_dw_merge"),
    Rule("concat_pw", "conv_pw_merge"),
    *_CLAS_BOTH,
)
_CLAS_OTHER = (
    Rule("pw_1_1", "conv_pw"),
    Rule("dw_1", "conv_dw"),
    Rule("pw_1_2", "conv_linear"),
    *_CLAS_BOTH,
)
CLAS_ESNET = (
    Rule("conv1", "stem"),
    *(
        Rule(f"blocks.{n}", f"stage{stage}.block{i}", nested=_CLAS_FIRST if i == 1 else _CLAS_OTHER)
        for n, (stage, i) in enumerate(_CLAS_BLOCKS)
    ),
    *_same("conv", "bn"),
    *TENSORS,
)

BACKBONES: dict[type[BackboneConfig], tuple[Rule, ...]] = {
    ESNetConfig: ESNET,
    LCNetConfig: LCNET,
    MobileNetV3Config: MOBILENET_V3,
    ResNetConfig: RESNET,
    ShuffleNetV2Config: SHUFFLENET_V2,
}
NECKS: dict[Neck, tuple[Rule, ...]] = {"csp_pan": CSP_PAN, "lc_pan": LC_PAN}
HEADS: dict[Head, tuple[Rule, ...]] = {"pico_head": PICO_HEAD, "pico_head_v2": PICO_HEAD_V2}

CLAS_BACKBONE = NameTable(backbone=CLAS_ESNET)


@cache
def name_table(backbone: BackboneConfig, neck: Neck, head: Head) -> NameTable:
    """The table of a detector, with ppdet's names as `paddle`."""
    return NameTable(backbone=BACKBONES[type(backbone)], neck=NECKS[neck], head=HEADS[head])


@cache
def backbone_table(backbone: BackboneConfig) -> NameTable:
    """The table of a backbone alone, with ppdet's names as `paddle`."""
    return NameTable(backbone=BACKBONES[type(backbone)])


class IdentityNameTable(NameTable):
    """Translates the PyTorch names of a model to themselves."""

    def __init__(self, table: NameTable) -> None:
        self.rules = table.rules
        self._table = table

    def to_ours(self, path: str) -> Translation | None:
        counted = path.removesuffix(TORCH_ONLY_SUFFIX)
        there = self._table.to_paddle(path if counted == path else counted + ".running_mean")
        return there and Translation(path, there.rules)

    def to_paddle(self, path: str) -> Translation | None:
        return self.to_ours(path)


def identity_table(backbone: BackboneConfig, neck: Neck, head: Head) -> NameTable:
    """The table that translates a detector's PyTorch names to themselves."""
    return IdentityNameTable(name_table(backbone, neck, head))
