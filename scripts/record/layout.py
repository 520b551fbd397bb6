"""Records what PaddleX's post-processing of layouts makes of detections on drawn pages.

    python3 -m venv build/paddlex && build/paddlex/bin/pip install paddlex==3.7.2
    export NPY_DISABLE_CPU_FEATURES="AVX2 AVX512F AVX512CD AVX512_SKX"
    PYTHONPATH=. build/paddlex/bin/python -m scripts.record.layout

makes tests/golden/layout.npz: inputs, settings and outputs of PaddleX's DetPostProcess, which needs
no model and no Paddle. With a number as argument, `picodet.ops.layout` is compared with PaddleX on
so many other pages instead, live. The variable is for equal scores: NumPy's argsort, in PaddleX's
NMS takes those of few boxes in order only without the vector instructions of newer CPUs.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from paddlex.inference.models.object_detection.processors import DetPostProcess

from picodet.ops.layout import LayoutSettings, layout_regions

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "layout.npz"
PAGES = 150
STABLE = 16  # boxes that NumPy's argsort leaves in order where scores are equal
LABELS = (
    ("text", "image", "formula", "table", "figure_title", "paragraph_title", "header", "number"),
    ("image", "table", "seal"),
    ("Text", "Title", "Figure", "Equation"),  # none has rules of its own
    ("table",),
)


@dataclass(frozen=True)
class Page:
    """Detections on a page, and PaddleX's arguments."""

    labels: tuple[str, ...]
    size: tuple[int, int]  # width, height, as in PaddleX
    rows: np.ndarray  # [N, 6] float32: class, score, xyxy; class by class, best first
    arguments: dict[str, Any]


def draw_page(seed: int) -> Page:
    """Blocks in columns, each found once or several times, with regions in them and around them."""
    random = np.random.RandomState(seed)
    labels = LABELS[seed % len(LABELS)]
    width, height = (int(side) for side in random.randint(200, 1600, 2))
    ties = bool(random.rand() < 0.3)
    boxes: list[np.ndarray] = []
    for _ in range(random.randint(0, 9)):
        sides = np.array([width, height]) * random.uniform(0.05, 0.6, 2)
        left_top = random.uniform(-0.05, 0.9, 2) * (width, height)
        block = np.concatenate([left_top, left_top + sides])
        for _ in range(random.randint(1, 4)):  # found again, a little beside it
            boxes.append(block + random.normal(0, random.choice([0, 2, 20]), 4))
        if random.rand() < 0.5:  # something in it
            part = np.sort(random.uniform(0, 1.05, (2, 2)), axis=0).ravel()
            boxes.append(np.tile(left_top, 2) + part * np.tile(sides, 2))
    if random.rand() < 0.3:  # nearly the whole page
        share = np.sqrt(random.uniform(0.78, 0.97))
        boxes.append(np.array([0, 0, width * share, height * share]))
    if random.rand() < 0.1:
        boxes.append(np.array([20, 30, 20, 50]))  # without area
    count = min(len(boxes), STABLE) if ties else len(boxes)
    classes = random.randint(0, len(labels), count)
    scores = random.uniform(0.2, 1, count)
    if ties:
        scores = np.round(scores, 1)
    rows = np.column_stack([classes, scores, np.array(boxes[:count]).reshape(-1, 4)])
    rows = rows.astype(np.float32)[np.lexsort((-scores, classes))]
    return Page(labels, (width, height), rows, _arguments(random, len(labels), len(rows) == 0))


def _arguments(random: np.random.RandomState, count: int, empty: bool) -> dict[str, Any]:
    """PaddleX's arguments; by class only some classes are given."""
    some = [int(i) for i in np.flatnonzero(random.rand(count) < 0.6)]
    ratios = {i: (1.0 + 0.1 * (i % 3), 0.9) for i in some}
    modes = {i: ("union", "large", "small")[(i + count) % 3] for i in some}
    thresholds: list[Any] = [0.5, 0.3]
    if not empty:  # where PaddleX raises IndexError
        thresholds.append({i: 0.25 + 0.05 * (i % 8) for i in some})
    return {
        "threshold": thresholds[random.randint(len(thresholds))],
        "layout_nms": bool(random.randint(2)),
        "layout_unclip_ratio": [None, 1.05, (1.2, 0.95), ratios][random.randint(4)],
        "layout_merge_bboxes_mode": [None, "union", "large", "small", modes][random.randint(5)],
    }


def run_paddlex(page: Page) -> np.ndarray:
    """Rows [M, 6] float64: class, score, xyxy."""
    rows = page.rows.copy()
    if not len(rows) or len(set(rows[:, 1].tolist())) < len(rows):
        order = np.argsort(rows[:, 1])
        if not np.array_equal(order, np.argsort(rows[:, 1], kind="stable")):
            raise SystemExit(
                "equal scores are not in order: NumPy sorts by vector instructions; expected "
                "NPY_DISABLE_CPU_FEATURES as in the docstring"
            )
    found = DetPostProcess(list(page.labels)).apply(rows, page.size, **page.arguments)
    values = [[box["cls_id"], box["score"], *map(float, box["coordinate"])] for box in found]
    return np.array(values, np.float64).reshape(-1, 6)


def settings_of(labels: tuple[str, ...], arguments: dict[str, Any]) -> LayoutSettings:
    """The same settings for picodet.ops.layout; keys of JSON are text."""

    def by_class(value: Any, default: Any) -> tuple[Any, ...]:
        if not isinstance(value, dict):
            return (value,) * len(labels)
        return tuple(value.get(i, value.get(str(i), default)) for i in range(len(labels)))

    unclip, merge = arguments["layout_unclip_ratio"], arguments["layout_merge_bboxes_mode"]
    if isinstance(unclip, float):
        unclip = (unclip, unclip)
    return LayoutSettings(
        classes=labels,
        thresholds=by_class(arguments["threshold"], 0.5),
        nms=arguments["layout_nms"],
        unclip=None if not unclip else by_class(unclip, None),
        merge=by_class(merge, "union") if isinstance(merge, dict) else merge or "union",
    )


def compare(pages: int) -> None:
    """Compare picodet.ops.layout with PaddleX live. Raises SystemExit at the first difference."""
    regions = 0
    for seed in range(10_000, 10_000 + pages):
        page = draw_page(seed)
        given = page.rows[:, 2:], page.rows[:, 1], page.rows[:, 0].astype(np.int64)
        size = page.size[1], page.size[0]
        boxes, scores, classes = layout_regions(
            *given, size, settings_of(page.labels, page.arguments)
        )
        expected = run_paddlex(page)
        if not np.array_equal(np.column_stack([classes, scores, boxes]), expected):
            raise SystemExit(f"page {seed} differs: {page}\n{expected}\n{boxes}")
        regions += len(expected)
    print(f"{pages} pages, {regions} regions: the same bits")


def main() -> None:
    """Write the recording, or compare."""
    if len(sys.argv) > 1:
        compare(int(sys.argv[1]))
        return
    pages = [draw_page(seed) for seed in range(PAGES)]
    found = [run_paddlex(page) for page in pages]
    described = [[page.labels, page.size, page.arguments] for page in pages]
    np.savez_compressed(
        OUTPUT,
        pages=np.frombuffer(json.dumps(described).encode(), np.uint8),
        counts=np.array([len(page.rows) for page in pages]),
        rows=np.concatenate([page.rows for page in pages]),
        found_counts=np.array([len(rows) for rows in found]),
        found=np.concatenate(found).astype(np.float32),
    )
    print(f"{OUTPUT}: {len(pages)} pages, {sum(map(len, found))} regions")


if __name__ == "__main__":
    main()
