"""Two result files against each other, as tables for a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from picodet.evaluation.compare import SAME_BOX, SAME_SCORE, Pair, ResultComparison
from picodet.evaluation.report.formatting import NOTHING, exact, interval, signed, tells
from picodet.evaluation.report.text import add_numbers, narrow_table, shown
from picodet.evaluation.schema import STATS

WITHIN = f"scores within {SAME_SCORE:g}, sides within {SAME_BOX:g} pixels"
TELLS = {
    "better": "B is better",
    "worse": "B is worse",
    "open": "these pictures cannot tell the two apart",
}


def print_result_comparison(found: ResultComparison, a: str, b: str, console: Console) -> None:
    """`a` and `b` are the names of the files; the verdict comes last."""
    for side, name in (("A", a), ("B", b)):
        console.print(shown(f"{side}  {name}", "bold"))
    for part in (_stats(found), _counts(found), _spreads(found), _pairs(found.worst)):
        if part.row_count:
            console.print()
            console.print(part)
    console.print()
    if found.stats_a[0] >= 0 and not found.ok:
        gap = found.interval
        said = f"AP of B minus AP of A: {signed(gap.difference)}, 95 % interval {interval(gap)}"
        console.print(shown(f"{said}: {TELLS[tells(gap)]}"))
    console.print(shown(verdict(found), "green" if found.ok else "bold red"))


def verdict(found: ResultComparison) -> str:
    """SAME, or DIFFERS: .. with what differs."""
    if found.ok:
        return f"SAME: {found.matched:,} detections; {WITHIN}"
    counts = (
        (len(found.missing), "missing"),
        (len(found.extra), "extra"),
        (found.matched - found.same, "moved or scored otherwise"),
    )
    return f"DIFFERS: {', '.join(f'{count:,} {what}' for count, what in counts if count)}"


def _stats(found: ResultComparison) -> Table:
    table = narrow_table()
    table.add_column("", no_wrap=True, style="bold")
    add_numbers(table, ("A", "B", "B - A"))
    for name, a, b in zip(STATS, found.stats_a, found.stats_b, strict=True):
        table.add_row(name, exact(a), exact(b), signed(b - a) if min(a, b) >= 0 else NOTHING)
    return table


def _counts(found: ResultComparison) -> Table:
    """Of detections."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(style="dim")
    for name, count, says in (
        ("detections of A", found.detections_a, ""),
        ("detections of B", found.detections_b, ""),
        ("matched", found.matched, "same picture and class, IoU of 0.5 or more"),
        ("the same", found.same, WITHIN),
        ("missing", len(found.missing), "only in A"),
        ("extra", len(found.extra), "only in B"),
    ):
        table.add_row(name, f"{count:,}", says)
    return table


def _spreads(found: ResultComparison) -> Table:
    table = narrow_table()
    table.add_column("difference of the matched", no_wrap=True)
    add_numbers(table, ("mean", "99 % below", "greatest"))
    if found.matched:
        for name, spread in (("score", found.score), ("farthest side, pixels", found.box)):
            sizes = (spread.mean, spread.p99, spread.max)
            table.add_row(name, *(f"{size:.3g}" for size in sizes))
    return table


def _pairs(worst: Sequence[Pair]) -> Table:
    table = narrow_table()
    table.add_column("farthest pairs", overflow="fold")
    table.add_column("class", overflow="fold")
    add_numbers(table, ("row A", "row B", "score A", "score B", "side, pixels"))
    for pair in worst:
        scores = (f"{score:.5f}" for score in pair.scores)
        rows = (str(pair.row_a), str(pair.row_b))
        table.add_row(
            shown(pair.file), shown(pair.category), *rows, *scores, f"{pair.box_difference:.3g}"
        )
    return table
