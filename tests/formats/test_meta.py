import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet import __version__
from picodet.config import (
    ESNetConfig,
    LCNetConfig,
    MobileNetV3Config,
    ModelConfig,
    Preprocessing,
    ResNetConfig,
    ShuffleNetV2Config,
    Stage,
)
from picodet.formats.meta import FAMILIES, READERS, backbone_from_meta, config_from_meta, make_meta
from picodet.zoo.architectures import MOBILENET, RESNET, S_LCNET, SHUFFLENET
from picodet.zoo.official import CONFIGS

CONFIG = CONFIGS["picodet_s_192_pedestrian"]
names = st.text(max_size=5)
even = st.integers(4, 100).map(lambda half: 2 * half)
stages = st.builds(Stage, even, st.lists(even, min_size=1, max_size=5).map(tuple))
scales = st.floats(0.05, 16)
activations = st.sampled_from(["hardswish", "relu6"])
blocks = st.integers(1, 2)
backbones = st.one_of(
    st.builds(ESNetConfig, names, st.tuples(stages, stages, stages)),
    st.builds(LCNetConfig, names, scales, activations),
    st.builds(MobileNetV3Config, names, scales),
    st.builds(ResNetConfig, names, st.tuples(blocks, blocks, blocks, blocks)),
    st.builds(ShuffleNetV2Config, names, st.tuples(even, even, even)),
)
positive = st.floats(0.01, 10)
configs = st.builds(
    ModelConfig,
    name=names,
    backbone=backbones,
    neck=st.sampled_from(["csp_pan", "lc_pan"]),
    head=st.sampled_from(["pico_head", "pico_head_v2"]),
    channels=even,
    head_convs=st.integers(1, 9),
    classes=st.lists(st.text(max_size=5), min_size=1, max_size=5).map(tuple),
    input_size=st.tuples(*[st.integers(1, 40).map(lambda side: 32 * side)] * 2),
    reg_max=st.integers(1, 20),
    activation=activations,
    preprocessing=st.builds(
        Preprocessing,
        mean=st.tuples(*[st.floats(-1, 1)] * 3),
        std=st.tuples(positive, positive, positive),
        interp=st.integers(0, 4),
        resize=st.sampled_from(["native", "portable"]),
    ),
)


@given(configs)
def test_what_is_described_is_read_also_through_json(config):
    meta = make_meta(config, "detector", "x.pdparams", "0" * 64)
    assert config_from_meta(meta) == config
    assert config_from_meta(json.loads(json.dumps(meta))) == config
    assert backbone_from_meta(json.loads(json.dumps(meta))) == config.backbone


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_so_are_the_official_ones(config):
    assert (
        config_from_meta(json.loads(json.dumps(make_meta(config, "detector", "x", "")))) == config
    )


def test_a_file_that_does_not_say_its_kernels_takes_the_native_ones():
    meta = make_meta(CONFIG, "detector", "x", "")
    del meta["preprocessing"]["resize"]
    assert config_from_meta(meta) == CONFIG
    meta["preprocessing"]["resize"] = "fast"
    with pytest.raises(ValueError, match="'native', 'portable'"):
        config_from_meta(meta)


def test_where_a_file_came_from():
    meta = make_meta(CONFIG, "detector", "x.pdparams", "ab" * 32)
    assert (meta["kind"], meta["architecture"]) == ("detector", "picodet")
    assert (meta["source"], meta["sha256"]) == ("x.pdparams", "ab" * 32)
    assert (meta["variant"], meta["picodet_version"]) == (CONFIG.name, __version__)


@pytest.mark.parametrize(
    ("config", "backbone"),
    [
        (S_LCNET, {"family": "lcnet", "scale": 0.75, "activation": "hardswish"}),
        (MOBILENET, {"family": "mobilenet_v3", "scale": 1.0}),
        (RESNET, {"family": "resnet_vd", "blocks": (2, 2, 2, 2)}),
        (SHUFFLENET, {"family": "shufflenet_v2", "channels": (116, 232, 464)}),
    ],
)
def test_a_backbone_is_its_family_and_its_numbers(config, backbone):
    meta = make_meta(config, "detector", "x", "")
    assert meta["backbone"] == {"name": config.backbone.name, **backbone}
    assert (meta["neck"], meta["head"]) == (config.neck, config.head)


