"""The official models as a table for a terminal or a pipe, or as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picodet.models.shapes import shapes_of
from picodet.zoo.official import OFFICIAL

MAX_LINE = 10_000  # characters per line, if the output is not a terminal
DEFAULT_DATASET = "COCO val2017"  # on which APs are measured
RIGHT_ALIGNED = ("input", "classes", "parameters", "AP")


@dataclass(frozen=True)
class ModelRow:
    """An official model as `picodet list` shows it."""

    name: str
    generation: str  # heading of its part of the table
    input_size: tuple[int, int] | None  # height, width; None where the config sets none
    num_classes: int
    parameters: int
    ap: float | None  # as published, in percent, on the dataset below
    measured_on: str
    url: str | None  # of the published weights
    config: str  # its path in PaddleDetection

    def as_json(self) -> dict[str, Any]:
        """The row as `--json` writes it."""
        return asdict(self)

    def cells(self, mark: str) -> tuple[str, ...]:
        """Text of each column; `mark` is appended to the AP."""
        size = "-" if self.input_size is None else f"{self.input_size[0]} x {self.input_size[1]}"
        return (
            *(self.name, size, str(self.num_classes), f"{self.parameters / 1e6:.2f} M"),
            "-" if self.ap is None else f"{self.ap:.1f}{mark}",
            self.url or "none published",
        )


def print_models(rows: Sequence[ModelRow]) -> None:
    """Print the models by generation. In a pipe every model is one whole line.

    An AP that was measured on another dataset than most has a mark, explained below the table.
    """
    measured_on = (row.measured_on for row in rows if row.ap is not None)
    others = [name for name in dict.fromkeys(measured_on) if name != DEFAULT_DATASET]
    marks = {name: "*" * i for i, name in enumerate(others, 1)}
    table = Table(box=SIMPLE)
    for header in ("name", "input", "classes", "parameters", "AP", "weights"):
        number = header in RIGHT_ALIGNED
        table.add_column(
            header, justify="right" if number else "left", overflow="fold", no_wrap=number
        )
    generations = list(dict.fromkeys(row.generation for row in rows))
    for generation in generations:
        table.add_row(Text(generation, style="bold"))
        for row in rows:
            if row.generation == generation:
                table.add_row(*map(Text, row.cells(marks.get(row.measured_on, ""))))
        table.add_section()
    console = Console()
    if not console.is_terminal:
        console.width = MAX_LINE
        console.width = console.measure(table).maximum
    console.print(table)
    for name, mark in {DEFAULT_DATASET: "AP", **marks}.items():
        console.print(Text(f"{mark}: mAP 0.5:0.95 in percent on {name}"))


def rows() -> list[ModelRow]:
    """A row for each official model, in the order of `picodet.zoo.official`."""
    return [
        ModelRow(
            name=official.config.name,
            generation=official.generation,
            input_size=official.config.input_size,
            num_classes=len(official.config.classes),
            parameters=shapes_of(official.config, "detector")[1],
            ap=official.ap,
            measured_on=official.measured_on,
            url=official.url,
            config=f"configs/picodet/{official.path}",
        )
        for official in OFFICIAL
    ]
