"""`picodet-train --print`: every setting of a recipe, or a table of all recipes."""

from collections.abc import Iterable
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picodet.files import write_json
from picodet.training.recipes.batch_scaling import COCO_TRAIN
from picodet.training.recipes.display import COLUMNS, as_json, derived_lines, row, shown
from picodet.training.recipes.limits import leaves
from picodet.training.recipes.official import RECIPES
from picodet.training.recipes.schema import Recipe
from picodet.training.recipes.yaml_file import Resolved, resolve

ALL = "all"
UNLIMITED = 10_000  # characters per line, if the output is not a terminal


def show_recipe(argument: str, json_file: Path | None = None) -> None:
    """Print a recipe by name or file, or "all". Raises TrainingError for anything else."""
    console = Console()
    if argument == ALL:
        print_recipes(RECIPES.values(), console)
        content = {name: leaves(recipe) for name, recipe in RECIPES.items()}
    else:
        resolved = resolve(argument)
        print_recipe(resolved, console)
        content = as_json(resolved)
    if json_file is not None:
        write_json(json_file, content)


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
    _print_table(table, console)
    if resolved.changed:
        console.print(Text("*: differs from ppdet"))
    for line in derived_lines(resolved.recipe, images):
        console.print(Text(line))


def print_recipes(recipes: Iterable[Recipe], console: Console) -> None:
    """Print a table with a row for each recipe."""
    table = Table(box=SIMPLE)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for recipe in recipes:
        table.add_row(*map(Text, row(recipe)))
    _print_table(table, console)


def _print_table(table: Table, console: Console) -> None:
    """Print a table; outside a terminal no cell is wrapped."""
    if not console.is_terminal:
        console.width = UNLIMITED
        console.width = console.measure(table).maximum
    console.print(table)
