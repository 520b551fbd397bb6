"""What the recipes of a generation have in common, and how others differ from it."""

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
LCNET_XS = f"{PRETRAINED}LCNet_x0_35_pretrained.pdparams"
LCNET_S = f"{LEGENDARY}0_75_pretrained.pdparams"
LCNET_M = f"{PRETRAINED}LCNet_x1_5_pretrained.pdparams"
LCNET_L = f"{LEGENDARY}2_0_pretrained.pdparams"
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


def recipe_2021(
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


def recipe_2022(name: str, weights: str, per_gpu: int, lr: float, epochs: int = 300) -> Recipe:
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


def short(recipe: Recipe, epochs: int, cycle: int, snapshot: int) -> Recipe:
    """For the layout and mainbody models: the cosine ends with the epochs."""
    return replace(
        recipe,
        schedule=replace(recipe.schedule, epochs=epochs, decay_epochs=epochs),
        ema=replace(recipe.ema, cycle=cycle),
        snapshot_epochs=snapshot,
    )
