"""Plots AP by epoch and the loss by iteration from a training log, as an SVG.

python -m scripts.plot_training shapes/training/log.jsonl docs/shapes.svg
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

WIDTH, HEIGHT, GAP = 340, 240, 24  # of each plot, and between them, pixels
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 28, 40
STYLE = (
    "text{font:12px sans-serif;fill:#555}.name{font-weight:600}.grid{stroke:#8884}"
    ".line{fill:none;stroke:#2a78c8;stroke-width:2}.dot{fill:#2a78c8}"
    "@media(prefers-color-scheme:dark){text{fill:#bbb}.line{stroke:#6db3f2}.dot{fill:#6db3f2}}"
)

Points = Sequence[tuple[float, float]]


def plot(name: str, across: str, points: Points, top: float, offset: float) -> str:
    """One plot, titled `name`; its y axis goes from 0 to `top`, `across` labels its x axis."""
    last = max(x for x, _ in points)

    def place(x: float, y: float) -> tuple[float, float]:
        wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + x / last * wide, HEIGHT - BOTTOM - min(y / top, 1) * high

    shown = [f'<text class="name" x="{LEFT}" y="16">{name}</text>']
    for i in range(5):
        x, y = place(last * i / 4, top * i / 4)
        shown.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        shown.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{top * i / 4:g}</text>'
        )
        below = f'y="{HEIGHT - BOTTOM + 18}" text-anchor="middle"'
        shown.append(f'<text x="{x:.1f}" {below}>{last * i / 4:g}</text>')
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    shown.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{across}</text>')
    placed = [place(*point) for point in points]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
    shown.append(f'<path class="line" d="M{line}"/>')
    shown += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in placed]
    return f'<g transform="translate({offset} 0)">{"".join(shown)}</g>'


def draw(rows: Sequence[dict[str, float | str]]) -> str:
    """Both plots as an SVG, from the rows of log.jsonl."""
    evaluations = [row for row in rows if row["event"] == "evaluation"]
    steps = [row for row in rows if row["event"] == "step"]
    ap = [(0.0, 0.0), *((float(row["epoch"]), float(row["AP"])) for row in evaluations)]
    loss = [(float(row["iteration"]), float(row["total"])) for row in steps]
    width = 2 * WIDTH + GAP
    label = "AP by epoch, and the loss by iteration"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" '
        f'height="{HEIGHT}" role="img" aria-label="{label}"><style>{STYLE}</style>'
        + plot("AP of the EMA weights, on images not trained on", "epoch", ap, 1.0, 0)
        + plot("loss", "iteration", loss, 4.0, WIDTH + GAP)
        + "</svg>\n"
    )


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text().splitlines()
    Path(sys.argv[2]).write_text(draw([json.loads(line) for line in lines]))
