"""`--data`: a dataset in COCO's, Pascal VOC's or YOLO's form, for training and evaluation."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from picodet.commands.common import add_inputs

if TYPE_CHECKING:
    from picodet.data.coco import AnnotationSource
    from picodet.data.forms.dataset import DatasetSplit

    Data = tuple[Path, AnnotationSource]  # folder of the images, and their annotations


def evaluation_data(path: Path) -> "Data":
    """The split `val` of a dataset, or all of one without splits. Raises PicoDetError."""
    from picodet.data.forms.dataset import read_any_split

    return _declared(read_any_split(path, "val"))


def training_data(path: Path) -> tuple["Data", "Data | None"]:
    """What to train on, and what to evaluate on, if there is such a split. Raises PicoDetError."""
    from picodet.data.forms.dataset import read_any_split, read_split

    train, val = read_any_split(path, "train"), read_split(path, "val")
    if val is None:
        _note(f"{path}: has no split to evaluate on; nothing is evaluated")
    for note in val.annotations.notes if val else ():  # the training notes those of `train`
        _note(note)
    return _declared(train), None if val is None else _declared(val)


def dataset_classes(recipe: str, source: "AnnotationSource") -> tuple[str, ...] | None:
    """The classes of a dataset of `--data` that lacks some of the recipe's; None: the recipe's."""
    from picodet.data.coco import Annotations
    from picodet.training.recipes.yaml_file import resolve

    if not isinstance(source, Annotations):
        return None
    names = tuple(category.name for category in source.categories)
    if set(resolve(recipe).recipe.model.classes) <= set(names):
        return None
    _note(
        f"{source.path}: its own {len(names)} classes are trained, as it lacks some of the "
        "recipe's; --classes chooses others"
    )
    return names


def _note(text: str) -> None:
    """Print a note, once among the processes that torchrun starts."""
    from picodet.distributed import is_first

    if is_first():
        click.echo(f"Note: {text}", err=True)


def _declared(split: "DatasetSplit") -> "Data":
    add_inputs(split.annotations.path)
    return split.images, split.annotations
