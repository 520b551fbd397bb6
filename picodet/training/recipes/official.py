"""The official recipes: how PaddleDetection 666f597 trains its PicoDets, a line each.

Sources: the .yml files under configs/picodet, of which `picodet.training.recipes.provenance` names
the one that each number stands in. Those of PaddleX and PaddleSMRT are in
`picodet.training.recipes.paddlex`. One config of PaddleDetection is no training of its own and is
not here: picodet_lcnet_x2_5_layout, a teacher without reader, learning rate or epochs. The pruner's
numbers are those of the training beside which it prunes; pruning itself is not done here.
"""

from dataclasses import replace

from picodet.training.recipes.builders import (
    LCNET_L,
    LCNET_M,
    LCNET_S,
    LCNET_XS,
    STEP,
    recipe_2021,
    recipe_2022,
    short,
)
from picodet.training.recipes.paddlex import PADDLEX_RECIPES
from picodet.training.recipes.schema import Recipe, TaskAligned


def _pruner(recipe: Recipe) -> Recipe:
    """Its learning rate is constant while it prunes: 150 epochs of 229 steps."""
    schedule = replace(recipe.schedule, warmup_factor=1.0, warmup_steps=34350)
    return replace(recipe, schedule=schedule)


def _npu(recipe: Recipe) -> Recipe:
    schedule = replace(
        recipe.schedule,
        warmup="exponential",
        warmup_steps=0,
        warmup_epochs=2,
        end_ratio=0.08,
        plateau_epochs=30,
    )
    augmentation = replace(
        recipe.augmentation,
        sizes=tuple((side, side) for side in range(320, 513, STEP)),
        mosaic=True,
        mosaic_epochs=180,
        crop=False,
        distort=None,
    )
    return replace(recipe, schedule=schedule, augmentation=augmentation)


ESNET_S, ESNET_M, ESNET_L = "ESNet_x0_75", "ESNet_x1_0", "ESNet_x1_25"

_ALL = (
    # 2022
    recipe_2022("picodet_xs_320_coco_lcnet", LCNET_XS, 64, 0.32),
    recipe_2022("picodet_xs_416_coco_lcnet", LCNET_XS, 56, 0.28),
    recipe_2022("picodet_s_320_coco_lcnet", LCNET_S, 64, 0.32),
    recipe_2022("picodet_s_416_coco_lcnet", LCNET_S, 48, 0.24),
    recipe_2022("picodet_m_320_coco_lcnet", LCNET_M, 48, 0.24),
    recipe_2022("picodet_m_416_coco_lcnet", LCNET_M, 48, 0.24, epochs=250),
    recipe_2022("picodet_l_320_coco_lcnet", LCNET_L, 24, 0.12, epochs=250),
    recipe_2022("picodet_l_416_coco_lcnet", LCNET_L, 24, 0.12, epochs=250),
    recipe_2022("picodet_l_640_coco_lcnet", LCNET_L, 12, 0.06, epochs=200),
    _npu(recipe_2022("picodet_s_416_coco_npu", LCNET_S, 40, 0.2)),
    replace(
        recipe_2022("picodet_s_192_lcnet_pedestrian", LCNET_S, 64, 0.32),
        assignment=TaskAligned(static_candidates=4),
    ),
    recipe_2022("picodet_s_320_lcnet_pedestrian", LCNET_S, 64, 0.32),
    # 2021
    recipe_2021("picodet_s_320_coco", ESNET_S, 128),
    recipe_2021("picodet_s_416_coco", ESNET_S, 80),
    recipe_2021("picodet_m_320_coco", ESNET_M, 128),
    recipe_2021("picodet_m_416_coco", ESNET_M, 80),
    recipe_2021("picodet_l_320_coco", ESNET_L, 56, 0.3, epochs=250),
    recipe_2021("picodet_l_416_coco", ESNET_L, 48, 0.3, epochs=250),
    recipe_2021("picodet_l_640_coco", ESNET_L, 32, 0.3, epochs=250),
    recipe_2021("picodet_s_320_voc", ESNET_S, 128),
    _pruner(recipe_2021("picodet_m_320_coco_pruner", ESNET_M, 128, 0.15)),
    recipe_2021("picodet_s_192_pedestrian", ESNET_S, 128),
    recipe_2021("picodet_s_320_pedestrian", ESNET_S, 128),
    # 2021, other backbones
    recipe_2021("picodet_lcnet_1_0x_416_coco", "LCNet_x1_0", 90),
    recipe_2021("picodet_lcnet_1_5x_416_coco", "LCNet_x1_5", 80),
    recipe_2021("picodet_lcnet_1_5x_640_coco", "LCNet_x1_5", 24, 0.2),
    recipe_2021("picodet_lcnet_2_5x_416_coco", "LCNet_x2_5_ssld", 48),
    recipe_2021(
        *("picodet_mobilenetv3_large_1x_416_coco", "MobileNetV3_large_x1_0_ssld", 56, 0.3),
        epochs=180,
    ),
    recipe_2021("picodet_r18_640_coco", "ResNet18_vd", 56, 0.3),
    recipe_2021("picodet_shufflenetv2_1x_416_coco", "ShuffleNetV2_x1_0", 80),
    short(recipe_2021("picodet_lcnet_x1_0_layout", "LCNet_x1_0", 24), 100, 10, 1),
    short(recipe_2021("picodet_lcnet_cdla_layout", "LCNet_x1_0", 12), 150, 10, 1),
    short(recipe_2021("picodet_lcnet_x2_5_640_mainbody", "LCNet_x2_5_ssld", 56), 100, 20, 2),
)

RECIPES = {recipe.model.name: recipe for recipe in (*_ALL, *PADDLEX_RECIPES)}
