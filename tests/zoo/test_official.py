"""The published models, one line each in models.csv."""

import json
from collections import Counter
from urllib.parse import urlsplit

import pytest

from picodet.errors import PicoDetError
from picodet.formats.meta import config_from_meta, make_meta
from picodet.zoo.class_names import CDLA, COCO, default_class_names
from picodet.zoo.official import (
    BY_NAME,
    CONFIGS,
    GROUPS,
    METRICS,
    OFFICIAL,
    OTHERS,
    PADDLECLAS,
    PADDLEOCR,
    PADDLEX,
    TABLE,
    V2021,
    V2022,
    published_url,
    read_models,
)

MODELS = "https://paddledet.bj.bcebos.com/models"
PADDLEX_FILES = "https://paddle-model-ecology.bj.bcebos.com/paddlex"
LAYOUT_FILES = "https://paddleocr.bj.bcebos.com/ppstructure/models/layout"


def test_each_is_there_once():
    assert len(OFFICIAL) == len(CONFIGS) == 58
    assert Counter(official.group for official in OFFICIAL) == {
        **{V2022: 18, V2021: 11, OTHERS: 11},
        **{PADDLEX: 14, PADDLEOCR: 3, PADDLECLAS: 1},
    }
    assert tuple(dict.fromkeys(official.group for official in OFFICIAL)) == GROUPS


def test_they_are_those_that_were_counted_in_ppdet(golden):
    assert CONFIGS.keys() <= json.loads((golden / "counts.json").read_text()).keys()


@pytest.mark.parametrize("official", OFFICIAL, ids=lambda official: official.config.name)
def test_each_is_well_formed(official):
    name, ap = official.config.name, official.ap
    assert config_from_meta(make_meta(official.config, "detector", "", "")) == official.config
    for url, ending in ((official.url, ".pdparams"), (official.folder_url, "_infer.tar")):
        if url is not None:
            address = urlsplit(url)
            assert address.scheme == "https"
            assert address.hostname.endswith("bj.bcebos.com")
            file = address.path.rsplit("/", 1)[1]
            assert file.removesuffix(ending).removesuffix("_pretrained") == name
            assert file.endswith(ending)
            assert "//" not in address.path
    assert (official.metric in METRICS) == bool(official.measured_on) == (ap is not None)
    assert ap is None or official.url
    assert ap is None or (20 < ap < 45 if official.metric == METRICS[0] else 60 < ap < 100)


@pytest.mark.parametrize(
    "official",
    [official for official in OFFICIAL if official.group.startswith("PaddleDetection")],
    ids=lambda official: official.config.name,
)
def test_a_config_of_paddledetection_has_the_name_of_its_file(official):
    name = official.config.name
    configs, *folders, file = official.path.split("/")
    assert (configs, file) == ("configs", f"{name}.yml")
    assert ("legacy_model" in folders) == (official.group != V2022)
    of_lcpan = ("_lcnet", "_lcnet_pedestrian", "_battery", "_lvjian1", "_renche")
    assert (official.config.neck == "lc_pan") == name.endswith(of_lcpan)
    assert "smrt" in folders or official.folder_url is None


@pytest.mark.parametrize(
    ("name", "architecture", "input_size", "classes", "last"),
    [
        ("picodet_xs_320_coco_lcnet", "lcnet_x0_35", (320, 320), 80, "toothbrush"),
        ("picodet_l_640_coco", "esnet_x1_25", (640, 640), 80, "toothbrush"),
        ("picodet_s_320_voc", "esnet_x0_75", (320, 320), 20, "tvmonitor"),
        ("picodet_s_192_lcnet_pedestrian", "lcnet_x0_75", (192, 192), 1, "pedestrian"),
        ("picodet_lcnet_x1_0_layout", "lcnet_x1_0", (800, 608), 5, "figure"),
        ("picodet_lcnet_cdla_layout", "lcnet_x1_0", (800, 608), 11, "class 10"),
        ("picodet_r18_640_coco", "resnet18_vd", (640, 640), 80, "toothbrush"),
        ("picodet_l_640_coco_lcnet_battery", "lcnet_x2_0", (640, 640), 45, "class 44"),
        ("picodet_l_1024_coco_lcnet_lvjian1", "lcnet_x2_0", (1024, 1024), 5, "class 4"),
        ("picodet_l_1024_coco_lcnet_renche", "lcnet_x2_0", (1024, 1024), 22, "class 21"),
        ("PP-DocLayout-S", "lcnet_x0_75", (480, 480), 23, "aside_text"),
        ("PP-DocLayout-M", "lcnet_x2_0", (640, 640), 23, "aside_text"),
        ("PicoDet-S_layout_3cls", "lcnet_x0_75", (480, 480), 3, "seal"),
        ("PicoDet-L_layout_3cls", "lcnet_x2_0", (640, 640), 3, "seal"),
        ("PicoDet-S_layout_17cls", "lcnet_x0_75", (480, 480), 17, "seal"),
        ("PicoDet-L_layout_17cls", "lcnet_x2_0", (640, 640), 17, "seal"),
        ("PicoDet_layout_1x", "lcnet_x1_0", (800, 608), 5, "Figure"),
        ("PicoDet_layout_1x_table", "lcnet_x1_0", (800, 608), 1, "Table"),
        ("PicoDet_LCNet_x2_5_face", "lcnet_x2_5", (1088, 1088), 1, "face"),
        ("PP-ShiTuV2_det", "lcnet_x2_5", (640, 640), 1, "mainbody"),
        ("PicoDet-XS", "lcnet_x0_35", (416, 416), 80, "toothbrush"),
        ("PicoDet-S", "lcnet_x0_75", (320, 320), 80, "toothbrush"),
        ("PicoDet-M", "lcnet_x1_5", (416, 416), 80, "toothbrush"),
        ("PicoDet-L", "lcnet_x2_0", (640, 640), 80, "toothbrush"),
        ("picodet_lcnet_x1_0_fgd_layout", "lcnet_x1_0", (800, 608), 5, "figure"),
        ("picodet_lcnet_x1_0_fgd_layout_cdla", "lcnet_x1_0", (800, 608), 10, "equation"),
        ("picodet_lcnet_x1_0_fgd_layout_table", "lcnet_x1_0", (800, 608), 1, "table"),
        (
            *("picodet_PPLCNet_x2_5_mainbody_lite_v1.0", "lcnet_x2_5_leaky_relu"),
            *((640, 640), 1, "foreground"),
        ),
    ],
)
def test_by_example(name, architecture, input_size, classes, last):
    config = CONFIGS[name]
    assert (config.backbone.name, config.input_size) == (architecture, input_size)
    assert (len(config.classes), config.classes[-1]) == (classes, last)


