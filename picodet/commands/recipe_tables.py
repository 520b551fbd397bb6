"""`picodet-train --print`: every setting of a recipe, or a table of all recipes."""

from pathlib import Path

from rich.console import Console

from picodet.files import write_json
from picodet.training.recipes.display import as_json, print_recipes
from picodet.training.recipes.display import print_recipe as print_numbers
from picodet.training.recipes.limits import leaves
from picodet.training.recipes.official import RECIPES
from picodet.training.recipes.yaml_file import resolve

ALL = "all"


def print_recipe(argument: str, json_file: Path | None = None) -> None:
    """Print a recipe by name or file, or "all". Raises TrainingError for anything else."""
    console = Console()
    if argument == ALL:
        print_recipes(RECIPES.values(), console)
        content = {name: leaves(recipe) for name, recipe in RECIPES.items()}
    else:
        resolved = resolve(argument)
        print_numbers(resolved, console)
        content = as_json(resolved)
    if json_file is not None:
        write_json(json_file, content)
