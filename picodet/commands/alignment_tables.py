"""A comparison as tables for a terminal. Names are printed literally, never as markup."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picodet.alignment.report.blocks import Block, blocks, name_in_block
from picodet.alignment.report.formatting import (
    format_index,
    format_short,
    layer_name,
    measurements,
    times_noise,
    verdict,
)
from picodet.alignment.result import Comparison, Difference, Layer, Stage, Unpaired
from picodet.errors import one_line

STYLES = {
    **{"aligned": "green", "differs": "bold red", "not compared": "yellow"},
    **{"guilty": "bold red", "affected": "yellow"},
}


def print_comparison(
    comparison: Comparison, layerwise: bool, unfold: bool, console: Console
) -> None:
    """Print stages, findings, guilty layers and the verdict.

    layerwise: with a row for each block and details of guilty layers; unfold: a row for each layer.
    """
    console.print(_stage_table(comparison.stages))
    for stage in comparison.stages:
        _print_findings(stage, console)
    if layerwise and comparison.layers:
        console.print()
        console.print(_layers(blocks(comparison.layers), unfold))
    console.print()
    for layer in comparison.guilty:
        if layerwise:
            _print_guilty(layer, console)
        else:
            _print_line("guilty", _describe_briefly(layer), console)
    for unpaired in comparison.unpaired:
        _print_line("unpaired", _describe_unpaired(unpaired), console)
    console.print(_text(comparison.tolerance, "dim"))
    style = "green" if comparison.aligned else "bold red"
    console.print(_text(verdict(comparison), style))


def _text(value: str, style: str = "") -> Text:
    return Text(one_line(value), style=style)


def _status(value: str) -> Text:
    return Text(value, style=STYLES[value])


def _stage_table(stages: tuple[Stage, ...]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for stage in stages:
        table.add_row(_text(stage.name, "bold"), _status(stage.verdict), _text(stage.summary))
    return table


def _print_findings(stage: Stage, console: Console) -> None:
    if not stage.findings:
        return
    table = _table()
    diagnosed = any(finding.diagnosis for finding in stage.findings)
    headers = ("what differs", "found", "expected", *(("diagnosis",) if diagnosed else ()))
    for header in headers:
        table.add_column(header, overflow="fold")
    for f in stage.findings:
        cells = (f.name, f.found, f.expected, f.diagnosis)[: len(headers)]
        table.add_row(*(_text(cell) for cell in cells))
    console.print()
    console.print(_text(f"{stage.name}: {len(stage.findings)} found", "bold"))
    console.print(table)


def _table() -> Table:
    """With narrow columns, so that a row fits 80 characters."""
    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def _layers(folded: tuple[Block, ...], unfold: bool) -> Table:
    table = _table()
    table.add_column("layer" if unfold else "block", overflow="fold")
    headers = ("layers", "local\nerror", "x\nnoise", "accumulated\nerror", "x\nnoise")
    for header in headers:
        table.add_column(header, justify="right")
    table.add_column("status", no_wrap=True)
    for block in folded:
        table.add_row(
            _text(block.name, "bold" if unfold else ""),
            str(len(block.layers)),
            *_cells(block.local),
            *_cells(block.accumulated),
            _status(block.status),
        )
        for layer in block.layers if unfold else ():
            table.add_row(
                Text("  ") + _text(name_in_block(block, layer)),
                "",
                *_cells(layer.local),
                *_cells(layer.accumulated),
                _status(layer.status),
            )
    return table


def _cells(difference: Difference | None) -> tuple[str, str]:
    return (format_short(difference.error), times_noise(difference)) if difference else ("-", "-")


def _print_guilty(layer: Layer, console: Console) -> None:
    console.print(
        Text.assemble(_status("guilty"), " ", _text(f"{layer_name(layer)} ({layer.type})"))
    )
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    rows = [("wrong", layer.where), ("reference", layer.reference)]
    rows += [
        ("local", _describe_fully(layer.local)),
        ("accumulated", _describe_fully(layer.accumulated)),
    ]
    rows += [("diagnosis", layer.diagnosis)]
    for label, value in rows:
        if value:
            table.add_row(label, _text(value, "bold" if label == "diagnosis" else ""))
    console.print(table)
    console.print()


def _describe_fully(difference: Difference | None) -> str:
    if difference is None:
        return "not compared"
    measured = (f"{label} {value}" for label, value in measurements(difference))
    return "; ".join([*([difference.problem] if difference.problem else []), *measured])


def _describe_briefly(layer: Layer) -> str:
    difference = layer.local or layer.accumulated
    if difference is None:
        found = ""
    elif difference.problem:
        found = f": {difference.problem}"
    else:
        found = f": {times_noise(difference)} times the noise at {format_index(difference.index)}"
    return f"{layer_name(layer)}{found}{f'. {layer.diagnosis}' if layer.diagnosis else ''}"


def _describe_unpaired(unpaired: Unpaired) -> str:
    return f"{unpaired.path} ({unpaired.type}) of the {unpaired.side}"


def _print_line(label: str, value: str, console: Console) -> None:
    style = STYLES.get(label, "yellow")
    console.print(Text.assemble((label, style), " ", _text(value)))