def test_accuracies_by_example():
    by_name = {name: (model.ap, model.metric, model.measured_on) for name, model in BY_NAME.items()}
    assert by_name["PP-DocLayout-M"] == (75.2, "mAP 0.5", "500 document pages of PaddleOCR")
    assert by_name["PicoDet_layout_1x"] == (97.8, "mAP 0.5", "PubLayNet val")
    assert by_name["PP-ShiTuV2_det"] == (41.5, "mAP 0.5:0.95", "PP-ShiTu's main bodies")
    assert by_name["picodet_l_640_coco_lcnet_renche"] == (None, "", "")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("picodet_s_416_coco", f"{MODELS}/picodet_s_416_coco.pdparams"),
        ("picodet_xs_320_coco_lcnet", f"{MODELS}/picodet_xs_320_coco_lcnet.pdparams"),
        (
            "picodet_s_192_pedestrian",
            "https://bj.bcebos.com/v1/paddledet/models/keypoint/picodet_s_192_pedestrian.pdparams",
        ),
        (
            "PP-DocLayout-S",
            f"{PADDLEX_FILES}/official_pretrained_model/PP-DocLayout-S_pretrained.pdparams",
        ),
        (
            "PP-DocLayout-S_pretrained",
            f"{PADDLEX_FILES}/official_pretrained_model/PP-DocLayout-S_pretrained.pdparams",
        ),
        (
            "PP-DocLayout-S_infer",
            f"{PADDLEX_FILES}/official_inference_model/paddle3.0.0/PP-DocLayout-S_infer.tar",
        ),
        (
            "picodet_lcnet_x1_0_fgd_layout_cdla_infer",
            f"{LAYOUT_FILES}/picodet_lcnet_x1_0_fgd_layout_cdla_infer.tar",
        ),
        ("model", None),
        ("mypicodet_s_416_coco", None),
        ("picodet_of_mine", None),
        ("PP-OCRv5", None),
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
        ("PP-DocLayout-s", "did you mean PP-DocLayout-S"),
        ("picodet_s_320_voc", "PaddleDetection publishes no weights of this config; give a file"),
        ("picodet_l_640_coco_lcnet_renche", "publishes no weights of this config; give a file"),
    ],
)
def test_where_none_are(name, message):
    with pytest.raises(PicoDetError, match=message):
        published_url(name)


HEADER = TABLE.read_text(encoding="utf-8").splitlines()[0]
LINE = "new,PaddleX,picodet_s,{size},{classes},,{metric},,,https://a/new_infer.tar,new.yaml"


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        ("CDLA", CDLA),
        ("COCO", COCO),
        ("2", default_class_names(2)),
        ("cat;red dog", ("cat", "red dog")),
        ("cat", ("cat",)),
    ],
)
def test_a_new_model_is_one_line(tmp_path, classes, names):
    line = LINE.format(size="96x128", classes=classes, metric="")
    (tmp_path / "models.csv").write_text(f"{HEADER}\n{line}\n", encoding="utf-8")
    (model,) = read_models(tmp_path / "models.csv")
    assert (model.config.name, model.config.input_size) == ("new", (96, 128))
    assert model.config.classes == names
    assert (model.url, model.folder_url, model.ap) == (None, "https://a/new_infer.tar", None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (LINE.format(size="100", classes="2", metric=""), "multiples of 32"),
        (LINE.format(size="96", classes="cat;;dog", metric=""), "empty or repeated class name"),
        (LINE.format(size="96", classes="2", metric="AR"), "'AR' is not known"),
        (LINE.format(size="x", classes="2", metric=""), "ValueError"),
        ("new,PaddleX,picodet_q,96,2,,,,,,", "KeyError 'picodet_q'"),
        ("new,PaddleZ,picodet_s,96,2,,,,,,", "'PaddleZ' or '' is not known"),
        ("new", "line 2: KeyError None; expected a model of name, group, architecture"),
    ],
)
def test_a_line_that_is_none_is_an_error_with_its_number(tmp_path, line, message):
    (tmp_path / "models.csv").write_text(f"{HEADER}\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_models(tmp_path / "models.csv")
