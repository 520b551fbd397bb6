"""The result of an export as terminal tables. Names are shown literally, never as markup."""

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picodet.errors import one_line
from picodet.exporter.export import ExportReport, Shapes
from picodet.exporter.verify import Verification

PACKAGES = ("torch", "onnx", "onnxruntime")


def print_report(report: ExportReport, console: Console) -> None:
    """Print inputs, outputs and size of the file, and its differences from torch."""
    used = ", ".join(f"{name} {report.versions[name]}" for name in PACKAGES)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = [
        ("read", report.source),
        ("detector", report.variant),
        ("level", f"{report.level}, opset {report.opset}"),
        *(("input", line) for line in _lines(report.inputs)),
        *(("output", line) for line in _lines(report.outputs)),
        ("operators", str(report.operators)),
        ("written", f"{report.output}, {report.bytes:,} bytes"),
        ("with", used),
        ("time", f"{report.seconds:.2f} s"),
    ]
    for name, value in rows:
        table.add_row(name, Text(one_line(value)))
    console.print(table)
    for note in report.notes:
        console.print(Text(f"note: {one_line(note)}"))
    if report.verification is None:
        console.print(Text("NOT VERIFIED, as asked for", style="yellow"))
    else:
        print_verification(report.verification, console)
        kept = report.verification.kept
        same = f"; {kept[0]} of torch's {kept[1]} boxes kept" if kept else ""
        console.print(f"VERIFIED: {report.verification.runs} runs beside torch{same}")


def print_verification(verification: Verification, console: Console) -> None:
    """Print the largest error of each output, and the error that is allowed."""
    table = Table(box=SIMPLE)
    table.add_column("output")
    for header in ("worst error", "allowed", "x noise"):
        table.add_column(header, justify="right")
    for name, difference in verification.differences.items():
        cells = [
            difference.problem or f"{difference.error:.2g}",
            f"{difference.allowed:.2g}",
            f"{difference.error_over_noise:.2g}",
        ]
        table.add_row(name, *map(Text, cells), style=None if difference.ok else "red")
    console.print(table)


def _lines(shapes: Shapes) -> list[str]:
    return [f"{name} [{', '.join(map(str, shape))}]" for name, shape in shapes.items()]
