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
DEFAULT_MEASURE = "mAP 0.5:0.95 in percent on COCO val2017"  # of most APs
RIGHT_ALIGNED = ("input", "classes", "parameters", "AP")


@dataclass(frozen=True)
class ModelRow:
    """An official model as `picodet list` shows it."""

    name: str
    group: str  # who publishes it; heading of its part of the table
    input_size: tuple[int, int] | None  # height, width; None where the config sets none
    num_classes: int
    parameters: int
    ap: float | None  # as published, in percent, by the metric and on the dataset below
    metric: str
    measured_on: str
    url: str | None  # of the published checkpoint
    folder_url: str | None  # of the published inference folder, in a tar
    config: str  # its path in the repository of the group

    def as_json(self) -> dict[str, Any]:
        """The row as `--json` writes it."""
        return asdict(self)

    @property
    def measure(self) -> str:
        """What the AP is."""
        return f"{self.metric} in percent on {self.measured_on}"

    def cells(self, mark: str) -> tuple[str, ...]:
        """Text of each column; `mark` is put before the AP."""
        size = "-" if self.input_size is None else f"{self.input_size[0]} x {self.input_size[1]}"
        return (
            *(self.name, size, str(self.num_classes), f"{self.parameters / 1e6:.2f} M"),
            "-" if self.ap is None else f"{mark}{self.ap:.1f}",
            self.url or self.folder_url or "none published",
        )


def print_models(rows: Sequence[ModelRow]) -> None:
    """Print the models by group. In a pipe every model is one whole line.

    An AP that was measured in another way than most has a mark, explained below the table.
    """
    measures = (row.measure for row in rows if row.ap is not None)
    others = [measure for measure in dict.fromkeys(measures) if measure != DEFAULT_MEASURE]
    marks = {measure: f"[{i}] " for i, measure in enumerate(others, 1)}
    table = Table(box=SIMPLE)
    for header in ("name", "input", "classes", "parameters", "AP", "weights"):
        number = header in RIGHT_ALIGNED
        table.add_column(
            header, justify="right" if number else "left", overflow="fold", no_wrap=number
        )
    for group in dict.fromkeys(row.group for row in rows):
        table.add_row(Text(group, style="bold"))
        for row in rows:
            if row.group == group:
                table.add_row(*map(Text, row.cells(marks.get(row.measure, ""))))
        table.add_section()
    console = Console()
    if not console.is_terminal:
        console.width = MAX_LINE
        console.width = console.measure(table).maximum
    console.print(table)
    for measure, mark in {DEFAULT_MEASURE: "AP", **marks}.items():
        console.print(Text(f"{mark.strip()}: {measure}"))


def rows() -> list[ModelRow]:
    """A row for each official model, in the order of `picodet.zoo.official`."""
    return [
        ModelRow(
            name=official.config.name,
            group=official.group,
            input_size=official.config.input_size,
            num_classes=len(official.config.classes),
            parameters=shapes_of(official.config, "detector")[1],
            ap=official.ap,
            metric=official.metric,
            measured_on=official.measured_on,
            url=official.url,
            folder_url=official.folder_url,
            config=official.path,
        )
        for official in OFFICIAL
    ]
