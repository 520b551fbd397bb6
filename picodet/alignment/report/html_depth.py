"""Chart of errors by depth of the network: two panels over one axis of layers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from picodet.alignment.report.blocks import block_name
from picodet.alignment.report.formatting import describe_difference, layer_name
from picodet.alignment.result import Difference, Layer
from picodet.html import CallKey, svg_title, text

WIDTH, LEFT, RIGHT = 1140, 66, 12
PANEL_HEIGHT, PANEL_SPACING = 190, 46  # pixels
MARGIN = 24  # of a panel: at the top for what is not finite, at the bottom for exact zeros
MAX_NUMBERED = 9  # guilty layers that are labeled


@dataclass(frozen=True)
class LogScale:
    """A logarithmic axis from 10**low to 10**high; `top` is the upper edge of its panel."""

    low: int
    high: int
    top: float

    def y(self, value: float) -> float:
        """Pixel of an error over the layer's scale; zero and non-finite values: margins."""
        if not value < math.inf:
            return self.top + MARGIN / 2
        if value <= 0:
            return self.top + PANEL_HEIGHT - MARGIN / 2
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.top + PANEL_HEIGHT - MARGIN - share * (PANEL_HEIGHT - 2 * MARGIN)


def relative(difference: Difference, value: float) -> float:
    """Value over the greatest magnitude of the reference; infinite if they cannot be subtracted."""
    if difference.problem:
        return math.inf
    return value / (difference.scale or 1.0)


def depth_chart(
    layers: Sequence[Layer], anchors: Mapping[str, str], ranks: Mapping[CallKey, int]
) -> str:
    """The chart as SVG. anchors: of blocks on the page; ranks: of guilty layers, 1 is the worst."""
    low, high = _decades(layers)
    step = (WIDTH - LEFT - RIGHT) / max(len(layers), 1)
    xs = [LEFT + step * (i + 0.5) for i in range(len(layers))]
    panels = []
    for i, (kind, caption) in enumerate(
        (
            ("local", "local: each layer alone, fed with the reference's input"),
            ("accumulated", "accumulated: the whole model, fed with the reference's image"),
        )
    ):
        scale = LogScale(low, high, 24 + i * (PANEL_HEIGHT + PANEL_SPACING))
        differences = [getattr(layer, kind) for layer in layers]
        panels.append(_panel(scale, caption) + _band(scale, xs, differences))
        panels.append(_points(scale, xs, layers, differences, ranks))
    bottom = 24 + 2 * PANEL_HEIGHT + PANEL_SPACING
    columns = []
    for x, layer in zip(xs, layers, strict=True):
        rank = ranks.get((layer.path, layer.call))
        anchor = f"guilty-{rank}" if rank else anchors[block_name(layer)]
        columns.append(_column(x, step, bottom, layer, anchor))
    return (
        f'<div class="scroll"><svg class="depth" viewBox="0 0 {WIDTH} {bottom + 26}" '
        'style="min-width:820px" role="img" aria-label="errors by depth">'
        f"{_parts(layers, step, bottom)}{''.join(panels)}{''.join(columns)}</svg></div>"
    )


def _decades(layers: Sequence[Layer]) -> tuple[int, int]:
    differences = [
        difference
        for layer in layers
        for difference in (layer.local, layer.accumulated)
        if difference
    ]
    values = [relative(d, v) for d in differences for v in (d.error, d.floor, d.allowed)]
    exponents = [math.log10(v) for v in values if 0 < v < math.inf]
    if not exponents:
        return -8, 0
    return math.floor(min(exponents)), max(
        math.ceil(max(exponents)), math.floor(min(exponents)) + 1
    )


