"""`picodet data convert`: a dataset of any form -> COCO's."""

from pathlib import Path
from typing import Any

import click

from picodet.commands.common import Command
from picodet.commands.params import DatasetPath, OutputFolder
from picodet.commands.progress import progress_bar


@click.group()
def data() -> None:
    """Work with datasets."""


class NewFolder(OutputFolder):
    """A folder that does not exist yet, or is empty."""

    def check(self, path: Path, overwrite: bool) -> None:
        from picodet.data.forms.write_coco import check_new

        check_new(path)


@data.command(cls=Command)
@click.argument("dataset", metavar="IN", type=DatasetPath())
@click.argument("out", metavar="OUT", type=NewFolder())
@click.option(
    "--bad-boxes",
    type=click.Choice(("error", "drop")),
    default="error",
    show_default=True,
    help="Boxes, lines and files with a problem: refuse the dataset, or leave them out.",
)
def convert(dataset: Path, out: Path, bad_boxes: Any) -> None:
    """Write the dataset IN, in COCO's, Pascal VOC's or YOLO's form, as COCO into the folder OUT.

    IN is a folder, whose form is recognized, or a data.yaml. OUT gets train2017, val2017 (copies
    of the images) and annotations; it appears whole or not at all. Masks, keypoints and polygons
    are not written, only boxes.
    """
    from picodet.data.forms.dataset import read_any_split, read_split
    from picodet.data.forms.write_coco import write_coco

    splits = {"train": read_any_split(dataset, "train", bad_boxes)}
    val = read_split(dataset, "val", bad_boxes)
    if val:
        splits["val"] = val
    for split in splits.values():
        for note in split.annotations.notes:
            click.echo(f"Note: {note}", err=True)
    with progress_bar("copying", "images") as progress:
        written = write_coco(splits, out, progress)
    for file in written:
        click.echo(f"written {file}")
