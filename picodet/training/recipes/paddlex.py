"""How PaddleX and PaddleSMRT train their PicoDets: a line each, by the model's name.

Sources: paddlex/repo_apis/PaddleDetection_api/configs/NAME.yaml of PaddleX (S at d3d6cb3, M at
6756cd4, table at 9f7ac27, the others at 5029b50), and configs/smrt/picodet of PaddleDetection
666f597. Each of these configs is whole, without a base. PaddleX runs them by the newest
PaddleDetection.

`static_assigner_epoch` is 100 in all configs of 2022; where no more epochs are trained, the
task-aligned assigner never runs. PaddleX's trainer changes the number to a tenth of the epochs, but
only for models with PicoDet in their names (paddlex/modules/object_detection/trainer.py).
"""

from dataclasses import replace

from picodet.training.recipes.builders import (
    LCNET_L,
    LCNET_M,
    LCNET_S,
    LCNET_XS,
    PPDET_2_4,
    recipe_2021,
    recipe_2022,
    short,
)
from picodet.training.recipes.schema import Batches, Recipe, Schedule

DETECTORS = "https://paddle-model-ecology.bj.bcebos.com/paddlex/pretrained/"
LAYOUT_3 = f"{DETECTORS}PicoDet-S_layout_pretrained_3cls.pdparams"
LAYOUT_17 = f"{DETECTORS}PicoDet-S_layout_pretrained_17cls.pdparams"
LAYOUT_L = f"{DETECTORS}PicoDet-L_layout_pretrained_v1.pdparams"
LAYOUT_1X = (
    "https://paddleocr.bj.bcebos.com/ppstructure/models/layout/"
    "picodet_lcnet_x1_0_fgd_layout.pdparams"
)
COCO_L = "https://paddledet.bj.bcebos.com/models/picodet_l_640_coco_lcnet.pdparams"
FACE_SIZES = tuple((side, side) for side in (704, 768, 896, 960, 1088, 1152, 1280))


def _by_newest_ppdet(recipe: Recipe) -> Recipe:
    """As PaddleDetection 666f597 does it, which PaddleX clones."""
    return replace(
        recipe,
        augmentation=replace(recipe.augmentation, distort="ppdet-2.7"),
        ema=replace(PPDET_2_4, cycle=recipe.ema.cycle),
        box_normalizer="own over ranks",
    )


def _paddlex(
    name: str,
    weights: str,
    per_gpu: int,
    schedule: Schedule,
    snapshot: int = 10,
) -> Recipe:
    """One of the head of 2022."""
    recipe = recipe_2022(name, weights, per_gpu, schedule.base_lr)
    return _by_newest_ppdet(replace(recipe, schedule=schedule, snapshot_epochs=snapshot))


def _layout_1x(name: str) -> Recipe:
    """One of PicoHead, which starts from PaddleOCR's detector."""
    recipe = short(recipe_2021(name, "", 24), epochs=100, cycle=10, snapshot=1)
    schedule = replace(recipe.schedule, epochs=50, warmup_steps=100)
    return _by_newest_ppdet(replace(recipe, backbone_weights=LAYOUT_1X, schedule=schedule))


def _face(recipe: Recipe) -> Recipe:
    """Its backbone's weights are on a server of Baidu's own."""
    augmentation = replace(recipe.augmentation, sizes=FACE_SIZES)
    return replace(recipe, backbone_weights=None, augmentation=augmentation)


def _smrt(name: str) -> Recipe:
    """PaddleSMRT's: on one GPU, from the detector of COCO."""
    schedule = Schedule(0.006, 50, decay_epochs=50, warmup_factor=0.001)
    recipe = recipe_2022(name, COCO_L, 8, schedule.base_lr)
    return replace(recipe, schedule=schedule, batches=Batches(8, gpus=1))


S_LAYOUT = Schedule(0.08, 100, decay_epochs=300, warmup_steps=100)
L_LAYOUT = Schedule(0.06, 100, decay_epochs=150)
FINE_TUNING = Schedule(0.08, 50, decay_epochs=300, warmup_steps=100)

PADDLEX_RECIPES = (
    *(_smrt(f"picodet_l_{side}_coco_lcnet_battery") for side in (640, 1024)),
    *(_smrt(f"picodet_l_{side}_coco_lcnet_lvjian1") for side in (640, 1024)),
    *(_smrt(f"picodet_l_{side}_coco_lcnet_renche") for side in (640, 1024)),
    _paddlex("PicoDet-XS", LCNET_XS, 56, Schedule(0.28, 300, decay_epochs=300)),
    _paddlex("PicoDet-S", LCNET_S, 64, FINE_TUNING, snapshot=1),
    _paddlex("PicoDet-M", LCNET_M, 48, Schedule(0.24, 250, decay_epochs=300)),
    _paddlex("PicoDet-L", LCNET_L, 16, FINE_TUNING, snapshot=1),
    _paddlex("PP-DocLayout-S", LAYOUT_17, 16, S_LAYOUT),
    _paddlex("PP-DocLayout-M", LAYOUT_L, 16, L_LAYOUT),
    _paddlex("PicoDet-S_layout_3cls", LAYOUT_3, 16, S_LAYOUT),
    _paddlex("PicoDet-L_layout_3cls", LAYOUT_L, 16, L_LAYOUT),
    _paddlex("PicoDet-S_layout_17cls", LAYOUT_17, 16, S_LAYOUT),
    _paddlex("PicoDet-L_layout_17cls", LAYOUT_L, 16, L_LAYOUT),
    _layout_1x("PicoDet_layout_1x"),
    _layout_1x("PicoDet_layout_1x_table"),
    _by_newest_ppdet(short(recipe_2021("PP-ShiTuV2_det", "LCNet_x2_5_ssld", 56), 100, 20, 2)),
    _face(
        _by_newest_ppdet(short(recipe_2021("PicoDet_LCNet_x2_5_face", "", 16, lr=0.08), 300, 20, 1))
    ),
)
