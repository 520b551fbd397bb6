"""The name tables are bijections, and know every tensor and layer of every model."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from picodet.converter.names.name_tables import (
    BACKBONES,
    CLAS_BACKBONE,
    CLAS_ESNET,
    HEADS,
    NECKS,
    IdentityNameTable,
    backbone_table,
    identity_table,
    name_table,
)
from picodet.converter.names.rules import NameTable
from picodet.converter.names.unmatched_tensors import TORCH_ONLY_SUFFIX
from picodet.models.esnet import ESNet
from picodet.models.picodet import PicoDet
from picodet.zoo.architectures import MOBILENET, RESNET, S_LCNET, SHUFFLENET, VARIANTS, S

PARTS = {
    **{kind.__name__: rules for kind, rules in BACKBONES.items()},
    **NECKS,
    **HEADS,
    "clas_esnet": CLAS_ESNET,
}
numbers = st.integers(0, 120).map(str)


def scopes(rules):
    """All groups of rules among which one is looked for."""
    inner = (group for rule in rules if rule.nested for group in scopes(rule.nested))
    return [rules, *inner]


SCOPES = [scope for rules in PARTS.values() for scope in scopes(rules)]


def table_of(config):
    return name_table(config.backbone, config.neck, config.head)


@st.composite
def paths(draw, rules):
    """A path that the rules can spell, in Paddle's spelling and in ours."""
    paddle, ours = ["part"], ["part"]
    for _ in range(draw(st.integers(1, 6))):
        rule = draw(st.sampled_from(rules))
        fields = {name: draw(numbers) for name in ("stage", "block", "level", "i")}
        paddle.append(rule.paddle.format(**fields))
        ours.append(rule.ours.format(**fields))
        rules = rule.nested or rules
    return ".".join(paddle), ".".join(ours)


@pytest.mark.slow
@pytest.mark.parametrize("rules", PARTS.values(), ids=PARTS)
@given(st.data())
def test_is_a_bijection(rules, data):
    table = NameTable(part=rules)
    (paddle, ours), (other_paddle, other_ours) = (data.draw(paths(rules)) for _ in range(2))
    assert table.to_ours(paddle).name == ours
    assert table.to_paddle(ours).name == paddle
    assert (ours == other_ours) == (paddle == other_paddle)


@pytest.mark.parametrize("rules", SCOPES)
@pytest.mark.parametrize("side", ["paddle", "ours"])
def test_no_two_rules_begin_alike(rules, side):
    """What makes the reading of a path unique: no run of segments is the beginning of another."""
    runs = [getattr(rule, side).split(".") for rule in rules]
    for i, run in enumerate(runs):
        others = runs[:i] + runs[i + 1 :]
        assert not any(other[: len(run)] == run for other in others), run


@pytest.mark.parametrize("rules", SCOPES)
def test_fields_stand_in_the_same_order_on_both_sides(rules):
    def fields(run):
        return [piece.split("}")[0] for piece in run.split("{")[1:]]

    assert all(fields(rule.paddle) == fields(rule.ours) for rule in rules)


