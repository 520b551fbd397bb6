"""How PaddleDetection 666f597 trains its PicoDets: a line each, by the model's name.

Sources: the .yml files under configs/picodet, of which `picodet.training.recipes.provenance` names
the one that each number stands in. One config of the 34 is no training of its own and is not here:
picodet_lcnet_x2_5_layout, a teacher without reader, learning rate or epochs. The pruner's
numbers are those of the training beside which it prunes; pruning itself is not done here.
"""

from dataclasses import replace

from picodet.training.recipes.schema import (
    Augmentation,
    Batches,
    EMAConfig,
    LossWeights,
    Recipe,
    Schedule,
    SimOTA,
    Size,
    TaskAligned,
)
from picodet.zoo.official import CONFIGS

PRETRAINED = "https://paddledet.bj.bcebos.com/models/pretrained/"
LEGENDARY = "https://paddle-imagenet-models-name.bj.bcebos.com/dygraph/legendary_models/PPLCNet_x"
REACH, STEP = 64, 32  # pixels around a model's own side, of the sizes of its batches

# When ppdet takes snapshots of its EMA, by release; see picodet.training.ema
PPDET_2_3 = EMAConfig(applied="every epoch")
PPDET_2_4 = EMAConfig(applied="at snapshots")

LOSSES_2021 = LossWeights(vfl=1.0, giou=2.0, dfl=0.25)
LOSSES_2022 = LossWeights(vfl=1.0, giou=2.5, dfl=0.5)


def sizes_around(size: Size) -> tuple[Size, ...]:
    """The multi-scale sizes of a model: five squares, or three portrait sizes, 32 pixels apart."""
    height, width = size
    reach = min(REACH if height == width else STEP, min(size) - STEP)
    return tuple((height + d, width + d) for d in range(-reach, reach + 1, STEP))


def _recipe_2021(
    name: str, weights: str, per_gpu: int, lr: float = 0.4, epochs: int = 300
) -> Recipe:
    """EMA as in ppdet 2.3, with which the published weights of 2021 were trained.

    Later releases read the same `cycle_epoch` but never reach it.
    """
    return Recipe(
        CONFIGS[name],
        f"{PRETRAINED}{weights}_pretrained.pdparams",
        Batches(per_gpu),
        Schedule(lr, epochs, decay_epochs=300),
        Augmentation(sizes_around(CONFIGS[name].input_size)),
        SimOTA(),
        LOSSES_2021,
        replace(PPDET_2_3, cycle=40),
    )


def _recipe_2022(name: str, weights: str, per_gpu: int, lr: float, epochs: int = 300) -> Recipe:
    """EMA as in ppdet 2.4, in which these models appeared; without a cycle it equals 2.3's."""
    return Recipe(
        CONFIGS[name],
        weights,
        Batches(per_gpu),
        Schedule(lr, epochs, decay_epochs=300),
        Augmentation(sizes_around(CONFIGS[name].input_size)),
        TaskAligned(),
        LOSSES_2022,
        PPDET_2_4,
    )


def _short(recipe: Recipe, epochs: int, cycle: int, snapshot: int) -> Recipe:
    """For the layout and mainbody models: the cosine ends with the epochs."""
    return replace(
        recipe,
        schedule=replace(recipe.schedule, epochs=epochs, decay_epochs=epochs),
        ema=replace(recipe.ema, cycle=cycle),
        snapshot_epochs=snapshot,
    )


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
LCNET_XS = f"{PRETRAINED}LCNet_x0_35_pretrained.pdparams"
LCNET_S = f"{LEGENDARY}0_75_pretrained.pdparams"
LCNET_M = f"{PRETRAINED}LCNet_x1_5_pretrained.pdparams"
LCNET_L = f"{LEGENDARY}2_0_pretrained.pdparams"

_ALL = (
    # 2022
    _recipe_2022("picodet_xs_320_coco_lcnet", LCNET_XS, 64, 0.32),
    _recipe_2022("picodet_xs_416_coco_lcnet", LCNET_XS, 56, 0.28),
    _recipe_2022("picodet_s_320_coco_lcnet", LCNET_S, 64, 0.32),
    _recipe_2022("picodet_s_416_coco_lcnet", LCNET_S, 48, 0.24),
    _recipe_2022("picodet_m_320_coco_lcnet", LCNET_M, 48, 0.24),
    _recipe_2022("picodet_m_416_coco_lcnet", LCNET_M, 48, 0.24, epochs=250),
    _recipe_2022("picodet_l_320_coco_lcnet", LCNET_L, 24, 0.12, epochs=250),
    _recipe_2022("picodet_l_416_coco_lcnet", LCNET_L, 24, 0.12, epochs=250),
    _recipe_2022("picodet_l_640_coco_lcnet", LCNET_L, 12, 0.06, epochs=200),
    _npu(_recipe_2022("picodet_s_416_coco_npu", LCNET_S, 40, 0.2)),
    replace(
        _recipe_2022("picodet_s_192_lcnet_pedestrian", LCNET_S, 64, 0.32),
        assignment=TaskAligned(static_candidates=4),
    ),
    _recipe_2022("picodet_s_320_lcnet_pedestrian", LCNET_S, 64, 0.32),
    # 2021
    _recipe_2021("picodet_s_320_coco", ESNET_S, 128),
    _recipe_2021("picodet_s_416_coco", ESNET_S, 80),
    _recipe_2021("picodet_m_320_coco", ESNET_M, 128),
    _recipe_2021("picodet_m_416_coco", ESNET_M, 80),
    _recipe_2021("picodet_l_320_coco", ESNET_L, 56, 0.3, epochs=250),
    _recipe_2021("picodet_l_416_coco", ESNET_L, 48, 0.3, epochs=250),
    _recipe_2021("picodet_l_640_coco", ESNET_L, 32, 0.3, epochs=250),
    _recipe_2021("picodet_s_320_voc", ESNET_S, 128),
    _pruner(_recipe_2021("picodet_m_320_coco_pruner", ESNET_M, 128, 0.15)),
    _recipe_2021("picodet_s_192_pedestrian", ESNET_S, 128),
    _recipe_2021("picodet_s_320_pedestrian", ESNET_S, 128),
    # 2021, other backbones
    _recipe_2021("picodet_lcnet_1_0x_416_coco", "LCNet_x1_0", 90),
    _recipe_2021("picodet_lcnet_1_5x_416_coco", "LCNet_x1_5", 80),
    _recipe_2021("picodet_lcnet_1_5x_640_coco", "LCNet_x1_5", 24, 0.2),
    _recipe_2021("picodet_lcnet_2_5x_416_coco", "LCNet_x2_5_ssld", 48),
    _recipe_2021(
        *("picodet_mobilenetv3_large_1x_416_coco", "MobileNetV3_large_x1_0_ssld", 56, 0.3),
        epochs=180,
    ),
    _recipe_2021("picodet_r18_640_coco", "ResNet18_vd", 56, 0.3),
    _recipe_2021("picodet_shufflenetv2_1x_416_coco", "ShuffleNetV2_x1_0", 80),
    _short(_recipe_2021("picodet_lcnet_x1_0_layout", "LCNet_x1_0", 24), 100, 10, 1),
    _short(_recipe_2021("picodet_lcnet_cdla_layout", "LCNet_x1_0", 12), 150, 10, 1),
    _short(_recipe_2021("picodet_lcnet_x2_5_640_mainbody", "LCNet_x2_5_ssld", 56), 100, 20, 2),
)

RECIPES = {recipe.model.name: recipe for recipe in _ALL}
