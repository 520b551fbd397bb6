"""A comparison as tables for a terminal. Names are shown as they are, never as markup."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picodet.alignment.report.blocks import Block, blocks, within
from picodet.alignment.report.formatting import measures, name, position, short, times, verdict
from picodet.alignment.result import Comparison, Gap, Layer, Rung, Unpaired
from picodet.errors import one_line

STYLES = {
    **{"aligned": "green", "differs": "bold red", "not compared": "yellow"},
    **{"guilty": "bold red", "affected": "yellow"},
}


def print_comparison(
    comparison: Comparison, layerwise: bool, unfold: bool, console: Console
) -> None:
    """The ladder, the layers if asked for, and in the end what of them is wrong.

    `layerwise` adds a row per block and all that is known of the guilty layers; `unfold` a row
    per layer.
    """
    console.print(_ladder(comparison.rungs))
    for rung in comparison.rungs:
        _print_findings(rung, console)
    if layerwise and comparison.layers:
        console.print()
        console.print(_layers(blocks(comparison.layers), unfold))
    console.print()
    for layer in comparison.guilty:
        if layerwise:
            _print_guilty(layer, console)
        else:
            _print_line("guilty", _in_short(layer), console)
    for unpaired in comparison.unpaired:
        _print_line("unpaired", _without_partner(unpaired), console)
    console.print(_text(comparison.tolerance, "dim"))
    style = "green" if comparison.aligned else "bold red"
    console.print(_text(verdict(comparison), style))


def _text(value: str, style: str = "") -> Text:
    return Text(one_line(value), style=style)


def _status(value: str) -> Text:
    return Text(value, style=STYLES[value])


def _ladder(rungs: tuple[Rung, ...]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for rung in rungs:
        table.add_row(_text(rung.name, "bold"), _status(rung.verdict), _text(rung.summary))
    return table


def _print_findings(rung: Rung, console: Console) -> None:
    if not rung.findings:
        return
    table = _table()
    diagnosed = any(finding.diagnosis for finding in rung.findings)
    headers = ("what differs", "found", "expected", *(("diagnosis",) if diagnosed else ()))
    for header in headers:
        table.add_column(header, overflow="fold")
    for f in rung.findings:
        cells = (f.name, f.found, f.expected, f.diagnosis)[: len(headers)]
        table.add_row(*(_text(cell) for cell in cells))
    console.print()
    console.print(_text(f"{rung.name}: {len(rung.findings)} found", "bold"))
    console.print(table)


def _table() -> Table:
    """Narrow gaps, so that a row of a block fits 80 columns."""
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
                Text("  ") + _text(within(block, layer)),
                "",
                *_cells(layer.local),
                *_cells(layer.accumulated),
                _status(layer.status),
            )
    return table


def _cells(gap: Gap | None) -> tuple[str, str]:
    return (short(gap.error), times(gap)) if gap else ("-", "-")


def _print_guilty(layer: Layer, console: Console) -> None:
    console.print(Text.assemble(_status("guilty"), " ", _text(f"{name(layer)} ({layer.type})")))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    rows = [("wrong", layer.where), ("reference", layer.reference)]
    rows += [("local", _in_full(layer.local)), ("accumulated", _in_full(layer.accumulated))]
    rows += [("diagnosis", layer.diagnosis)]
    for label, value in rows:
        if value:
            table.add_row(label, _text(value, "bold" if label == "diagnosis" else ""))
    console.print(table)
    console.print()


def _in_full(gap: Gap | None) -> str:
    if gap is None:
        return "not compared"
    measured = (f"{label} {value}" for label, value in measures(gap))
    return "; ".join([*([gap.problem] if gap.problem else []), *measured])


def _in_short(layer: Layer) -> str:
    gap = layer.local or layer.accumulated
    if gap is None:
        found = ""
    elif gap.problem:
        found = f": {gap.problem}"
    else:
        found = f": {times(gap)} times the noise at {position(gap.index)}"
    return f"{name(layer)}{found}{f'. {layer.diagnosis}' if layer.diagnosis else ''}"


def _without_partner(unpaired: Unpaired) -> str:
    return f"{unpaired.path} ({unpaired.type}) of {unpaired.side}"


def _print_line(label: str, value: str, console: Console) -> None:
    style = STYLES.get(label, "yellow")
    console.print(Text.assemble((label, style), " ", _text(value)))
