"""Precision over recall as an SVG, a curve for each IoU."""

import numpy as np

from picodet.evaluation.report.formatting import format_metric
from picodet.evaluation.schema import Curves
from picodet.html import svg_title

WIDTH, HEIGHT = 480, 350
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 40
NUM_STYLES = 4  # of line and color in style.css: curve-0 to curve-3; further curves start over


def curves(curve_data: Curves) -> str:
    """The curves as an SVG, with a legend beside it."""
    known = [
        (i, iou, line)
        for i, (iou, line) in enumerate(zip(curve_data.ious, curve_data.precision, strict=True))
        if np.isfinite(line).all() and (line >= 0).all()  # COCO's -1: no class has ground truth
    ]
    if not known:
        return "<p>There is no ground truth, so there is no curve.</p>"
    lines = "".join(
        f'<path class="curve-{i % NUM_STYLES}" d="{_line(line)}"/>' for i, _, line in known
    )
    legend = "".join(
        '<li><svg class="key" viewBox="0 0 36 10">'
        f'<path class="curve-{i % NUM_STYLES}" d="M0 5H36"/>'
        f"</svg>IoU {iou:.2f}: AP {format_metric(line.mean())}</li>"
        for i, iou, line in known
    )
    return (
        f'<div class="curves"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="precision over recall">{_frame()}{lines}'
        f'{_hover([(iou, line) for _, iou, line in known])}</svg><ul class="legend">{legend}</ul>'
        "</div>"
    )


def _x(recall: float) -> float:
    return LEFT + recall * (WIDTH - LEFT - RIGHT)


def _y(precision: float) -> float:
    return HEIGHT - BOTTOM - precision * (HEIGHT - TOP - BOTTOM)


def _line(precision: np.ndarray) -> str:
    recalls = np.linspace(0, 1, len(precision))
    points = zip(recalls, precision, strict=True)
    return "M" + "L".join(f"{_x(r):.1f} {_y(p):.1f}" for r, p in points)


def _frame() -> str:
    elements = []
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        x, y = _x(tick), _y(tick)
        elements.append(
            f'<path class="grid" d="M{LEFT} {y:.1f}H{_x(1):.1f}M{x:.1f} {_y(0):.1f}V{TOP}"/>'
        )
        elements.append(f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.1f}">{tick:g}</text>')
        elements.append(f'<text class="tick mid" x="{x:.1f}" y="{_y(0) + 16:.1f}">{tick:g}</text>')
    turned = f"translate(12 {_y(0.5):.1f}) rotate(-90)"
    elements.append(f'<text class="axis mid" x="{_x(0.5):.1f}" y="{HEIGHT - 6}">recall</text>')
    elements.append(f'<text class="axis mid" transform="{turned}">precision</text>')
    return "".join(elements)


def _hover(lines: list[tuple[float, np.ndarray]]) -> str:
    """An invisible column for each recall; its tooltip has the precision of all curves there."""
    count = len(lines[0][1])
    width = (WIDTH - LEFT - RIGHT) / (count - 1)
    columns = []
    for i in range(count):
        recall = i / (count - 1)
        tooltip = [f"recall {recall:.2f}"]
        tooltip += [f"IoU {iou:.2f}: precision {line[i]:.3f}" for iou, line in lines]
        columns.append(
            f'<g>{svg_title(tooltip)}<rect class="column" x="{_x(recall) - width / 2:.1f}" '
            f'y="{TOP}" width="{width:.2f}" height="{_y(0) - TOP:.1f}"/></g>'
        )
    return "".join(columns)
