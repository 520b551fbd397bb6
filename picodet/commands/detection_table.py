"""Detections as a terminal table. Names are shown literally, never as markup."""

from collections.abc import Iterable

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picodet.errors import one_line
from picodet.inference.images import ImageDetections


def print_detections(images: Iterable[ImageDetections]) -> None:
    """Print a row for each object of each image."""
    table = Table(box=SIMPLE)
    table.add_column("image", overflow="fold")
    table.add_column("class", overflow="fold")
    for header in ("score", "left", "top", "right", "bottom"):
        table.add_column(header, justify="right")
    for image in images:
        name, detections = image.path.name, image.detections
        if not len(detections):
            table.add_row(Text(one_line(name)), Text("nothing", style="dim"))
        for box, score, label in zip(detections.boxes, detections.scores, image.names, strict=True):
            sides = (f"{side:.1f}" for side in box)
            table.add_row(Text(one_line(name)), Text(one_line(label)), f"{score:.3f}", *sides)
            name = ""
    Console().print(table)
