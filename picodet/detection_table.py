"""Detections as a table for a terminal. Names are shown as they are, never as markup."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picodet.gallery import Outcome


def print_detections(outcomes: Iterable[Outcome], classes: Sequence[str]) -> None:
    """Every object of every picture that could be used."""
    table = Table(box=SIMPLE)
    table.add_column("picture", overflow="fold")
    table.add_column("class", overflow="fold")
    for header in ("score", "left", "top", "right", "bottom"):
        table.add_column(header, justify="right")
    for outcome in outcomes:
        name = outcome.picture.name
        if outcome.found is not None and not len(outcome.found):
            table.add_row(Text(name), Text("nothing", style="dim"))
        elif outcome.found is not None:
            found = outcome.found
            for box, score, label in zip(found.boxes, found.scores, found.classes, strict=True):
                sides = (f"{side:.1f}" for side in box)
                table.add_row(Text(name), Text(classes[label]), f"{score:.3f}", *sides)
                name = ""
    Console().print(table)
