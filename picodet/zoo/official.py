"""The 34 PicoDets that PaddleDetection 666f597 has a config for.

Sources: the .yml files under configs/picodet; AP and URL as published in the README.md beside them,
and of the pedestrian models in configs/keypoint/tiny_pose/README.md.
"""

from dataclasses import dataclass, replace
from difflib import get_close_matches

from picodet.config import ModelConfig
from picodet.errors import PicoDetError
from picodet.zoo import architectures as v
from picodet.zoo.class_names import COCO, PEDESTRIAN, PUBLAYNET, VOC

MODELS = "https://paddledet.bj.bcebos.com/models/"
KEYPOINT_MODELS = "https://bj.bcebos.com/v1/paddledet/models/keypoint/"
LAYOUT_MODELS = "https://paddleocr.bj.bcebos.com/ppstructure/models/layout/"

V2022 = "2022"
V2021 = "2021"
OTHERS = "2021, other backbones"


@dataclass(frozen=True)
class OfficialModel:
    """One config of PaddleDetection, with its published AP and weights."""

    config: ModelConfig
    generation: str  # for display
    path: str  # of the config in configs/picodet of PaddleDetection
    url: str | None  # of the .pdparams
    ap: float | None  # mAP 0.5:0.95 in percent, on the dataset below
    measured_on: str = "COCO val2017"


def _officials(generation: str, folder: str, *rows: OfficialModel) -> tuple[OfficialModel, ...]:
    return tuple(
        replace(row, generation=generation, path=f"{folder}{row.config.name}.yml") for row in rows
    )


def _official(
    name: str,
    variant: ModelConfig,
    size: int | tuple[int, int],
    ap: float | None = None,
    base_url: str | None = MODELS,
    classes: tuple[str, ...] = COCO,
    measured_on: str = "COCO val2017",
) -> OfficialModel:
    size = (size, size) if isinstance(size, int) else size
    config = replace(variant, name=name, input_size=size, classes=classes)
    return OfficialModel(config, "", "", base_url and f"{base_url}{name}.pdparams", ap, measured_on)


PAGE_SIZE = (800, 608)  # height, width
PERSONS = "the persons of COCO val2017"
# The names of the 11 classes are not published: CDLA itself has 10 (class_names.CDLA).
CDLA_11 = tuple(f"class {i}" for i in range(11))

OFFICIAL = (
    *_officials(
        V2022,
        "",
        _official("picodet_xs_320_coco_lcnet", v.XS_LCNET, 320, 23.5),
        _official("picodet_xs_416_coco_lcnet", v.XS_LCNET, 416, 26.2),
        _official("picodet_s_320_coco_lcnet", v.S_LCNET, 320, 29.1),
        _official("picodet_s_416_coco_lcnet", v.S_LCNET, 416, 32.5),
        _official("picodet_m_320_coco_lcnet", v.M_LCNET, 320, 34.4),
        _official("picodet_m_416_coco_lcnet", v.M_LCNET, 416, 37.5),
        _official("picodet_l_320_coco_lcnet", v.L_LCNET, 320, 36.1),
        _official("picodet_l_416_coco_lcnet", v.L_LCNET, 416, 39.4),
        _official("picodet_l_640_coco_lcnet", v.L_LCNET, 640, 42.6),
        _official("picodet_s_416_coco_npu", v.S_NPU, 416, 30.1),
    ),
    *_officials(
        V2022,
        "application/pedestrian_detection/",
        _official(
            *("picodet_s_192_lcnet_pedestrian", v.S_LCNET, 192, 31.7),
            *(f"{KEYPOINT_MODELS}tinypose_enhance/", PEDESTRIAN, PERSONS),
        ),
        _official(
            *("picodet_s_320_lcnet_pedestrian", v.S_LCNET, 320, 41.6),
            *(f"{KEYPOINT_MODELS}tinypose_enhance/", PEDESTRIAN, PERSONS),
        ),
    ),
    *_officials(
        V2021,
        "legacy_model/",
        _official("picodet_s_320_coco", v.S, 320, 27.1),
        _official("picodet_s_416_coco", v.S, 416, 30.7),
        _official("picodet_m_320_coco", v.M, 320, 30.9),
        _official("picodet_m_416_coco", v.M, 416, 34.8),
        _official("picodet_l_320_coco", v.L, 320, 32.9),
        _official("picodet_l_416_coco", v.L, 416, 36.6),
        _official("picodet_l_640_coco", v.L, 640, 40.9),
        _official("picodet_s_320_voc", v.S, 320, None, None, VOC),
    ),
    *_officials(
        V2021,
        "legacy_model/pruner/",
        _official("picodet_m_320_coco_pruner", v.M, 320, None, None),
    ),
    *_officials(
        V2021,
        "legacy_model/application/pedestrian_detection/",
        _official("picodet_s_192_pedestrian", v.S, 192, 29.0, KEYPOINT_MODELS, PEDESTRIAN, PERSONS),
        _official("picodet_s_320_pedestrian", v.S, 320, 38.5, KEYPOINT_MODELS, PEDESTRIAN, PERSONS),
    ),
    *_officials(
        OTHERS,
        "legacy_model/more_config/",
        _official("picodet_lcnet_1_0x_416_coco", v.LCNET_1_0X, 416, None, None),
        _official("picodet_lcnet_1_5x_416_coco", v.LCNET_1_5X, 416, 36.3),
        _official("picodet_lcnet_1_5x_640_coco", v.LCNET_1_5X_WIDE, 640, 40.6),
        _official("picodet_lcnet_2_5x_416_coco", v.LCNET_2_5X, 416, None, None),
        _official("picodet_mobilenetv3_large_1x_416_coco", v.MOBILENET, 416, 35.6),
        _official("picodet_r18_640_coco", v.RESNET, 640, 40.7),
        _official("picodet_shufflenetv2_1x_416_coco", v.SHUFFLENET, 416, 30.0),
    ),
    *_officials(
        OTHERS,
        "legacy_model/application/layout_analysis/",
        _official(
            "picodet_lcnet_x1_0_layout", v.LCNET_1_0X, PAGE_SIZE, None, LAYOUT_MODELS, PUBLAYNET
        ),
        _official("picodet_lcnet_cdla_layout", v.LCNET_1_0X, PAGE_SIZE, None, None, CDLA_11),
        # a teacher for the first of these; its config has neither input size nor classes
        _official("picodet_lcnet_x2_5_layout", v.LCNET_2_5X, PAGE_SIZE, None, None),
    ),
    *_officials(
        OTHERS,
        "legacy_model/application/mainbody_detection/",
        _official(
            *("picodet_lcnet_x2_5_640_mainbody", v.LCNET_2_5X, 640, 41.5, MODELS, COCO),
            "PP-ShiTu's main bodies",
        ),
    ),
)

CONFIGS = {official.config.name: official.config for official in OFFICIAL}


def published_url(name: str) -> str | None:
    """The URL of an official model's weights; None for any other name.

    Raises PicoDetError for a model without published weights, and for a misspelled name.
    """
    if name not in CONFIGS:
        near = get_close_matches(name, CONFIGS, n=3, cutoff=0.8)
        if name.startswith("picodet_") and near:
            raise PicoDetError(
                f"{name}: neither a file nor an official name; did you mean {', '.join(near)}?"
            )
        return None
    (url,) = (official.url for official in OFFICIAL if official.config.name == name)
    if url is None:
        raise PicoDetError(
            f"{name}: PaddleDetection publishes no weights of this config; give a file"
        )
    return url