@pytest.mark.parametrize(
    ("config", "paddle", "ours"),
    [
        (S, "backbone._conv1._batch_norm._variance", "backbone.stem.bn.running_var"),
        (S, "backbone.2_1", "backbone.stage2.block1"),
        (S, "backbone.2_1._conv_dw_1._conv.weight", "backbone.stage2.block1.conv_dw1.conv.weight"),
        (S, "backbone.4_1._se.conv2.bias", "backbone.stage4.block1.se.expand.bias"),
        (S, "neck.conv_t.convs.2.bn._mean", "neck.conv_t.convs.2.bn.running_mean"),
        (S, "head.conv_feat.cls_conv_pw3.1.norm.weight", "head.conv_feat.levels.3.pw1.bn.weight"),
        (S, "head.head_cls0.bias", "head.predictors.0.bias"),
        (S, "head.distribution_project.project", "head.integral.project"),
        (S_LCNET, "backbone.conv1.act", "backbone.conv1.act"),
        (S_LCNET, "backbone.blocks6.1.se.conv1.bias", "backbone.blocks6.1.se.reduce.bias"),
        (S_LCNET, "backbone.blocks6.1.se.hardsigmoid", "backbone.blocks6.1.se.hard_sigmoid"),
        (S_LCNET, "neck.top_down_blocks.0.1.dw_conv.bn", "neck.top_down_blocks.0.1.dw_conv.bn"),
        (
            S_LCNET,
            "head.conv_feat.se.0.conv.norm._mean",
            "head.conv_feat.se.0.conv.bn.running_mean",
        ),
        (S_LCNET, "head.cls_align.2.dwconv.weight", "head.alignment.2.conv1.weight"),
        (S_LCNET, "head.head_reg3.bias", "head.predictors.reg3.bias"),
        (MOBILENET, "backbone.conv12.mid_se.conv2.weight", "backbone.conv12.se.expand.weight"),
        (RESNET, "backbone.res3.res3a.short.conv.norm", "backbone.res3.res3a.shortcut.conv.bn"),
        (SHUFFLENET, "backbone.3_8._conv_pw._conv", "backbone.stage3.block8.conv_pw.conv"),
    ],
)
def test_by_example(config, paddle, ours):
    assert table_of(config).to_ours(paddle).name == ours
    assert table_of(config).to_paddle(ours).name == paddle


@pytest.mark.parametrize("name", ["head.head_reg0.weight", "head.cls_align.0", "backbone.2_1.act"])
def test_a_table_has_no_word_for_what_others_have(name):
    assert table_of(S).to_ours(name) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "config", [*VARIANTS, replace(S, head_convs=12)], ids=lambda config: config.name
)
def test_every_tensor_and_layer_of_a_model_has_one_name_in_paddle(config):
    model, table = PicoDet(config), table_of(config)
    tensors = [name for name in model.state_dict() if not name.endswith(TORCH_ONLY_SUFFIX)]
    containers = (nn.ModuleDict, nn.ModuleList)  # nobody calls them
    called = [
        name for name, layer in model.named_modules() if name and not isinstance(layer, containers)
    ]
    there = [table.to_paddle(name) for name in tensors + called]
    assert all(there)
    assert len({translation.name for translation in there}) == len(there)
    for name, translation in zip(tensors + called, there, strict=True):
        assert table.to_ours(translation.name).name == name
    assert set().union(*(translation.rules for translation in there)) == table.rules
    for_tensors = set().union(*(translation.rules for translation in there[: len(tensors)]))
    assert {rule for rule in table.rules if rule.has_tensors} == for_tensors


def test_a_backbone_alone_has_the_names_that_it_has_in_a_detector():
    name = "backbone.blocks6.0.se.conv1.weight"
    alone = backbone_table(S_LCNET.backbone)
    assert alone.to_ours(name) == table_of(S_LCNET).to_ours(name)
    assert alone.to_ours("neck") is None


def test_paddleclas_names_every_tensor_of_the_backbone():
    names = ["backbone." + name for name in ESNet(S.backbone).state_dict()]
    there = [CLAS_BACKBONE.to_paddle(n) for n in names if not n.endswith(TORCH_ONLY_SUFFIX)]
    assert all(there)
    assert there[-1].name == "backbone.blocks.12.pw_1_2.bn._variance"
    used = set().union(*(translation.rules for translation in there))
    assert {rule for rule in CLAS_BACKBONE.rules if rule.has_tensors} == used


@pytest.mark.slow
@pytest.mark.parametrize("config", VARIANTS, ids=lambda config: config.name)
def test_every_name_of_ours_is_its_own_translation(config):
    table = identity_table(config.backbone, config.neck, config.head)
    assert isinstance(table, IdentityNameTable)
    for name in PicoDet(config).state_dict():
        assert table.to_ours(name).name == table.to_paddle(name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "backbone._conv1._conv.weight",
        "backbone.stem.bn._mean",
        "head.predictors.0.num_batches",
        "num_batches_tracked",
        "neck.x.num_batches_tracked",
        "",
    ],
)
def test_and_no_other_is(name):
    assert identity_table(S.backbone, S.neck, S.head).to_ours(name) is None
