"""Evaluations as terminal tables. Names are shown literally, never as markup."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picodet.errors import one_line
from picodet.evaluation.report.formatting import (
    METRIC_SCOPES,
    NO_VALUE,
    WHAT_IF_HELP,
    classes_without_gt,
    format_interval,
    format_metric,
    format_percent,
    format_signed,
    format_times,
    interval_verdict,
    missing_reasons,
    rank_classes,
    run_name,
)
from picodet.evaluation.schema import STATS, ClassResult, Report, WhatIf

NUM_SHOWN_ENDS = 5  # best and worst classes shown without --per-class
MIN_WIDE_COLUMNS = 130  # terminal width from which a what-if shows all metrics
VERDICT_STYLES = {"better": "green", "worse": "red", "open": "dim"}


def print_reports(reports: Sequence[Report], per_class: bool, console: Console) -> None:
    """Print runs on the same images side by side, and the what-if and classes of the first."""
    first = reports[0]
    console.print(data_text(f"{first.model} on {first.annotations}", "bold"))
    console.print()
    console.print(_stats(reports))
    for reason, names in missing_reasons(first.stats).items():
        console.print(data_text(f"{', '.join(names)}: {reason}", "dim"))
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
        console.print(data_text(note, "bold yellow"))
    summary = (f"{format_percent(report.stats[0])} ({run_name(report)})" for report in reports)
    caveat = f", {first.caveat}" if first.caveat else ""
    console.print(data_text(f"AP {', '.join(summary)}{caveat}", "bold"))


def data_text(value: str, style: str = "") -> Text:
    """Text from data on one line, never read as markup."""
    return Text(one_line(value), style=style)


def narrow_table() -> Table:
    """An empty table with gaps so narrow that five runs fit 80 columns."""
    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def add_number_columns(table: Table, headers: Sequence[str]) -> None:
    """Add right-aligned columns whose cells are never wrapped."""
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)


def _headers(reports: Sequence[Report]) -> list[str]:
    """Names of the runs; from four on, on two lines, so that columns are as narrow as numbers."""
    names = [run_name(report) for report in reports]
    return names if len(names) < 4 else [name.replace(" ", "\n") for name in names]


def _stats(reports: Sequence[Report]) -> Table:
    table = narrow_table()
    table.add_column("", no_wrap=True, style="bold")
    for header in ("IoU", "area"):
        table.add_column(header, no_wrap=True)
    add_number_columns(table, ("maxDets", *_headers(reports)))
    for i, name in enumerate(STATS):
        scope = METRIC_SCOPES[name]
        values = (format_metric(report.stats[i]) for report in reports)
        table.add_row(name, scope.iou, scope.area, str(scope.max_detections), *values)
    return table


def _runs(reports: Sequence[Report]) -> Table:
    table = narrow_table()
    table.add_column("run", no_wrap=True)
    add_number_columns(table, ("images", "detections", "seconds", "images/s"))
    for report in reports:
        counts = (f"{report.num_images:,}", f"{report.detections:,}")
        table.add_row(run_name(report), *counts, *format_times(report))
    return table


def _settings(reports: Sequence[Report]) -> Table:
    """Each setting once; where runs differ, their values one after the other."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name in dict.fromkeys(name for report in reports for name in report.settings):
        values = dict.fromkeys(report.settings.get(name, NO_VALUE) for report in reports)
        table.add_row(data_text(name), data_text("; ".join(values)))
    return table


def print_what_if(rows: Sequence[WhatIf], console: Console) -> None:
    """Print AP under changed settings, compared with the first row."""
    others = ("AP50", "AP75", "APs", "APm", "APl") if console.width >= MIN_WIDE_COLUMNS else ()
    table = narrow_table()
    table.add_column("what if", overflow="fold")
    add_number_columns(table, ("AP", "difference", "95 % interval", *others, "detections"))
    for row in rows:
        values = dict(zip(STATS, row.stats, strict=True))
        ap_interval = row.against_first
        against = (
            (
                Text(
                    format_signed(ap_interval.difference),
                    VERDICT_STYLES[interval_verdict(ap_interval)],
                ),
                format_interval(ap_interval),
            )
            if ap_interval
            else (NO_VALUE, NO_VALUE)
        )
        numbers = (format_metric(values[name]) for name in others)
        counted = f"{row.detections:,}"
        table.add_row(data_text(row.name), format_metric(values["AP"]), *against, *numbers, counted)
    console.print(table)
    console.print(data_text(WHAT_IF_HELP, "dim"))


def _print_classes(reports: Sequence[Report], per_class: bool, console: Console) -> None:
    """Print all classes, or the best and worst; those without ground truth by name."""
    if order := rank_classes(reports[0].classes):
        console.print(
            _classes(reports, order, few=not per_class and len(order) > 2 * NUM_SHOWN_ENDS)
        )
        console.print()
    if without := classes_without_gt(reports[0].classes):
        names = ", ".join(each.name for each in without)
        console.print(data_text(f"no ground truth, left out of the means: {names}", "dim"))


def _classes(reports: Sequence[Report], order: Sequence[int], few: bool) -> Table:
    """The table of classes; several runs show their AP side by side."""
    table = narrow_table()
    table.add_column("class", overflow="fold")
    if len(reports) == 1:
        add_number_columns(table, ("AP", "AP50", "AP75", "AR", "GT", "detections"))
    else:
        add_number_columns(table, (*(f"AP\n{header}" for header in _headers(reports)), "GT"))
    for rank, i in enumerate(order):
        if few and rank == NUM_SHOWN_ENDS:
            table.add_row(
                data_text(f"({len(order) - 2 * NUM_SHOWN_ENDS} more: --per-class)", "dim")
            )
        if not few or rank < NUM_SHOWN_ENDS or rank >= len(order) - NUM_SHOWN_ENDS:
            runs = [report.classes[i] for report in reports]
            table.add_row(data_text(runs[0].name), *_class_cells(runs))
    return table


def _class_cells(runs: Sequence[ClassResult]) -> list[str]:
    first = runs[0]
    if len(runs) > 1:
        return [*(format_metric(each.ap) for each in runs), f"{first.num_gt:,}"]
    numbers = (format_metric(value) for value in (first.ap, first.ap50, first.ap75, first.ar))
    return [*numbers, f"{first.num_gt:,}", f"{first.detections:,}"]
