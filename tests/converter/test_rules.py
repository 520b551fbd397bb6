"""The name table is a bijection, and knows every tensor and layer of every model."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from picodet.config import CONFIGS, VARIANTS
from picodet.converter.one_sided import OURS_ONLY_SUFFIX
from picodet.converter.rules import (
    CLAS_BACKBONE,
    CLAS_ESNET,
    CSP_PAN,
    ESNET,
    PICO_HEAD,
    PICODET_2021,
)
from picodet.models.esnet import ESNet
from picodet.models.picodet import PicoDet

PARTS = {"backbone": ESNET, "neck": CSP_PAN, "head": PICO_HEAD}

numbers = st.integers(0, 120).map(str)


@st.composite
def paths(draw, parts):
    """A path that the rules can spell, in Paddle's spelling and in ours."""
    part = draw(st.sampled_from(list(parts)))
    rules = draw(st.lists(st.sampled_from(parts[part]), min_size=1, max_size=6))
    paddle, ours = [part], [part]
    for rule in rules:
        fields = {name: draw(numbers) for name in ("stage", "block", "level", "i")}
        paddle.append(rule.paddle.format(**fields))
        ours.append(rule.ours.format(**fields))
    return ".".join(paddle), ".".join(ours)


@pytest.mark.parametrize(
    ("paddle", "ours"),
    [
        ("backbone._conv1._batch_norm._variance", "backbone.stem.bn.running_var"),
        (
            "backbone.3_7._conv_linear._conv.weight",
            "backbone.stage3.block7.conv_linear.conv.weight",
        ),
        ("backbone.2_1._conv_dw_1._conv.weight", "backbone.stage2.block1.conv_dw1.conv.weight"),
        ("backbone.4_1._se.conv2.bias", "backbone.stage4.block1.se.expand.bias"),
        ("neck.conv_t.convs.2.bn._mean", "neck.conv_t.convs.2.bn.running_mean"),
        ("head.conv_feat.cls_conv_pw3.1.norm.weight", "head.conv_feat.levels.3.pw1.bn.weight"),
        ("head.head_cls0.bias", "head.predictors.0.bias"),
        ("head.distribution_project.project", "head.integral.project"),
        ("backbone.2_1", "backbone.stage2.block1"),
        ("neck", "neck"),
    ],
)
def test_by_example(paddle, ours):
    assert PICODET_2021.to_ours(paddle).name == ours
    assert PICODET_2021.to_paddle(ours).name == paddle


@given(paths(PARTS))
def test_is_a_bijection(pair):
    paddle, ours = pair
    there = PICODET_2021.to_ours(paddle)
    assert there.name == ours
    assert PICODET_2021.to_paddle(there.name).name == paddle


@given(paths({"backbone": CLAS_ESNET}))
def test_paddleclas_is_a_bijection_too(pair):
    paddle, ours = pair
    assert CLAS_BACKBONE.to_ours(paddle).name == ours
    assert CLAS_BACKBONE.to_paddle(ours).name == paddle


segments = st.sampled_from(
    [
        "",
        *(part for part in PARTS),
        *(word for r in ESNET + PICO_HEAD for word in r[:2]),
        "2_1",
        "0",
    ]
)


@given(st.lists(segments, max_size=5).map(".".join))
def test_nothing_else_slips_through(path):
    """Whatever has a translation has it back, odd paths with empty segments included."""
    for there, back in (
        (PICODET_2021.to_ours, PICODET_2021.to_paddle),
        (PICODET_2021.to_paddle, PICODET_2021.to_ours),
    ):
        if (translation := there(path)) is not None:
            assert back(translation.name).name == path


@given(paths(PARTS), paths(PARTS))
def test_two_names_never_become_one(first, second):
    equal_there = PICODET_2021.to_ours(first[0]).name == PICODET_2021.to_ours(second[0]).name
    assert equal_there == (first[0] == second[0])


@pytest.mark.parametrize("rules", [ESNET, CSP_PAN, PICO_HEAD, CLAS_ESNET])
@pytest.mark.parametrize("side", ["paddle", "ours"])
def test_no_two_rules_begin_alike(rules, side):
    """What makes the reading of a path unique: no run of segments is the beginning of another."""
    runs = [getattr(rule, side).split(".") for rule in rules]
    for i, run in enumerate(runs):
        others = runs[:i] + runs[i + 1 :]
        assert not any(other[: len(run)] == run for other in others), run


@pytest.mark.parametrize("rules", [ESNET, CSP_PAN, PICO_HEAD, CLAS_ESNET])
def test_fields_stand_in_the_same_order_on_both_sides(rules):
    def fields(run):
        return [piece.split("}")[0] for piece in run.split("{")[1:]]

    assert all(fields(rule.paddle) == fields(rule.ours) for rule in rules)


@pytest.mark.parametrize("config", [*CONFIGS.values(), replace(VARIANTS[0], head_convs=12)])
def test_every_tensor_and_layer_of_a_model_has_one_name_in_paddle(config):
    model = PicoDet(config)
    tensors = [name for name in model.state_dict() if not name.endswith(OURS_ONLY_SUFFIX)]
    containers = (nn.ModuleDict, nn.ModuleList)  # nobody calls them
    called = [
        name for name, layer in model.named_modules() if name and not isinstance(layer, containers)
    ]
    there = [PICODET_2021.to_paddle(name) for name in tensors + called]
    assert all(there)
    assert len({translation.name for translation in there}) == len(there)
    for name, translation in zip(tensors + called, there, strict=True):
        assert PICODET_2021.to_ours(translation.name).name == name
    assert set().union(*(translation.rules for translation in there)) == PICODET_2021.rules


def test_paddleclas_names_every_tensor_of_the_backbone():
    names = ["backbone." + name for name in ESNet(VARIANTS[0].stages).state_dict()]
    there = [CLAS_BACKBONE.to_paddle(n) for n in names if not n.endswith(OURS_ONLY_SUFFIX)]
    assert all(there)
    assert there[-1].name == "backbone.blocks.12.pw_1_2.bn._variance"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "backbone.conv_pw._conv.weight",
        "backbone._conv1._conv.weight.extra",
        "backbone._conv1..weight",
        "backbone._conv1._conv.weight.",
        "backbone.",
        ".backbone",
        "head.head_cls0.weight\n",
        "teacher._conv1._conv.weight",
        "head.head_cls0_weight",
        "head.head_cls²",
    ],
)
def test_what_no_rule_speaks_of_has_no_name(name):
    assert PICODET_2021.to_ours(name) is None
