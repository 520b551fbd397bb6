"""The what-if table: a row for each changed setting, with intervals on a common axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from picodet.evaluation.report.formatting import (
    NO_VALUE,
    format_interval,
    format_metric,
    format_signed,
    interval_verdict,
)
from picodet.evaluation.schema import STATS, Interval, WhatIf
from picodet.html import svg_title, text

AXIS_MARGIN = 0.06  # of the axis, on either side
MAX_TICKS = 5
MIN_EDGE_DISTANCE = 6  # percent; nearer to the edge a label would be cut off
OTHER_METRICS = ("AP50", "AP75", "APs", "APm", "APl")


@dataclass(frozen=True)
class Axis:
    """Differences of AP from `low` to `high`, zero among them."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """An AP difference as a position, in percent of the width."""
        return 100 * (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Multiples of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / MAX_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [step * i for i in range(first, last + 1)]


def axis(rows: Sequence[WhatIf]) -> Axis:
    """An axis that contains every interval, and zero."""
    ap_interval = [row.against_first for row in rows if row.against_first]
    low = min([0.0, *(each.low for each in ap_interval)])
    high = max([0.0, *(each.high for each in ap_interval)])
    margin = AXIS_MARGIN * (high - low) or 0.001
    return Axis(low - margin, high + margin)


def what_if(rows: Sequence[WhatIf]) -> str:
    """A table that a narrow window folds: the interval below its row, then the other numbers."""
    x_axis = axis(rows)
    head = "".join(f'<th class="n">{name}</th>' for name in (*OTHER_METRICS, "detections"))
    return (
        '<div class="scroll"><table class="what-if"><thead><tr><th>setting</th>'
        '<th class="n">AP</th><th class="n">difference<small>95 % interval</small></th>'
        f'<th class="plot">{_ticks(x_axis)}</th>{head}</tr></thead>'
        f"<tbody>{''.join(_row(row, x_axis) for row in rows)}</tbody></table></div>"
    )


def _ticks(x_axis: Axis) -> str:
    labels = (
        f'<text class="tick mid" x="{x_axis.x(tick):.2f}%" y="70%">{_short(tick)}</text>'
        for tick in x_axis.ticks()
        if MIN_EDGE_DISTANCE < x_axis.x(tick) < 100 - MIN_EDGE_DISTANCE
    )
    return f'<svg role="img" aria-label="axis of differences">{"".join(labels)}</svg>'


def _short(tick: float) -> str:
    """+0.005; 0 without a sign."""
    return f"{tick:+.3g}" if abs(tick) > 1e-12 else "0"


def _row(row: WhatIf, x_axis: Axis) -> str:
    ap_interval = row.against_first
    difference = (
        f"{format_signed(ap_interval.difference)}<small>{format_interval(ap_interval)}</small>"
        if ap_interval
        else NO_VALUE
    )
    values = dict(zip(STATS, row.stats, strict=True))
    cells = [(name, format_metric(values[name])) for name in OTHER_METRICS]
    cells.append(("detections", f"{row.detections:,}"))
    others = "".join(f'<td class="n other" data-name="{n}">{value}</td>' for n, value in cells)
    return (
        f'<tr><th scope="row">{text(row.name)}</th><td class="n main" data-name="AP">'
        f"{format_metric(row.stats[0])}</td>"
        f'<td class="n main difference">{difference}</td>'
        f'<td class="plot">{_interval(ap_interval, x_axis)}</td>'
        f"{others}</tr>"
    )


def _interval(ap_interval: Interval | None, x_axis: Axis) -> str:
    grid = "".join(
        f'<line class="{"zero" if abs(tick) < 1e-12 else "grid"}" x1="{x_axis.x(tick):.2f}%" '
        f'x2="{x_axis.x(tick):.2f}%" y1="0" y2="100%"/>'
        for tick in x_axis.ticks()
    )
    if ap_interval is None:  # the first row, which the others are compared with
        x = x_axis.x(0)
        title = svg_title(["the baseline of the other rows"])
        marker = f'{title}<circle cx="{x:.2f}%" cy="50%" r="4"/>'
        return f'<svg role="img" class="first">{grid}{marker}</svg>'
    low, middle, high = (
        x_axis.x(v) for v in (ap_interval.low, ap_interval.difference, ap_interval.high)
    )
    tooltip = (
        f"{format_signed(ap_interval.difference)}, 95 % interval {format_interval(ap_interval)}"
    )
    return (
        f'<svg role="img" class="{interval_verdict(ap_interval)}">{svg_title([tooltip])}'
        f'<rect class="column" width="100%" height="100%"/>{grid}'
        f'<line class="span" x1="{low:.2f}%" x2="{high:.2f}%" y1="50%" y2="50%"/>'
        f'<circle cx="{middle:.2f}%" cy="50%" r="4.5"/></svg>'
    )
