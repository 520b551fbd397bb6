"""`picodet-train`: train a detector by a recipe, on a dataset, from initial weights."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from picodet.commands.common import Command, fetch_official, resize_option
from picodet.commands.params import (
    MAX_SEED,
    CocoFolder,
    DatasetPath,
    FiniteFloat,
    ImageFolder,
    InputPath,
    ModelPath,
    OutputFile,
    OutputFolder,
)
from picodet.commands.progress import progress_bar, progress_line
from picodet.errors import TrainingError
from picodet.files import write_json

if TYPE_CHECKING:
    from picodet.commands.data.inputs import Data
    from picodet.training.trainer import TrainResult

IMAGENET = "imagenet"
OUTPUT_FILES = (
    *("checkpoints", "images.json", "training.lock", "log.jsonl", "tensorboard"),
    *("*_ema.pth", "*_raw.pth"),
)
LR_RANGE = (1e-9, 100)  # as in picodet.training.recipes.limits


@click.command(cls=Command)
@click.argument("recipe", type=InputPath(str), required=False)
@click.option(
    "--print",
    "printed_recipe",
    type=InputPath(str),
    metavar="RECIPE",
    help="Show every setting of a recipe and its source; `all`: a table of all recipes.",
)
@click.option("--coco", type=CocoFolder(), help="Folder with train2017, val2017 and annotations.")
@click.option(
    "--data",
    type=DatasetPath(),
    help="Instead of --coco: a dataset in the form of COCO, Pascal VOC or YOLO, as recognized.",
)
@click.option(
    "--images", type=ImageFolder(), help="Instead of --coco: folder of the training images .."
)
@click.option("--annotations", type=InputPath(), help="  .. and their annotation file.")
@click.option("--val-images", type=ImageFolder(), help="Folder of the evaluation images ..")
@click.option("--val-annotations", type=InputPath(), help="  .. and their annotation file.")
@click.option(
    "--pretrained",
    type=ModelPath(str),
    metavar="FILE",
    help="Weights to start from: a backbone or a detector in any form, an official name, or "
    "`imagenet`, the backbone that the recipe names.  [default: random, as ppdet initializes]",
)
@click.option("--classes", type=InputPath(), help="Names, one per line.  [default: the recipe's]")
@click.option(
    "--head",
    type=click.Choice(("reuse", "reset")),
    default="reuse",
    show_default=True,
    help="Where --pretrained has other classes: reuse the weights of classes of the same name, or "
    "re-initialize all, as ppdet does.",
)
@click.option(
    "--out",
    type=OutputFolder(*OUTPUT_FILES),
    default="training",
    show_default=True,
    help="Output folder.",
)
@click.option(
    "--resume", is_flag=True, help="Resume the training in --out; --pretrained is not read then."
)
@click.option("--batch", type=click.IntRange(1), help="Batch size of each process.")
@click.option(
    "--accumulation-steps",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Batches per optimizer step.",
)
@click.option("--lr", type=FiniteFloat(*LR_RANGE), help="Base learning rate; not scaled.")
@resize_option
@click.option("--seed", type=click.IntRange(0, MAX_SEED), default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cuda: a GPU for each process.")
@click.option("--amp", is_flag=True, help="Mixed precision.")
@click.option(
    "--workers", type=click.IntRange(0), default=2, show_default=True, help="Data loader processes."
)
@click.option("--evaluate-every", type=click.IntRange(0), help="Epochs; 0: never.  [default: 10]")
@click.option(
    "--patience",
    type=click.IntRange(1),
    help="Stop after this many evaluations without a better AP.  [default: never]",
)
@click.option("--save-steps", type=click.IntRange(1), default=500, show_default=True)
@click.option("--keep-checkpoints", type=click.IntRange(1), default=3, show_default=True)
@click.option("--json", "json_file", type=OutputFile(), help="Write the result as JSON.")
def train(
    recipe: str | None,
    printed_recipe: str | None,
    coco: Path | None,
    data: Path | None,
    images: Path | None,
    annotations: Path | None,
    val_images: Path | None,
    val_annotations: Path | None,
    pretrained: str | None,
    classes: Path | None,
    head: Any,
    out: Path,
    resume: bool,
    batch: int | None,
    accumulation_steps: int,
    lr: float | None,
    resize: Any,
    seed: int,
    device: str,
    amp: bool,
    workers: int,
    evaluate_every: int | None,
    patience: int | None,
    save_steps: int,
    keep_checkpoints: int,
    json_file: Path | None,
) -> None:
    """Train RECIPE: an official name (picodet list), or a short YAML that changes one.

    `torchrun --nproc_per_node N -m picodet train ..` trains with N processes. If the number of
    images per step differs from the recipe's, the learning rate is scaled in proportion, with a
    note. Ctrl-C stops after the current step; --resume then gives the same bits as without.

    Writes last_ema.pth, best_ema.pth and their raw counterparts, checkpoints to resume from,
    log.jsonl and TensorBoard's files into --out.

    Exit code 0: trained, 1: stopped by an error, 130: interrupted (Ctrl-C), 143: terminated
    (`kill`).
    """
    if (recipe is None) == (printed_recipe is None):
        raise click.UsageError("give either RECIPE or --print RECIPE")
    if recipe is None:
        from picodet.commands.recipe_tables import show_recipe

        show_recipe(str(printed_recipe), json_file)
        return
    from picodet import api
    from picodet.commands.data.inputs import dataset_classes
    from picodet.distributed import is_first
    from picodet.zoo.class_names import read_class_names

    train_data, val_data = _datasets(coco, data, images, annotations, val_images, val_annotations)
    names = read_class_names(classes) if classes else dataset_classes(recipe, train_data[1])
    with progress_line(device, is_first()) as callbacks, _whole_command():
        result = api.train(
            recipe,
            *train_data,
            val_images=val_data and val_data[0],
            val_annotations=val_data and val_data[1],
            pretrained=None if resume else _weights(pretrained, recipe),
            classes=names,
            head=head,
            out=out,
            resume=resume,
            batch=batch,
            accumulation_steps=accumulation_steps,
            lr=lr,
            resize=resize,
            seed=seed,
            device=device,
            amp=amp,
            workers=workers,
            evaluate_every=evaluate_every,
            patience=patience,
            save_steps=save_steps,
            keep_checkpoints=keep_checkpoints,
            callbacks=callbacks,
        )
    if not is_first():
        return
    _print_result(result)
    if json_file:
        write_json(json_file, result.as_json())


@contextmanager
def _whole_command() -> Iterator[None]:
    """Add the whole command line to an error that advises to go on with other options."""
    try:
        yield
    except TrainingError as error:
        from picodet.training.nan_report import NotFiniteError

        if not (isinstance(error, NotFiniteError) and error.options):
            raise
        raise TrainingError(f"{error}. Type: {_command_line(error.options)}") from error


def _command_line(changed: Sequence[str]) -> str:
    """The command line of this run with options changed or added, quoted for a shell."""
    from picodet.distributed import is_distributed, local_processes

    context = click.get_current_context()
    words = context.command_path.split()
    if is_distributed():
        words = ["torchrun", "--nproc_per_node", str(local_processes()), "-m", "picodet", "train"]
    for param in context.command.params:
        name = max(param.opts, key=len)
        given = context.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if not given or name in changed:
            continue
        value = str(context.params[param.name or ""])
        is_flag = isinstance(param, click.Option) and param.is_flag
        words += (
            [name] if is_flag else [value] if param.param_type_name == "argument" else [name, value]
        )
    return shlex.join([*words, *changed])


def _datasets(
    coco: Path | None,
    data: Path | None,
    images: Path | None,
    annotations: Path | None,
    val_images: Path | None,
    val_annotations: Path | None,
) -> tuple["Data", "Data | None"]:
    """(images, annotations) to train on, and to evaluate on if there are any."""
    from picodet.commands.data.inputs import training_data
    from picodet.data.coco import find_coco, has_split

    if bool(images) != bool(annotations) or bool(val_images) != bool(val_annotations):
        raise click.UsageError("give an image folder and its annotation file together")
    if sum(map(bool, (coco, data, images))) != 1:
        raise click.UsageError(
            "give one of --coco DIR, --data PATH, or --images DIR and --annotations FILE"
        )
    val_data: Data | None = None
    if data:
        train_data, val_data = training_data(data)
    elif images and annotations:
        train_data = images, annotations
    else:
        train_data = find_coco(coco or Path(), "train")
    if val_images and val_annotations:
        return train_data, (val_images, val_annotations)
    return train_data, find_coco(coco) if coco and has_split(coco, "val") else val_data


def _weights(weights: str | None, recipe: str) -> Path | None:
    """The file of pretrained weights, downloaded if it is an official name; None: none."""
    if weights != IMAGENET:
        return fetch_official(Path(weights)) if weights else None
    from picodet.download.fetch import fetch
    from picodet.training.recipes.yaml_file import resolve

    recipe_weights = resolve(recipe).recipe.backbone_weights
    if recipe_weights is None:
        raise click.UsageError(
            f"--pretrained {IMAGENET}: the recipe names no backbone weights; give a file"
        )
    with progress_bar("downloading the backbone") as progress:
        return fetch(recipe_weights, progress).path


def _print_result(result: "TrainResult") -> None:
    """Print the result on standard output, its notes on standard error."""
    click.echo(f"trained  {result.epochs} epochs, {result.iterations:,} steps")
    if result.best:
        click.echo(f"best     AP {result.best.ap:.5f} after epoch {result.best.epoch}")
    for file in result.files:
        click.echo(f"written  {file}")
    for note in result.notes:
        click.echo(f"Note: {note}", err=True)
