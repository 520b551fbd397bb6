"""A recipe as a table on a terminal or as JSON, and all recipes as a table."""

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

UNLIMITED = 10_000  # characters per line, if the output is not a terminal
COLUMNS = ("recipe", "sizes", "batch", "base lr", "epochs", "assigner", "EMA")


def print_recipe(resolved: Resolved, console: Console, images: int = COCO_TRAIN) -> None:
    """Print every number of a recipe and its source in ppdet; what a file has changed is marked."""
    table = Table(box=SIMPLE)
    for header in ("setting", "value", "source"):
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
        console.print(Text("*: differs from ppdet"))
    for line in derived_lines(resolved.recipe, images):
        console.print(Text(line))


def derived_lines(recipe: Recipe, images: int = COCO_TRAIN) -> list[str]:
    """Images per step, steps and learning rates, in two lines of text."""
    batches, schedule = recipe.batches, recipe.schedule
    follows = derived(recipe, images)
    return [
        f"{batches.total} images per step ({batches.per_gpu} x {batches.gpus}); for another number "
        f"the base learning rate {schedule.base_lr:g} is scaled linearly",
        f"{images:,} images: {follows.steps_per_epoch:,} steps per epoch, {follows.steps:,} in "
        f"all; learning rate from {follows.first_lr:.6g} to {follows.last_lr:.6g}",
    ]


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
    return {"numbers": numbers, "derived": {"batch": resolved.recipe.batches.total, **follows}}


def print_recipes(recipes: Iterable[Recipe], console: Console) -> None:
    """Print a table with a row for each recipe."""
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
    """The table of recipes in Markdown, for the documentation."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_row, recipes)]
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
