"""A recipe for a terminal and for machines, and all of them for the README."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picodet.training.recipes.batch_scaling import COCO_TRAIN, derived
from picodet.training.recipes.limits import leaves
from picodet.training.recipes.schema import Recipe, SimOTA, Size
from picodet.training.recipes.yaml_file import Resolved

UNLIMITED = 10_000  # characters of a line, where nobody has to see it whole
COLUMNS = ("recipe", "sizes", "batch", "base lr", "epochs", "assigner", "EMA")


def print_recipe(resolved: Resolved, console: Console, images: int = COCO_TRAIN) -> None:
    """Every number with where it stands in ppdet; what a file has changed is marked."""
    table = Table(box=SIMPLE)
    for header in ("number", "value", "source"):
        table.add_column(header, overflow="fold")
    for path, value in leaves(resolved.recipe).items():
        changed = path in resolved.changed
        table.add_row(
            Text(f"{path} *" if changed else path),
            Text(shown(value), style="bold" if changed else ""),
            Text(resolved.sources[path]),
        )
    if not console.is_terminal:
        console.width = UNLIMITED
        console.width = console.measure(table).maximum
    console.print(table)
    if resolved.changed:
        console.print(Text("*: not what ppdet has"))
    for line in derived_lines(resolved.recipe, images):
        console.print(Text(line))


def derived_lines(recipe: Recipe, images: int = COCO_TRAIN) -> list[str]:
    """What follows from the numbers, for people."""
    batches, schedule = recipe.batches, recipe.schedule
    follows = derived(recipe, images)
    return [
        f"{batches.total} images a step ({batches.per_gpu} x {batches.gpus}); for "
        f"another number the base rate {schedule.base_lr:g} follows it (linear rule)",
        f"{images:,} images: {follows.steps_per_epoch:,} steps an epoch, {follows.steps:,} in "
        f"all; learning rate from {follows.first_lr:.6g} to {follows.last_lr:.6g}",
    ]


def as_json(resolved: Resolved, images: int = COCO_TRAIN) -> dict[str, Any]:
    """For `--json`."""
    numbers = {
        path: {
            "value": value,
            "source": resolved.sources[path],
            "changed": path in resolved.changed,
        }
        for path, value in leaves(resolved.recipe).items()
    }
    follows = asdict(derived(resolved.recipe, images))
    return {"numbers": numbers, "derived": {"batch": resolved.recipe.batches.total, **follows}}


def print_recipes(recipes: Iterable[Recipe], console: Console) -> None:
    """A line each."""
    table = Table(box=SIMPLE)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for recipe in recipes:
        table.add_row(*map(Text, _row(recipe)))
    if not console.is_terminal:
        console.width = UNLIMITED
        console.width = console.measure(table).maximum
    console.print(table)


def markdown(recipes: Iterable[Recipe]) -> str:
    """The same for the README."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_row, recipes)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def shown(value: Any) -> str:
    """A value as people write it."""
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


def _row(recipe: Recipe) -> tuple[str, ...]:
    batches, schedule, ema = recipe.batches, recipe.schedule, recipe.ema
    assignment = recipe.assignment
    sizes = recipe.augmentation.sizes
    cosine = "" if schedule.epochs == schedule.decay_epochs else f" of {schedule.decay_epochs}"
    if isinstance(assignment, SimOTA):
        assigner = "SimOTA"
    else:
        assigner = f"ATSS {assignment.static_epochs}, then TAL"
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
