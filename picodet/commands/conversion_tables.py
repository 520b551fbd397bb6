"""The result of a conversion as terminal tables. Names are shown literally, never as markup."""

import re
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picodet.converter.convert import ConversionReport
from picodet.converter.match_tensors import Problem, UnmatchedTensor
from picodet.errors import one_line


def print_report(report: ConversionReport) -> None:
    """Print what was recognized, what became of every tensor, and what was assumed."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    formats = ", ".join(f"{count} {dtype}" for dtype, count in report.dtypes.items())
    rounded = "; float64 was rounded to float32" if "float64" in report.dtypes else ""
    rows: list[tuple[str, str]] = [
        ("read", f"{report.source} ({report.form})"),
        (report.kind, report.variant),
    ]
    if report.input_size is not None:
        height, width = report.input_size
        rows += [("classes", str(report.classes)), ("input", f"{height} x {width}")]
    rows += [
        ("tensors", f"{report.tensors}: {report.mapped} mapped, {len(report.skipped)} skipped"),
        ("parameters", f"{report.parameters:,} ({report.parameters / 1e6:.2f} M)"),
        ("format", formats + rounded),
        *(("skipped", line) for line in _by_reason(report.skipped)),
        *(("initialized", line) for line in _by_reason(report.initialized)),
        *(("reconstructed", line) for line in _by_reason(report.reconstructed)),
        *(("dropped", line) for line in _by_reason(report.dropped)),
        ("SHA-256", report.sha256),
        ("written", report.output),
        ("time", f"{report.seconds:.2f} s"),
    ]
    for name, value in rows:
        table.add_row(name, Text(one_line(value)))
    console = Console()
    console.print(table)
    for note in report.notes:
        console.print(Text(f"note: {one_line(note)}", style="yellow"))


def _by_reason(tensors: Iterable[UnmatchedTensor]) -> list[str]:
    names: dict[str, list[str]] = {}
    for tensor in tensors:
        names.setdefault(tensor.reason, []).append(tensor.name)
    return [f"{_first_of(group)}: {reason}" for reason, group in names.items()]


def _first_of(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} like it" if len(names) > 1 else "")


def print_problems(problems: Sequence[Problem]) -> None:
    """Print all problems of a conversion; names that differ only in numbers share a row."""
    table = Table(box=SIMPLE)
    for header in ("problem", "tensor", "found", "expected"):
        table.add_column(header, overflow="fold")
    groups: dict[tuple[str, ...], list[Problem]] = {}
    for p in problems:
        pattern = p.name if p.kind == "not finite" else re.sub(r"\d+", "", p.name)
        groups.setdefault((p.kind, pattern, p.found, p.expected), []).append(p)
    for group in groups.values():
        cells = _first_of([p.name for p in group]), group[0].found, group[0].expected
        table.add_row(group[0].kind, *(Text(one_line(cell)) for cell in cells))
    Console(stderr=True).print(table)
