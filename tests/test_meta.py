import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet import __version__
from picodet.config import CONFIGS, ModelConfig, Preprocessing, Stage
from picodet.meta import config_of, describe, stages_of

CONFIG = CONFIGS["picodet_s_192_pedestrian"]
even = st.integers(4, 100).map(lambda half: 2 * half)
stages = st.builds(Stage, even, st.lists(even, min_size=1, max_size=5).map(tuple))
positive = st.floats(0.01, 10)
configs = st.builds(
    ModelConfig,
    name=st.text(max_size=5),
    backbone=st.text(max_size=5),
    stages=st.tuples(stages, stages, stages),
    channels=st.integers(1, 500),
    head_convs=st.integers(1, 9),
    classes=st.lists(st.text(max_size=5), min_size=1, max_size=5).map(tuple),
    input_size=st.tuples(*[st.integers(1, 40).map(lambda side: 32 * side)] * 2),
    reg_max=st.integers(1, 20),
    preprocessing=st.builds(
        Preprocessing,
        mean=st.tuples(*[st.floats(-1, 1)] * 3),
        std=st.tuples(positive, positive, positive),
        interp=st.integers(0, 4),
    ),
)


@given(configs)
def test_what_is_described_is_read_also_through_json(config):
    meta = describe(config, "detector", "x.pdparams", "0" * 64)
    assert config_of(meta) == config
    assert config_of(json.loads(json.dumps(meta))) == config
    assert stages_of(json.loads(json.dumps(meta))) == config.stages


def test_where_a_file_came_from():
    meta = describe(CONFIG, "detector", "x.pdparams", "ab" * 32)
    assert (meta["kind"], meta["architecture"]) == ("detector", "picodet_2021")
    assert (meta["source"], meta["sha256"]) == ("x.pdparams", "ab" * 32)
    assert (meta["variant"], meta["picodet_version"]) == (CONFIG.name, __version__)


def test_a_backbone_has_stages_and_nothing_of_a_detector():
    meta = describe(CONFIG, "backbone", "x", "0" * 64)
    assert meta["architecture"] == "esnet"
    assert stages_of(meta) == CONFIG.stages
    assert not {"classes", "input_size", "preprocessing", "reg_max"} & set(meta)
    with pytest.raises(KeyError):
        config_of(meta)


def changed(**numbers):
    meta = json.loads(json.dumps(describe(CONFIG, "detector", "x", "0" * 64)))
    preprocessing = numbers.pop("preprocessing", {})
    return meta | {"preprocessing": meta["preprocessing"] | preprocessing} | numbers


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
        changed(reg_max=10**9),
        changed(classes=None),
        changed(stages=[]),
        changed(stages=[{"channels": 97, "mid_channels": [88]}] * 3),
        changed(stages=[{"channels": 96, "mid_channels": [4]}] * 3),
        changed(preprocessing={"interp": 5}),
        changed(preprocessing={"interp": "2"}),
        changed(preprocessing={"std": [1, 1, 0]}),
        changed(preprocessing={"std": [1, 1, float("nan")]}),
        changed(preprocessing={"mean": [0, 0, float("nan")]}),
        changed(preprocessing={"mean": [1, 1]}),
        changed(preprocessing={"mean": ["a", 1, 1]}),
    ],
)
def test_what_is_no_meta_is_refused(meta):
    with pytest.raises((KeyError, TypeError, ValueError, IndexError)):
        config_of(meta)


def test_unchanged_is_no_fault():
    assert config_of(changed()) == CONFIG
    assert config_of(changed(preprocessing={"interp": 1})) == replace(
        CONFIG, preprocessing=replace(CONFIG.preprocessing, interp=1)
    )
