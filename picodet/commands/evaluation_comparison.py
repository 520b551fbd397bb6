"""The comparison of two predictions files as terminal tables."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from picodet.commands.evaluation_tables import add_number_columns, data_text, narrow_table
from picodet.evaluation.compare import (
    BOX_TOLERANCE,
    SCORE_TOLERANCE,
    MatchedPair,
    PredictionComparison,
)
from picodet.evaluation.report.formatting import (
    NO_VALUE,
    format_interval,
    format_metric,
    format_signed,
    interval_verdict,
)
from picodet.evaluation.schema import STATS

SAME_WITHIN = f"scores within {SCORE_TOLERANCE:g}, sides within {BOX_TOLERANCE:g} pixels"
VERDICT_TEXTS = {
    "better": "B is better",
    "worse": "B is worse",
    "open": "these images do not distinguish the two",
}


def print_comparison(comparison: PredictionComparison, a: str, b: str, console: Console) -> None:
    """Print the comparison, the verdict last; `a` and `b` are the names of the files."""
    for side, name in (("A", a), ("B", b)):
        console.print(data_text(f"{side}  {name}", "bold"))
    for part in (
        _stats(comparison),
        _counts(comparison),
        _spreads(comparison),
        _pairs(comparison.worst),
    ):
        if part.row_count:
            console.print()
            console.print(part)
    console.print()
    if comparison.stats_a[0] >= 0 and not comparison.ok:
        ap_interval = comparison.interval
        difference, interval = format_signed(ap_interval.difference), format_interval(ap_interval)
        summary = f"AP of B minus AP of A: {difference}, 95 % interval {interval}"
        console.print(data_text(f"{summary}: {VERDICT_TEXTS[interval_verdict(ap_interval)]}"))
    console.print(data_text(verdict(comparison), "green" if comparison.ok else "bold red"))


def verdict(comparison: PredictionComparison) -> str:
    """The verdict: "SAME: .." or "DIFFERS: ..", with the counts of what differs."""
    if comparison.ok:
        return f"SAME: {comparison.matched:,} detections; {SAME_WITHIN}"
    counts = (
        (len(comparison.missing), "missing"),
        (len(comparison.extra), "extra"),
        (comparison.matched - comparison.same, "with another box or score"),
    )
    return f"DIFFERS: {', '.join(f'{count:,} {kind}' for count, kind in counts if count)}"


def _stats(comparison: PredictionComparison) -> Table:
    table = narrow_table()
    table.add_column("", no_wrap=True, style="bold")
    add_number_columns(table, ("A", "B", "B - A"))
    for name, a, b in zip(STATS, comparison.stats_a, comparison.stats_b, strict=True):
        table.add_row(
            name,
            format_metric(a),
            format_metric(b),
            format_signed(b - a) if min(a, b) >= 0 else NO_VALUE,
        )
    return table


def _counts(comparison: PredictionComparison) -> Table:
    """Counts of detections."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(style="dim")
    for name, count, note in (
        ("detections of A", comparison.detections_a, ""),
        ("detections of B", comparison.detections_b, ""),
        ("matched", comparison.matched, "same image and class, IoU of 0.5 or more"),
        ("the same", comparison.same, SAME_WITHIN),
        ("missing", len(comparison.missing), "only in A"),
        ("extra", len(comparison.extra), "only in B"),
    ):
        table.add_row(name, f"{count:,}", note)
    return table


def _spreads(comparison: PredictionComparison) -> Table:
    table = narrow_table()
    table.add_column("difference of the matched", no_wrap=True)
    add_number_columns(table, ("mean", "99 % below", "greatest"))
    if comparison.matched:
        for name, spread in (
            ("score", comparison.score),
            ("farthest side, pixels", comparison.box),
        ):
            sizes = (spread.mean, spread.p99, spread.max)
            table.add_row(name, *(f"{size:.3g}" for size in sizes))
    return table


def _pairs(worst: Sequence[MatchedPair]) -> Table:
    table = narrow_table()
    table.add_column("farthest pairs", overflow="fold")
    table.add_column("class", overflow="fold")
    add_number_columns(table, ("row A", "row B", "score A", "score B", "side, pixels"))
    for pair in worst:
        scores = (f"{score:.5f}" for score in pair.scores)
        rows = (str(pair.row_a), str(pair.row_b))
        table.add_row(
            data_text(pair.file),
            data_text(pair.category),
            *rows,
            *scores,
            f"{pair.box_difference:.3g}",
        )
    return table