def test_every_family_can_be_read():
    assert sorted(FAMILIES.values()) == sorted(READERS)


def test_a_backbone_alone_has_nothing_of_a_detector():
    meta = make_meta(CONFIG, "backbone", "x", "0" * 64)
    assert meta["architecture"] == "picodet_backbone"
    assert backbone_from_meta(meta) == CONFIG.backbone
    assert not {"classes", "input_size", "preprocessing", "reg_max", "neck", "head"} & set(meta)
    with pytest.raises(KeyError):
        config_from_meta(meta)


def changed(config=CONFIG, **numbers):
    meta = json.loads(json.dumps(make_meta(config, "detector", "x", "0" * 64)))
    for part in ("preprocessing", "backbone"):
        if isinstance(numbers.get(part), dict):
            meta[part] |= numbers.pop(part)
    return meta | numbers


STAGE = {"channels": 96, "mid_channels": [88]}


@pytest.mark.parametrize(
    "meta",
    [
        {},
        changed(input_size=[64]),
        changed(input_size=[64, 0]),
        changed(input_size=[64, 100]),
        changed(input_size=[64, 32 * 1000]),
        changed(input_size=7),
        changed(channels=True),
        changed(channels=96.0),
        changed(channels=-96),
        changed(channels=97),
        changed(reg_max=10**9),
        changed(head_convs=17),
        changed(head_convs=0),
        changed(classes=None),
        changed(classes=[]),
        changed(classes="abc"),
        changed(classes={"0": "a"}),
        changed(neck="fpn"),
        changed(neck=["csp_pan"]),
        changed(head="gfl"),
        changed(activation="relu"),
        changed(backbone="esnet"),
        changed(backbone={"family": "vgg"}),
        changed(backbone={"family": ["esnet"]}),
        changed(backbone={"stages": []}),
        changed(backbone={"stages": [STAGE] * 4}),
        changed(backbone={"stages": [STAGE | {"channels": 97}] * 3}),
        changed(backbone={"stages": [STAGE | {"mid_channels": [4]}] * 3}),
        changed(backbone={"stages": [STAGE | {"mid_channels": [88] * 17}] * 3}),
        changed(S_LCNET, backbone={"scale": 0}),
        changed(S_LCNET, backbone={"scale": 10**6}),
        changed(S_LCNET, backbone={"scale": "1"}),
        changed(S_LCNET, backbone={"scale": True}),
        changed(S_LCNET, backbone={"scale": float("nan")}),
        changed(S_LCNET, backbone={"activation": "gelu"}),
        changed(MOBILENET, backbone={"scale": float("inf")}),
        changed(RESNET, backbone={"blocks": [2, 2, 2]}),
        changed(RESNET, backbone={"blocks": [2, 2, 2, 3]}),
        changed(RESNET, backbone={"blocks": [2, 2, 2, 0]}),
        changed(SHUFFLENET, backbone={"channels": [116, 232, 463]}),
        changed(SHUFFLENET, backbone={"channels": [116, 232]}),
        changed(preprocessing={"interp": 5}),
        changed(preprocessing={"interp": "2"}),
        changed(preprocessing={"interp": 2.0}),
        changed(preprocessing={"interp": True}),
        changed(preprocessing={"std": [1, 1, 0]}),
        changed(preprocessing={"std": [1, 1, float("nan")]}),
        changed(preprocessing={"mean": [0, 0, float("nan")]}),
        changed(preprocessing={"mean": [1, 1]}),
        changed(preprocessing={"mean": ["a", 1, 1]}),
    ],
)
def test_what_is_no_meta_is_refused(meta):
    with pytest.raises((KeyError, TypeError, ValueError, IndexError)):
        config_from_meta(meta)


@given(
    st.sampled_from(sorted(changed())),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3),
        max_leaves=8,
    ),
)
def test_whatever_stands_there_it_is_read_or_refused(key, value):
    with suppress(KeyError, TypeError, ValueError, IndexError):
        assert config_from_meta(changed() | {key: value}) is not None


def test_unchanged_is_no_fault():
    assert config_from_meta(changed()) == CONFIG
    assert config_from_meta(changed(preprocessing={"interp": 1})) == replace(
        CONFIG, preprocessing=replace(CONFIG.preprocessing, interp=1)
    )