def _panel(scale: LogScale, heading: str) -> str:
    """Frame, decades and the labels of the margins."""
    top, right = scale.top, WIDTH - RIGHT
    step = math.ceil((scale.high - scale.low) / 6)
    elements = [f'<text class="heading" x="{LEFT}" y="{top - 8:g}">{heading}</text>']
    for exponent in range(scale.low, scale.high + 1, step):
        y = scale.y(10.0**exponent)
        elements.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
        elements.append(
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}">10<tspan dy="-4" '
            f'font-size="8">{exponent}</tspan></text>'
        )
    for y, caption in ((top + MARGIN / 2, "not finite"), (top + PANEL_HEIGHT - MARGIN / 2, "zero")):
        elements.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 3:g}">{caption}</text>')
    elements.append(
        f'<rect class="frame" x="{LEFT}" y="{top}" width="{right - LEFT}" height="{PANEL_HEIGHT}"/>'
    )
    return "".join(elements)


def _band(scale: LogScale, xs: Sequence[float], differences: Sequence[Difference | None]) -> str:
    """The band of the noise floor, and above it that of the tolerance."""
    known = [
        (x, difference)
        for x, difference in zip(xs, differences, strict=True)
        if difference and not difference.problem
    ]
    floor = [(x, scale.y(relative(difference, difference.floor))) for x, difference in known]
    allowed = [(x, scale.y(relative(difference, difference.allowed))) for x, difference in known]
    bottom = scale.top + PANEL_HEIGHT - MARGIN
    ground = [(x, bottom) for x, _ in known]
    return (
        f'<path class="band" d="{_line(allowed + floor[::-1])}"/>'
        f'<path class="floor" d="{_line(floor + ground[::-1])}"/>'
    )


def _line(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""


def _points(
    scale: LogScale,
    xs: Sequence[float],
    layers: Sequence[Layer],
    differences: Sequence[Difference | None],
    ranks: Mapping[CallKey, int],
) -> str:
    """A path for each color, a point being a stroke of no length; numbers at guilty layers."""
    paths: dict[str, list[str]] = {"aligned": [], "affected": [], "guilty": [], "broken": []}
    numbers = []
    for x, layer, difference in zip(xs, layers, differences, strict=True):
        if difference is None:
            continue
        value = relative(difference, difference.error)
        y = scale.y(value)
        style = "guilty" if layer.status == "guilty" else "aligned" if difference.ok else "affected"
        style = style if value < math.inf else "broken"
        paths[style].append(f"M{x:.1f} {y:.1f}h0")
        rank = ranks.get((layer.path, layer.call), MAX_NUMBERED + 1)
        if rank <= MAX_NUMBERED:
            numbers.append(f'<text class="rank" x="{x:.1f}" y="{y - 7:.1f}">{rank}</text>')
    point_paths = (
        f'<path class="points {style}" d="{"".join(d)}"/>' for style, d in paths.items() if d
    )
    return "".join(point_paths) + "".join(numbers)


def _parts(layers: Sequence[Layer], step: float, bottom: float) -> str:
    """Labels for backbone, neck and head; the whole model belongs to none."""
    elements, start = [], 0
    for part, group in groupby(layers, key=lambda layer: layer.path.split(".")[0]):
        end = start + len(list(group))
        x = LEFT + step * start
        if start:
            elements.append(f'<path class="border" d="M{x:.1f} 24V{bottom}"/>')
        if end - start > 1:
            middle = LEFT + step * (start + end) / 2
            y = bottom + 18
            elements.append(f'<text class="part mid" x="{middle:.1f}" y="{y}">{text(part)}</text>')
        start = end
    return "".join(elements)


def _column(x: float, step: float, bottom: float, layer: Layer, anchor: str) -> str:
    """The tooltip and link of a layer's column."""
    lines = [
        f"{layer_name(layer)}: {layer.status}",
        f"local error: {describe_difference(layer.local)}",
        f"accumulated error: {describe_difference(layer.accumulated)}",
    ]
    return (
        f'<a href="#{anchor}">{svg_title(lines)}<rect class="column" '
        f'x="{x - step / 2:.1f}" y="24" width="{step:.1f}" height="{bottom - 24:g}"/></a>'
    )
