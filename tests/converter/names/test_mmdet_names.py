"""The mmdet port's names, against its layers as its source makes them, and against our model."""

from dataclasses import replace

import numpy as np
import pytest

from picodet.config import make_divisible
from picodet.converter.match_tensors import match_tensors
from picodet.converter.names.mmdet_names import (
    FIRST_MMDET,
    MMDET,
    find_table,
    mmdet_table,
    translate_known,
)
from picodet.converter.names.name_tables import name_table
from picodet.converter.names.unmatched_tensors import MMDET_ONLY
from picodet.converter.to_paddle import rename_tensors
from picodet.errors import ConversionError
from picodet.models.picodet import PicoDet
from picodet.zoo.architectures import LCNET_1_0X, S_LCNET, L, M, S

TABLES = {"today": MMDET, "first": FIRST_MMDET}
SMALL_S = replace(S, classes=("a", "b"), input_size=(64, 64))


class Port:
    """Shapes by name as the source of the port has it, one method for each kind of layer.

    Source: mmdet/models of commit d5dbf47, mmcv 1.4's ConvModule and mmdet 2's SELayer.
    """

    def __init__(self, scale, ratios, channels, stacked_convs, classes=80):
        self.tensors = {}
        self.backbone(scale, ratios)
        self.neck([make_divisible(c * scale, 16) for c in (128, 256, 512)], channels)
        self.head(channels, stacked_convs, classes)

    def conv(self, name, out, into, kernel=1):
        """A ConvModule with batch norm."""
        self.tensors[f"{name}.conv.weight"] = (out, into, kernel, kernel)
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            self.tensors[f"{name}.bn.{leaf}"] = (out,)
        self.tensors[f"{name}.bn.num_batches_tracked"] = ()

    def separable(self, name, channels, kernel=5):
        self.conv(f"{name}.depthwise_conv", channels, 1, kernel)
        self.conv(f"{name}.pointwise_conv", channels, channels)

    def biased(self, name, out, into):
        self.tensors |= {f"{name}.weight": (out, into, 1, 1), f"{name}.bias": (out,)}

    def se(self, name, channels):
        self.biased(f"{name}.se.conv1.conv", int(channels / 4), channels)
        self.biased(f"{name}.se.conv2.conv", channels, int(channels / 4))

    def backbone(self, scale, ratios):
        self.conv("backbone.conv1", 24, 3, 3)
        before, ratios = 24, iter(ratios)
        for stage, repeats in ((2, 3), (3, 7), (4, 3)):
            out = make_divisible(64 * scale * 2 ** (stage - 1), 16)
            for i in range(1, repeats + 1):
                name, mid = f"backbone.{stage}_{i}", make_divisible(int(out * next(ratios)), 8)
                half = mid // 2
                if i == 1:
                    self.conv(f"{name}.conv_dw_1", before, 1, 3)
                    self.conv(f"{name}.conv_linear_1", out // 2, before)
                    self.conv(f"{name}.conv_pw_2", half, before)
                    self.conv(f"{name}.conv_dw_2", half, 1, 3)
                    self.se(name, half)
                    self.conv(f"{name}.conv_linear_2", out // 2, half)
                    self.conv(f"{name}.conv_dw_mv1", out, 1, 3)
                    self.conv(f"{name}.conv_pw_mv1", out, out)
                else:
                    self.conv(f"{name}.conv_pw", half, out // 2)
                    self.conv(f"{name}.conv_dw", half, 1, 3)
                    self.se(name, mid)
                    self.conv(f"{name}.conv_linear", out // 2, mid)
            before = out

    def neck(self, channels_in, channels):
        for i, into in enumerate(channels_in):
            self.conv(f"neck.trans.trans.{i}", channels, into)
        for name in ("first_top_conv", "second_top_conv", "downsamples.0", "downsamples.1"):
            self.separable(f"neck.{name}", channels)
        for name in ("top_down_blocks.0", "top_down_blocks.1", "bottom_up_blocks.0"):
            self.csp(f"neck.{name}", channels)
        self.csp("neck.bottom_up_blocks.1", channels)

    def csp(self, name, channels):
        self.conv(f"{name}.main_conv", channels // 2, 2 * channels)
        self.conv(f"{name}.short_conv", channels // 2, 2 * channels)
        self.conv(f"{name}.final_conv", channels, channels)
        self.conv(f"{name}.blocks.0.conv1", channels // 2, channels // 2)
        self.separable(f"{name}.blocks.0.conv2", channels // 2)

    def head(self, channels, stacked_convs, classes):
        for level in range(4):
            for i in range(stacked_convs):
                self.separable(f"bbox_head.cls_convs.{level}.{i}", channels)
            self.biased(f"bbox_head.gfl_cls.{level}", classes + 4 * 8, channels)
        self.tensors["bbox_head.integral.project"] = (8,)


# mmdet/models/backbones/esnet.py, arch_settings
OF_S = (0.875, 0.5, 0.5, 0.5, 0.625, 0.5, 0.625, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
OF_M_AND_L = (0.875, 0.5, 1.0, 0.625, 0.5, 0.75, 0.625, 0.625, 0.5, 0.625, 1.0, 0.625, 0.75)
PORTS = {
    "picodet_s": Port(0.75, OF_S, 96, 2),
    "picodet_m": Port(1.0, OF_M_AND_L, 128, 4),
    "picodet_l": Port(1.25, OF_M_AND_L, 160, 4),
}


def weights_of(config):
    """Numbers of their own for each tensor, and counters that have counted."""
    random = np.random.RandomState(0)
    shapes = {name: tuple(value.shape) for name, value in PicoDet(config).state_dict().items()}
    weights = {name: random.uniform(0, 1, s).astype(np.float32) for name, s in shapes.items()}
    weights["head.integral.project"] = np.arange(8, dtype=np.float32)
    counters = [name for name in weights if name.endswith(".num_batches_tracked")]
    return weights | {name: np.array(i) for i, name in enumerate(counters)}


def shapes_of(arrays):
    return {name: array.shape for name, array in arrays.items()}


# one ConvModule has 6 tensors, an SE 4: 1 stem, 3 first blocks of 7 and 10 others of 3 with an SE
# each; 3 + 2 * 2 + 4 * 6 + 2 * 2 in the neck; 2 of each of 2 or 4 on 4 levels, predictors, bins
@pytest.mark.parametrize(
    ("config", "count"),
    [
        (S, 6 * (1 + 21 + 30) + 13 * 4 + 6 * 35 + 6 * 4 * 4 + 8 + 1),
        (M, 6 * (1 + 21 + 30) + 13 * 4 + 6 * 35 + 6 * 4 * 8 + 8 + 1),
        (L, 6 * (1 + 21 + 30) + 13 * 4 + 6 * 35 + 6 * 4 * 8 + 8 + 1),
    ],
)
def test_the_port_would_load_it_strictly(config, count):
    port = PORTS[config.name].tensors
    table = mmdet_table(config.backbone, config.neck, config.head)
    assert len(port) == count == {"picodet_s": 679}.get(config.name, 775)
    assert shapes_of(rename_tensors(weights_of(config), table)) == port


@pytest.mark.parametrize(
    ("table", "theirs", "ours"),
    [
        ("today", "backbone.conv1.bn.running_var", "backbone.stem.bn.running_var"),
        ("today", "backbone.2_1.se.conv1.conv.bias", "backbone.stage2.block1.se.reduce.bias"),
        (
            *("today", "backbone.4_1.conv_dw_mv1.conv.weight"),
            "backbone.stage4.block1.conv_dw_merge.conv.weight",
        ),
        ("today", "neck.trans.trans.2.conv.weight", "neck.conv_t.convs.2.conv.weight"),
        (
            *("today", "neck.top_down_blocks.1.blocks.0.conv2.pointwise_conv.bn.bias"),
            "neck.top_down_blocks.1.blocks.0.conv2.bn2.bias",
        ),
        (
            *("today", "bbox_head.cls_convs.3.1.depthwise_conv.bn.num_batches_tracked"),
            "head.conv_feat.levels.3.dw1.bn.num_batches_tracked",
        ),
        ("today", "bbox_head.gfl_cls.0.bias", "head.predictors.0.bias"),
        ("today", "bbox_head.integral.project", "head.integral.project"),
        ("first", "backbone._conv1._batch_norm.running_mean", "backbone.stem.bn.running_mean"),
        ("first", "backbone.3_4._se.conv2.weight", "backbone.stage3.block4.se.expand.weight"),
        ("first", "neck.first_top_conv.depthwise_conv.conv.weight", "neck.first_top_conv.dwconv"),
        ("first", "bbox_head.cls_convs.0.1.pwnorm.weight", "head.conv_feat.levels.0.pw1.bn.weight"),
        (
            *("first", "bbox_head.cls_convs.0.1.depthwise.weight"),
            "head.conv_feat.levels.0.dw1.conv.weight",
        ),
    ],
)
def test_by_example(table, theirs, ours):
    found = TABLES[table].to_ours(theirs)
    assert found.name.startswith(ours)
    assert TABLES[table].to_paddle(found.name).name == theirs


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", ["head.gfl_cls.0.bias", "bbox_head", "head", "", "bbox_head."])
def test_names_without_a_tensor(table, name):
    assert TABLES[table].to_ours("head.integral.project") is None
    for translation in (TABLES[table].to_ours(name), TABLES[table].to_paddle(name)):
        assert translation is None or translation.name in ("head", "bbox_head")


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("config", [S, M, L], ids=lambda config: config.name)
def test_every_tensor_has_one_name_and_every_rule_a_tensor(table, config):
    names = PicoDet(config).state_dict()
    there = {name: table.to_paddle(name) for name in names}
    assert len({translation.name for translation in there.values()}) == len(names)
    assert all(table.to_ours(t.name).name == name for name, t in there.items())
    assert frozenset().union(*(t.rules for t in there.values())) == table.rules


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_there_and_back_changes_nothing(table):
    weights = weights_of(SMALL_S)
    there = rename_tensors(weights, table)
    assert find_table(there) is table
    again = match_tensors(there, shapes_of(weights), table, (64, 64), unmatched_rules=MMDET_ONLY)
    assert again.ok
    assert (again.mapped, again.initialized, again.skipped) == (679, (), ())
    for name, value in weights.items():
        assert again.weights[name].tobytes() == value.tobytes()
        assert again.weights[name].dtype == value.dtype


def test_tensors_that_only_the_port_has_are_left_out():
    weights = weights_of(SMALL_S)
    arrays = rename_tensors(weights, FIRST_MMDET)
    arrays |= {f"bbox_head.gfl_reg.{i}.bias": np.ones(32, np.float32) for i in range(4)}
    arrays["bbox_head.p3_feat.scale_reg"] = np.ones(1, np.float32)
    options = {"table": FIRST_MMDET, "input_size": (64, 64), "unmatched_rules": MMDET_ONLY}
    conversion = match_tensors(arrays, shapes_of(weights), **options)
    assert conversion.ok
    assert len(conversion.skipped) == 5
    arrays["bbox_head.gfl_reg.0.bias"] = np.ones(31, np.float32)
    (problem,) = match_tensors(arrays, shapes_of(weights), **options).problems
    assert problem.found == "found [31]; expected 4 x 8 outputs, one per bin and box side"


def test_counters_are_counts():
    weights = weights_of(SMALL_S)
    arrays = rename_tensors(weights, MMDET)
    name = "backbone.conv1.bn.num_batches_tracked"
    for wrong in (np.array(-1), np.array(1.5), np.array([1])):
        (problem,) = match_tensors(
            arrays | {name: wrong}, shapes_of(weights), MMDET, (64, 64), unmatched_rules=MMDET_ONLY
        ).problems
        assert (problem.kind, problem.name, problem.expected) == ("mismatched", name, "[] count")
    del arrays[name]  # as the port's own converter writes it
    assert len(match_tensors(arrays, shapes_of(weights), MMDET, (64, 64)).initialized) == 1


def test_in_ppdets_names_it_can_be_recognized():
    ppdet = name_table(S.backbone, S.neck, S.head)
    arrays = translate_known(rename_tensors(weights_of(SMALL_S), MMDET), MMDET, ppdet)
    assert len(arrays) == 679 - 103
    assert arrays["head.head_cls0.weight"].shape == (2 + 32, 96, 1, 1)


@pytest.mark.parametrize("config", [LCNET_1_0X, S_LCNET])
def test_what_the_port_does_not_have(config):
    with pytest.raises(ConversionError, match="expected one of esnet_x0_75, esnet_x1_0, esnet_x1_"):
        mmdet_table(config.backbone, config.neck, config.head)


def test_other_spellings_are_none_of_the_ports():
    assert find_table(["backbone._conv1._conv.weight", "head.head_cls0.weight"]) is None
    assert find_table(["bbox_head.gfl_cls.0.bias"]) is None
