"""Evaluations as tables for a terminal. Names are shown as they are, never as markup."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picodet.errors import one_line
from picodet.evaluation.report.formatting import (
    HOW_TO_READ,
    MEANINGS,
    NOTHING,
    exact,
    in_percent,
    interval,
    missing,
    ranked,
    run_name,
    signed,
    tells,
    times,
    without_truths,
)
from picodet.evaluation.schema import STATS, ClassResult, Report, WhatIf

FEW = 5  # classes shown from either end
WIDE = 130  # columns of a terminal that has room for all numbers of a what-if
STYLES = {"better": "green", "worse": "red", "open": "dim"}


def print_reports(reports: Sequence[Report], per_class: bool, console: Console) -> None:
    """Runs on the same pictures, side by side; what-if and classes are of the first."""
    first = reports[0]
    console.print(shown(f"{first.model} on {first.annotations}", "bold"))
    console.print()
    console.print(_stats(reports))
    for reason, names in missing(first.stats).items():
        console.print(shown(f"{', '.join(names)}: {reason}", "dim"))
    console.print()
    console.print(_runs(reports))
    console.print()
    console.print(_settings(reports))
    if first.what_if:
        console.print()
        print_what_if(first.what_if, console)
    console.print()
    _print_classes(reports, per_class, console)
    for note in dict.fromkeys(note for report in reports for note in report.notes):
        console.print(shown(note, "bold yellow"))
    said = (f"{in_percent(report.stats[0])} ({run_name(report)})" for report in reports)
    caveat = f", {first.caveat}" if first.caveat else ""
    console.print(shown(f"AP {', '.join(said)}{caveat}", "bold"))


def shown(value: str, style: str = "") -> Text:
    """What comes from data, in one line and never as markup."""
    return Text(one_line(value), style=style)


def narrow_table() -> Table:
    """Narrow gaps: five runs fit 80 columns."""
    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def add_numbers(table: Table, headers: Sequence[str]) -> None:
    """Columns whose cells are never broken."""
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)


def _headers(reports: Sequence[Report]) -> list[str]:
    """Many on two lines, so that a column is no wider than its numbers."""
    names = [run_name(report) for report in reports]
    return names if len(names) < 4 else [name.replace(" ", "\n") for name in names]


def _stats(reports: Sequence[Report]) -> Table:
    table = narrow_table()
    table.add_column("", no_wrap=True, style="bold")
    for header in ("IoU", "area"):
        table.add_column(header, no_wrap=True)
    add_numbers(table, ("maxDets", *_headers(reports)))
    for i, name in enumerate(STATS):
        of = MEANINGS[name]
        values = (exact(report.stats[i]) for report in reports)
        table.add_row(name, of.iou, of.area, str(of.max_detections), *values)
    return table


def _runs(reports: Sequence[Report]) -> Table:
    table = narrow_table()
    table.add_column("run", no_wrap=True)
    add_numbers(table, ("pictures", "detections", "seconds", "pictures/s"))
    for report in reports:
        counts = (f"{report.pictures:,}", f"{report.detections:,}")
        table.add_row(run_name(report), *counts, *times(report))
    return table


def _settings(reports: Sequence[Report]) -> Table:
    """Each once; where runs differ, one after the other."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name in dict.fromkeys(name for report in reports for name in report.settings):
        values = dict.fromkeys(report.settings.get(name, NOTHING) for report in reports)
        table.add_row(shown(name), shown("; ".join(values)))
    return table


def print_what_if(rows: Sequence[WhatIf], console: Console) -> None:
    """AP under changed settings against the first of them."""
    others = ("AP50", "AP75", "APs", "APm", "APl") if console.width >= WIDE else ()
    table = narrow_table()
    table.add_column("what if", overflow="fold")
    add_numbers(table, ("AP", "difference", "95 % interval", *others, "detections"))
    for row in rows:
        values = dict(zip(STATS, row.stats, strict=True))
        found = row.against_first
        against = (
            (Text(signed(found.difference), STYLES[tells(found)]), interval(found))
            if found
            else (NOTHING, NOTHING)
        )
        numbers = (exact(values[name]) for name in others)
        counted = f"{row.detections:,}"
        table.add_row(shown(row.name), exact(values["AP"]), *against, *numbers, counted)
    console.print(table)
    console.print(shown(HOW_TO_READ, "dim"))


def _print_classes(reports: Sequence[Report], per_class: bool, console: Console) -> None:
    """All, or the ends of the list; what has nothing to find by name."""
    if order := ranked(reports[0].classes):
        console.print(_classes(reports, order, few=not per_class and len(order) > 2 * FEW))
        console.print()
    if without := without_truths(reports[0].classes):
        names = ", ".join(each.name for each in without)
        console.print(shown(f"nothing to find, left out of the means: {names}", "dim"))


def _classes(reports: Sequence[Report], order: Sequence[int], few: bool) -> Table:
    """Of several runs their AP side by side."""
    table = narrow_table()
    table.add_column("class", overflow="fold")
    if len(reports) == 1:
        add_numbers(table, ("AP", "AP50", "AP75", "AR", "to find", "detections"))
    else:
        add_numbers(table, (*(f"AP\n{header}" for header in _headers(reports)), "to find"))
    for rank, i in enumerate(order):
        if few and rank == FEW:
            table.add_row(shown(f"({len(order) - 2 * FEW} more: --per-class)", "dim"))
        if not few or rank < FEW or rank >= len(order) - FEW:
            runs = [report.classes[i] for report in reports]
            table.add_row(shown(runs[0].name), *_class_cells(runs))
    return table


def _class_cells(runs: Sequence[ClassResult]) -> list[str]:
    first = runs[0]
    if len(runs) > 1:
        return [*(exact(each.ap) for each in runs), f"{first.truths:,}"]
    numbers = (exact(value) for value in (first.ap, first.ap50, first.ap75, first.ar))
    return [*numbers, f"{first.truths:,}", f"{first.detections:,}"]
