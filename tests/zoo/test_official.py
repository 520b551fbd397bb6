"""The 34 models that PaddleDetection has a config for."""

import json
from collections import Counter
from urllib.parse import urlsplit

import pytest

from picodet.errors import PicoDetError
from picodet.formats.meta import config_from_meta, make_meta
from picodet.zoo.class_names import COCO
from picodet.zoo.official import CONFIGS, OFFICIAL, OTHERS, V2021, V2022, published_url

MODELS = "https://paddledet.bj.bcebos.com/models"


def test_there_are_34_each_once():
    assert len(OFFICIAL) == len(CONFIGS) == 34
    assert Counter(official.generation for official in OFFICIAL) == {
        V2022: 12,
        V2021: 11,
        OTHERS: 11,
    }
    assert len({official.path for official in OFFICIAL}) == 34


def test_they_are_those_that_were_counted_in_ppdet(golden):
    assert CONFIGS.keys() <= json.loads((golden / "counts.json").read_text()).keys()


@pytest.mark.parametrize("official", OFFICIAL, ids=lambda official: official.config.name)
def test_each_is_well_formed(official):
    name = official.config.name
    *folders, file = official.path.split("/")
    assert file == f"{name}.yml"
    assert (folders[:1] == ["legacy_model"]) == (official.generation != V2022)
    assert (official.config.neck == "lc_pan") == name.endswith(("_lcnet", "_lcnet_pedestrian"))
    assert config_from_meta(make_meta(official.config, "detector", "", "")) == official.config
    if official.url is not None:
        address = urlsplit(official.url)
        assert address.scheme == "https"
        assert address.hostname.endswith("bj.bcebos.com")
        assert address.path.endswith(f"/{name}.pdparams")
        assert "//" not in address.path
    else:
        assert official.ap is None
    if official.ap is not None:
        assert 20 < official.ap < 45
        is_coco = official.config.classes == COCO and "mainbody" not in name
        assert (official.measured_on == "COCO val2017") == is_coco


@pytest.mark.parametrize(
    ("name", "input_size", "classes"),
    [
        ("picodet_xs_320_coco_lcnet", (320, 320), 80),
        ("picodet_l_640_coco", (640, 640), 80),
        ("picodet_s_320_voc", (320, 320), 20),
        ("picodet_s_192_lcnet_pedestrian", (192, 192), 1),
        ("picodet_lcnet_x1_0_layout", (800, 608), 5),
        ("picodet_lcnet_cdla_layout", (800, 608), 11),
        ("picodet_r18_640_coco", (640, 640), 80),
    ],
)
def test_by_example(name, input_size, classes):
    config = CONFIGS[name]
    assert (config.input_size, len(config.classes)) == (input_size, classes)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("picodet_s_416_coco", f"{MODELS}/picodet_s_416_coco.pdparams"),
        ("picodet_xs_320_coco_lcnet", f"{MODELS}/picodet_xs_320_coco_lcnet.pdparams"),
        (
            "picodet_s_192_pedestrian",
            "https://bj.bcebos.com/v1/paddledet/models/keypoint/picodet_s_192_pedestrian.pdparams",
        ),
        ("model", None),
        ("mypicodet_s_416_coco", None),
        ("picodet_of_mine", None),
        ("", None),
    ],
)
def test_where_weights_are(name, url):
    assert published_url(name) == url


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "picodet_s_416_coc",
            "neither a file nor an official name; did you mean picodet_s_416_coco",
        ),
        ("picodet_xs_320_lcnet", "did you mean picodet_xs_320_coco_lcnet"),
        ("picodet_s_320_voc", "PaddleDetection publishes no weights of this config; give a file"),
    ],
)
def test_where_none_are(name, message):
    with pytest.raises(PicoDetError, match=message):
        published_url(name)
