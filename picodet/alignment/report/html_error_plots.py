"""Two plots of a guilty layer: an error map, and its values against the reference's."""

import base64

import cv2
import numpy as np

from picodet.alignment.report.formatting import format_number
from picodet.alignment.result import ErrorPlots

MAX_MAP_SIZE = 96  # height and width; larger maps are merged by maximum
MAX_POINTS = 800  # of the scatter
SIDE = 240  # pixels, of either
ALPHA_LEVELS = 24  # few, so that the file stays small
ERROR_COLOR = (60, 42, 214)  # BGR, and opaque where the error is greatest
NOT_FINITE_COLOR = (190, 75, 125)


def error_map(plots: ErrorPlots, allowed: float) -> str:
    """The greatest error over channels at each position, by opacity.

    Errors up to `allowed` never get full opacity.
    """
    merged = _merged(plots.errors.astype(float))
    known = np.isfinite(merged)
    greatest = max(merged[known].max(initial=0.0), allowed)
    opacity = np.where(known, merged, 0) / (greatest or 1.0)
    pixels = np.empty((*merged.shape, 4), np.uint8)
    pixels[..., :3] = ERROR_COLOR
    pixels[..., 3] = np.round(opacity * ALPHA_LEVELS) * (255 / ALPHA_LEVELS)
    pixels[~known] = (*NOT_FINITE_COLOR, 255)
    png = base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()
    rows, columns = plots.errors.shape
    height, width = (max(16.0, SIDE * n / max(rows, columns)) for n in (rows, columns))
    num_not_finite = int((~np.isfinite(plots.errors)).sum())
    caption = f"error at {rows} x {columns} positions: blank is 0, red is {format_number(greatest)}"
    caption += f"; {num_not_finite} not finite, purple" if num_not_finite else ""
    return (
        f'<figure><img class="map" alt="error map" width="{width:.0f}" height="{height:.0f}" '
        f'src="data:image/png;base64,{png}"><figcaption>{caption}</figcaption></figure>'
    )


def _merged(errors: np.ndarray) -> np.ndarray:
    """[H, W] -> at most MAX_MAP_SIZE each, by maximum; NaN stays NaN."""
    for axis in (0, 1):
        factor = -(-errors.shape[axis] // MAX_MAP_SIZE)
        starts = np.arange(0, errors.shape[axis], factor)
        errors = np.maximum.reduceat(errors, starts, axis=axis)
    return errors


def scatter(plots: ErrorPlots) -> str:
    """The model's values over the reference's; equal ones are on the diagonal."""
    values, reference = (v.astype(float).ravel() for v in (plots.model, plots.reference))
    finite = np.isfinite(values) & np.isfinite(reference)
    num_not_finite = int((~finite).sum())
    caption = f"{len(values)} values, the model (up) against the reference (right)"
    caption += f"; {num_not_finite} not finite, not shown" if num_not_finite else ""
    values, reference = _sample(values[finite], reference[finite])
    both = np.concatenate([values, reference])
    low, high = (both.min(), both.max()) if len(both) else (0.0, 1.0)
    if not 0 < high - low < np.inf:
        low, high = low - 0.5, low + 0.5
    xs, ys = ((v - low) / (high - low) * SIDE for v in (reference, values))
    points = "".join(f"M{x:.1f} {SIDE - y:.1f}h0" for x, y in zip(xs, ys, strict=True))
    return (
        f'<figure><svg class="scatter" viewBox="-6 -6 {SIDE + 12} {SIDE + 30}" role="img" '
        'aria-label="model against reference">'
        f'<rect class="frame" width="{SIDE}" height="{SIDE}"/>'
        f'<path class="diagonal" d="M0 {SIDE}L{SIDE} 0"/><path class="points" d="{points}"/>'
        f'<text class="tick start" y="{SIDE + 16}">{format_number(low)}</text>'
        f'<text class="tick" x="{SIDE}" y="{SIDE + 16}">{format_number(high)}</text></svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _sample(values: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MAX_POINTS: half of them evenly spaced, half those with the greatest error."""
    if len(values) <= MAX_POINTS:
        return values, reference
    half = MAX_POINTS // 2
    even = np.linspace(0, len(values) - 1, half).astype(int)
    chosen = np.union1d(even, np.argsort(-np.abs(values - reference))[:half])
    return values[chosen], reference[chosen]
