"""Scale a recipe to another batch size, and count its steps."""

import math
from dataclasses import dataclass, replace

from picodet.training.recipes.lr_schedule import learning_rates, linear_scaling_rule
from picodet.training.recipes.schema import Batches, Recipe

COCO_TRAIN = 117_266  # images of train2017 with a box; the others are not trained on


@dataclass(frozen=True)
class Derived:
    """Steps and learning rates of a recipe for a number of images."""

    images: int
    steps_per_epoch: int
    steps: int  # of the whole training
    first_lr: float
    last_lr: float


def scaled_to_batch(recipe: Recipe, per_gpu: int, gpus: int = 1) -> Recipe:
    """The recipe for another number of images per step; base_lr by the linear scaling rule.

    ppdet never changes a learning rate itself, but advises to (configs/picodet/README_en.md).
    """
    batches = Batches(per_gpu, gpus)
    lr = linear_scaling_rule(recipe.schedule.base_lr, recipe.batches.total, batches.total)
    return replace(recipe, batches=batches, schedule=replace(recipe.schedule, base_lr=lr))


def scaling_note(recipe: Recipe, used: Recipe) -> str | None:
    """A note on how `scaled_to_batch` changed the learning rate; None if it did not."""
    if recipe.batches.total == used.batches.total:
        return None
    return (
        f"base learning rate {recipe.schedule.base_lr:g} for {recipe.batches.total} images per "
        f"step scaled to {used.schedule.base_lr:.6g} for {used.batches.total} (linear scaling rule)"
    )


def derived(recipe: Recipe, images: int = COCO_TRAIN) -> Derived:
    """Steps and learning rates for a number of images.

    All processes have the same number of images and drop the last incomplete batch, as
    paddle.io.DistributedBatchSampler with drop_last.
    """
    steps = math.ceil(images / recipe.batches.gpus) // recipe.batches.per_gpu
    total = steps * recipe.schedule.epochs
    lr = learning_rates(recipe.schedule, max(steps, 1))
    return Derived(images, steps, total, lr(0), lr(max(total - 1, 0)))
