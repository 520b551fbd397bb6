"""Recipes as text: values, derived numbers, a row of a table, Markdown, JSON."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from picodet.training.recipes.batch_scaling import COCO_TRAIN, derived
from picodet.training.recipes.limits import leaves
from picodet.training.recipes.schema import Recipe, SimOTA, Size
from picodet.training.recipes.yaml_file import Resolved

COLUMNS = ("recipe", "sizes", "batch", "base lr", "epochs", "assigner", "EMA")


def derived_lines(recipe: Recipe, images: int = COCO_TRAIN) -> list[str]:
    """Images per step, steps and learning rates as lines of text; and a note, if there is one."""
    batches, schedule = recipe.batches, recipe.schedule
    follows = derived(recipe, images)
    return [
        f"{batches.total} images per step ({batches.per_gpu} x {batches.gpus}); for another number "
        f"the base learning rate {schedule.base_lr:g} is scaled linearly",
        f"{images:,} images: {follows.steps_per_epoch:,} steps per epoch, {follows.steps:,} in "
        f"all; learning rate from {follows.first_lr:.6g} to {follows.last_lr:.6g}",
        *filter(None, [never_aligned(recipe)]),
    ]


def never_aligned(recipe: Recipe) -> str | None:
    """A note if the task-aligned assigner is part of a recipe, and never runs."""
    assignment, epochs = recipe.assignment, recipe.schedule.epochs
    if isinstance(assignment, SimOTA) or assignment.static_epochs < epochs:
        return None
    return (
        f"the task-aligned assigner never runs: assignment.static_epochs is "
        f"{assignment.static_epochs}, and {epochs} epochs are trained, all with ATSS"
    )


def as_json(resolved: Resolved, images: int = COCO_TRAIN) -> dict[str, Any]:
    """The recipe as `--json` writes it."""
    numbers = {
        path: {
            "value": value,
            "source": resolved.sources[path],
            "changed": path in resolved.changed,
        }
        for path, value in leaves(resolved.recipe).items()
    }
    follows = asdict(derived(resolved.recipe, images))
    note = never_aligned(resolved.recipe)
    derived_numbers = {"batch": resolved.recipe.batches.total, **follows}
    return {"numbers": numbers, "derived": derived_numbers, "notes": [note] if note else []}


def markdown(recipes: Iterable[Recipe]) -> str:
    """The table of recipes in Markdown, for the documentation."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(row, recipes)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def shown(value: Any) -> str:
    """A value as text: none, yes, no, 416, 320x416, a list of sizes .."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple) and isinstance(value[0], tuple):
        return ", ".join(map(_size, value))
    return _size(value) if isinstance(value, tuple) else str(value)


def _size(size: Size) -> str:
    height, width = size
    return str(height) if height == width else f"{height}x{width}"


def row(recipe: Recipe) -> tuple[str, ...]:
    """The cells of a recipe, one for each of COLUMNS."""
    batches, schedule, ema = recipe.batches, recipe.schedule, recipe.ema
    assignment = recipe.assignment
    sizes = recipe.augmentation.sizes
    cosine = "" if schedule.epochs == schedule.decay_epochs else f" of {schedule.decay_epochs}"
    if isinstance(assignment, SimOTA):
        assigner = "SimOTA"
    else:
        static = assignment.static_epochs
        assigner = "ATSS, never TAL" if never_aligned(recipe) else f"ATSS {static}, then TAL"
    cycle = f"{ema.applied}, cycle {ema.cycle}" if ema.cycle else "no cycle"
    return (
        recipe.model.name,
        f"{_size(sizes[0])} .. {_size(sizes[-1])}",
        f"{batches.per_gpu} x {batches.gpus}",
        f"{schedule.base_lr:g}",
        f"{schedule.epochs}{cosine}",
        assigner,
        cycle,
    )
