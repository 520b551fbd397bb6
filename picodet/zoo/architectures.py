"""The architectures of PaddleDetection 666f597: backbone, neck, head and sizes of each.

Sources: configs/picodet/legacy_model/_base_/picodet_esnet.yml (2021), configs/picodet/_base_/
picodet_v2.yml (2022) and the picodet_*.yml beside them and under more_config.
"""

from dataclasses import replace

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
from picodet.zoo.class_names import COCO

ESNET_X0_75 = ESNetConfig(
    "esnet_x0_75",
    (
        Stage(96, (88, 48, 48)),
        Stage(192, (96, 120, 96, 120, 96, 96, 96)),
        Stage(384, (192, 192, 192)),
    ),
)
ESNET_X1_0 = ESNetConfig(
    "esnet_x1_0",
    (
        Stage(128, (112, 64, 128)),
        Stage(256, (160, 128, 192, 160, 160, 128, 160)),
        Stage(512, (512, 320, 384)),
    ),
)
ESNET_X1_25 = ESNetConfig(
    "esnet_x1_25",
    (
        Stage(160, (144, 80, 160)),
        Stage(320, (200, 160, 240, 200, 200, 160, 200)),
        Stage(640, (640, 400, 480)),
    ),
)
LCNET_X0_35 = LCNetConfig("lcnet_x0_35", 0.35)
LCNET_X0_75 = LCNetConfig("lcnet_x0_75", 0.75)
LCNET_X1_0 = LCNetConfig("lcnet_x1_0", 1.0)
LCNET_X1_5 = LCNetConfig("lcnet_x1_5", 1.5)
LCNET_X2_0 = LCNetConfig("lcnet_x2_0", 2.0)
LCNET_X2_5 = LCNetConfig("lcnet_x2_5", 2.5)
LCNET_X2_5_LEAKY_RELU = LCNetConfig("lcnet_x2_5_leaky_relu", 2.5, "leaky_relu")
LCNET_X0_75_RELU6 = LCNetConfig("lcnet_x0_75_relu6", 0.75, "relu6")
MOBILENET_V3_LARGE = MobileNetV3Config("mobilenet_v3_large_x1_0", 1.0)
RESNET18_VD = ResNetConfig("resnet18_vd", (2, 2, 2, 2))
SHUFFLENET_V2_X1_0 = ShuffleNetV2Config("shufflenet_v2_x1_0", (116, 232, 464))

S = ModelConfig("picodet_s", ESNET_X0_75, "csp_pan", "pico_head", 96, 2, COCO, (416, 416))
M = ModelConfig("picodet_m", ESNET_X1_0, "csp_pan", "pico_head", 128, 4, COCO, (416, 416))
L = ModelConfig("picodet_l", ESNET_X1_25, "csp_pan", "pico_head", 160, 4, COCO, (416, 416))

LCNET_1_0X = replace(M, name="picodet_lcnet_1_0x", backbone=LCNET_X1_0)
LCNET_1_5X = replace(M, name="picodet_lcnet_1_5x", backbone=LCNET_X1_5)
LCNET_1_5X_WIDE = replace(L, name="picodet_lcnet_1_5x_wide", backbone=LCNET_X1_5)
LCNET_2_5X = replace(M, name="picodet_lcnet_2_5x", backbone=LCNET_X2_5)
# PP-ShiTu's lite model; its tensors are those of LCNET_2_5X, which goes before it in VARIANTS
LCNET_2_5X_LEAKY_RELU = replace(
    LCNET_2_5X,
    name="picodet_lcnet_2_5x_leaky_relu",
    backbone=LCNET_X2_5_LEAKY_RELU,
    activation="leaky_relu",
)
MOBILENET = replace(M, name="picodet_mobilenetv3_large_1x", backbone=MOBILENET_V3_LARGE)
RESNET = replace(M, name="picodet_r18", backbone=RESNET18_VD)
SHUFFLENET = replace(S, name="picodet_shufflenetv2_1x", backbone=SHUFFLENET_V2_X1_0)

S_LCNET = replace(
    S, name="picodet_s_lcnet", backbone=LCNET_X0_75, neck="lc_pan", head="pico_head_v2"
)
XS_LCNET = replace(S_LCNET, name="picodet_xs_lcnet", backbone=LCNET_X0_35)
M_LCNET = replace(S_LCNET, name="picodet_m_lcnet", backbone=LCNET_X1_5, channels=128, head_convs=4)
L_LCNET = replace(M_LCNET, name="picodet_l_lcnet", backbone=LCNET_X2_0, channels=160)
S_NPU = replace(
    S,
    name="picodet_s_npu",
    backbone=LCNET_X0_75_RELU6,
    head="pico_head_v2",
    head_convs=4,
    activation="relu6",
    preprocessing=Preprocessing(mean=(0, 0, 0), std=(1, 1, 1)),
)

VARIANTS = (
    *(S, M, L),
    *(
        LCNET_1_0X,
        LCNET_1_5X,
        LCNET_1_5X_WIDE,
        LCNET_2_5X,
        LCNET_2_5X_LEAKY_RELU,
        MOBILENET,
        RESNET,
        SHUFFLENET,
    ),
    *(XS_LCNET, S_LCNET, M_LCNET, L_LCNET, S_NPU),
)
