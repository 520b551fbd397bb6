"""Errors along the depth of the network: two panels over one axis of layers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from picodet.alignment.report.blocks import block_name
from picodet.alignment.report.formatting import in_words, name
from picodet.alignment.result import Gap, Layer
from picodet.html import CallKey, svg_title, text

WIDTH, LEFT, RIGHT = 1140, 66, 12
PANEL, GAP = 190, 46  # height of a panel, and of what stands between two
LANE = 24  # above the axis for what is not finite, below it for what is exactly zero
NUMBERED = 9  # guilty layers that carry their number


@dataclass(frozen=True)
class Scale:
    """Decades low .. high over a panel whose upper edge is `top`."""

    low: int
    high: int
    top: float

    def y(self, value: float) -> float:
        """Of an error over the layer's scale; zero and what is not finite have their own lanes."""
        if not value < math.inf:
            return self.top + LANE / 2
        if value <= 0:
            return self.top + PANEL - LANE / 2
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.top + PANEL - LANE - share * (PANEL - 2 * LANE)


def relative(gap: Gap, value: float) -> float:
    """To the greatest value of the reference; infinite where there is nothing to subtract."""
    if gap.problem:
        return math.inf
    return value / (gap.scale or 1.0)


def depth(layers: Sequence[Layer], anchors: Mapping[str, str], ranks: Mapping[CallKey, int]) -> str:
    """SVG in a box of its own; `ranks` numbers the guilty layers from 1, worst first."""
    low, high = _decades(layers)
    step = (WIDTH - LEFT - RIGHT) / max(len(layers), 1)
    xs = [LEFT + step * (i + 0.5) for i in range(len(layers))]
    panels = []
    for i, (kind, says) in enumerate(
        (
            ("local", "local: each layer alone, fed with the reference's input"),
            ("accumulated", "accumulated: the whole model, fed with the reference's picture"),
        )
    ):
        scale = Scale(low, high, 24 + i * (PANEL + GAP))
        gaps = [getattr(layer, kind) for layer in layers]
        panels.append(_panel(scale, says) + _band(scale, xs, gaps))
        panels.append(_points(scale, xs, layers, gaps, ranks))
    bottom = 24 + 2 * PANEL + GAP
    hover = []
    for x, layer in zip(xs, layers, strict=True):
        rank = ranks.get((layer.path, layer.call))
        anchor = f"guilty-{rank}" if rank else anchors[block_name(layer)]
        hover.append(_column(x, step, bottom, layer, anchor))
    return (
        f'<div class="scroll"><svg class="depth" viewBox="0 0 {WIDTH} {bottom + 26}" '
        'style="min-width:820px" role="img" aria-label="errors along the depth">'
        f"{_parts(layers, step, bottom)}{''.join(panels)}{''.join(hover)}</svg></div>"
    )


def _decades(layers: Sequence[Layer]) -> tuple[int, int]:
    gaps = [gap for layer in layers for gap in (layer.local, layer.accumulated) if gap]
    values = [relative(g, v) for g in gaps for v in (g.error, g.floor, g.allowed)]
    exponents = [math.log10(v) for v in values if 0 < v < math.inf]
    if not exponents:
        return -8, 0
    return math.floor(min(exponents)), max(
        math.ceil(max(exponents)), math.floor(min(exponents)) + 1
    )


def _panel(scale: Scale, heading: str) -> str:
    """Frame, decades and the two lanes."""
    top, right = scale.top, WIDTH - RIGHT
    every = math.ceil((scale.high - scale.low) / 6)
    shown = [f'<text class="says" x="{LEFT}" y="{top - 8:g}">{heading}</text>']
    for exponent in range(scale.low, scale.high + 1, every):
        y = scale.y(10.0**exponent)
        shown.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
        shown.append(
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}">10<tspan dy="-4" '
            f'font-size="8">{exponent}</tspan></text>'
        )
    for y, says in ((top + LANE / 2, "not finite"), (top + PANEL - LANE / 2, "zero")):
        shown.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 3:g}">{says}</text>')
    shown.append(
        f'<rect class="frame" x="{LEFT}" y="{top}" width="{right - LEFT}" height="{PANEL}"/>'
    )
    return "".join(shown)


def _band(scale: Scale, xs: Sequence[float], gaps: Sequence[Gap | None]) -> str:
    """What rounding makes, and above it what is allowed."""
    known = [(x, gap) for x, gap in zip(xs, gaps, strict=True) if gap and not gap.problem]
    floor = [(x, scale.y(relative(gap, gap.floor))) for x, gap in known]
    allowed = [(x, scale.y(relative(gap, gap.allowed))) for x, gap in known]
    bottom = scale.top + PANEL - LANE
    ground = [(x, bottom) for x, _ in known]
    return (
        f'<path class="band" d="{_line(allowed + floor[::-1])}"/>'
        f'<path class="floor" d="{_line(floor + ground[::-1])}"/>'
    )


def _line(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""


def _points(
    scale: Scale,
    xs: Sequence[float],
    layers: Sequence[Layer],
    gaps: Sequence[Gap | None],
    ranks: Mapping[CallKey, int],
) -> str:
    """A path per colour, each point a stroke without length; and the numbers of the guilty."""
    paths: dict[str, list[str]] = {"aligned": [], "affected": [], "guilty": [], "broken": []}
    numbers = []
    for x, layer, gap in zip(xs, layers, gaps, strict=True):
        if gap is None:
            continue
        value = relative(gap, gap.error)
        y = scale.y(value)
        style = "guilty" if layer.status == "guilty" else "aligned" if gap.ok else "affected"
        style = style if value < math.inf else "broken"
        paths[style].append(f"M{x:.1f} {y:.1f}h0")
        rank = ranks.get((layer.path, layer.call), NUMBERED + 1)
        if rank <= NUMBERED:
            numbers.append(f'<text class="rank" x="{x:.1f}" y="{y - 7:.1f}">{rank}</text>')
    drawn = (f'<path class="points {style}" d="{"".join(d)}"/>' for style, d in paths.items() if d)
    return "".join(drawn) + "".join(numbers)


def _parts(layers: Sequence[Layer], step: float, bottom: float) -> str:
    """Backbone, neck and head, side by side; a layer that is all of the model belongs to none."""
    shown, start = [], 0
    for part, group in groupby(layers, key=lambda layer: layer.path.split(".")[0]):
        end = start + len(list(group))
        x = LEFT + step * start
        if start:
            shown.append(f'<path class="border" d="M{x:.1f} 24V{bottom}"/>')
        if end - start > 1:
            middle = LEFT + step * (start + end) / 2
            y = bottom + 18
            shown.append(f'<text class="part mid" x="{middle:.1f}" y="{y}">{text(part)}</text>')
        start = end
    return "".join(shown)


def _column(x: float, step: float, bottom: float, layer: Layer, anchor: str) -> str:
    """What appears under the pointer anywhere above or below a point."""
    lines = [
        f"{name(layer)}: {layer.status}",
        f"local error: {in_words(layer.local)}",
        f"accumulated error: {in_words(layer.accumulated)}",
    ]
    return (
        f'<a href="#{anchor}">{svg_title(lines)}<rect class="column" '
        f'x="{x - step / 2:.1f}" y="24" width="{step:.1f}" height="{bottom - 24:g}"/></a>'
    )
