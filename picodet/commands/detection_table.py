"""Detections as a table for a terminal. Names are shown as they are, never as markup."""

from collections.abc import Iterable

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picodet.errors import one_line
from picodet.inference.images import Drawn


def print_detections(drawn: Iterable[Drawn]) -> None:
    """Every object of every picture that could be used."""
    table = Table(box=SIMPLE)
    table.add_column("picture", overflow="fold")
    table.add_column("class", overflow="fold")
    for header in ("score", "left", "top", "right", "bottom"):
        table.add_column(header, justify="right")
    for picture in drawn:
        name, found = picture.picture.name, picture.found
        if not len(found):
            table.add_row(Text(one_line(name)), Text("nothing", style="dim"))
        for box, score, label in zip(found.boxes, found.scores, picture.names, strict=True):
            sides = (f"{side:.1f}" for side in box)
            table.add_row(Text(one_line(name)), Text(one_line(label)), f"{score:.3f}", *sides)
            name = ""
    Console().print(table)
