"""What follows from a recipe's numbers for images that are shared among processes."""

import math
from dataclasses import dataclass, replace

from picodet.training.recipes.lr_schedule import learning_rates, linear_scaling_rule
from picodet.training.recipes.schema import Batches, Recipe

COCO_TRAIN = 117_266  # images of train2017 that have a box: the others are not trained on


@dataclass(frozen=True)
class Derived:
    """Numbers that follow from a recipe's, for so many images."""

    images: int
    steps_per_epoch: int
    steps: int  # of the whole training
    first_lr: float
    last_lr: float


def scaled_to_batch(recipe: Recipe, per_gpu: int, gpus: int = 1) -> Recipe:
    """The same for other images a step; its base rate follows by the linear rule.

    ppdet never changes a rate by itself and tells people to (configs/picodet/README_en.md).
    """
    batches = Batches(per_gpu, gpus)
    lr = linear_scaling_rule(recipe.schedule.base_lr, recipe.batches.total, batches.total)
    return replace(recipe, batches=batches, schedule=replace(recipe.schedule, base_lr=lr))


def scaling_note(recipe: Recipe, used: Recipe) -> str | None:
    """What `scaled_to_batch` has changed, for people; None where it changed no rate."""
    if recipe.batches.total == used.batches.total:
        return None
    return (
        f"base rate {recipe.schedule.base_lr:g} for {recipe.batches.total} images a step is "
        f"{used.schedule.base_lr:.6g} for {used.batches.total}, by the linear rule"
    )


def derived(recipe: Recipe, images: int = COCO_TRAIN) -> Derived:
    """Each process has as many images as any other, and leaves out what fills no batch.

    As paddle.io.DistributedBatchSampler with drop_last does.
    """
    steps = math.ceil(images / recipe.batches.gpus) // recipe.batches.per_gpu
    total = steps * recipe.schedule.epochs
    lr = learning_rates(recipe.schedule, max(steps, 1))
    return Derived(images, steps, total, lr(0), lr(max(total - 1, 0)))
