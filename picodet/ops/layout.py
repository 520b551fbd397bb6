"""PaddleX's post-processing of layouts: a network's detections -> regions of a page.

The steps, in PaddleX's order (PaddleX 3.7.2,
paddlex/inference/models/object_detection/processors.py:453-843):

1. thresholds   of each class; a greater score stays
2. NMS          if on: a region goes if its IoU with a better one is 0.6 or more within a class,
                0.98 or more between classes; sides count as one pixel longer than they are
3. page images  of several regions, an "image" that covers more than 0.82 of a landscape page or
                0.93 of another goes, unless nothing else remains
4. merging      a region lies in another if 0.9 of its area does; the outer ones stay ("large"), the
                inner ones ("small"), or all ("union"). A "formula" lies only in formulas
5. unclipping   sides are multiplied about the center
6. clipping     to the page; a region without area goes. Nothing is rounded

Arithmetic is in the dtype of the boxes, as in PaddleX with NumPy 2: float32 decides near ties.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from picodet.errors import PicoDetError

MergeMode = Literal["union", "large", "small"]
MERGE_MODES: tuple[MergeMode, ...] = ("union", "large", "small")
Ratio = tuple[float, float]  # of width and height

IMAGE, FORMULA = "image", "formula"  # names of the classes with rules of their own
IOU_SAME_CLASS = 0.6  # from this IoU on, a region is suppressed
IOU_OTHER_CLASS = 0.98
CONTAINED_SHARE = 0.9  # of the area of a region that lies in another
MAX_IMAGE_SHARE_LANDSCAPE = 0.82  # of the page's area
MAX_IMAGE_SHARE = 0.93


@dataclass(frozen=True)
class LayoutSettings:
    """The settings of the steps; a tuple has a value for each of the model's C classes."""

    classes: tuple[str, ...]  # [C]; "image" and "formula" have rules of their own
    thresholds: tuple[float, ...]  # [C]
    nms: bool = False
    unclip: tuple[Ratio | None, ...] | None = None  # [C], None for a class that stays as it is
    merge: MergeMode | tuple[MergeMode, ...] = "union"  # one compares all classes together

    def describe(self) -> str:
        """The settings in one line, for reports."""
        unclip = [None if r is None else f"{r[0]:g}x{r[1]:g}" for r in self.unclip or (None,)]
        merge = [self.merge] if isinstance(self.merge, str) else self.merge
        return (
            f"threshold {self._by_class([f'{number:g}' for number in self.thresholds])}, NMS "
            f"{'on' if self.nms else 'off'}, unclip {self._by_class(unclip)}, merge "
            f"{self._by_class(merge)}"
        )

    def _by_class(self, values: Sequence[str | None]) -> str:
        """The most frequent value, and the classes that have another."""
        ((usual, _),) = Counter(values).most_common(1)
        others = [
            f"{name} {value or 'none'}"
            for name, value in zip(self.classes, values, strict=False)
            if value != usual
        ]
        return " ".join([usual or "none", *([f"({', '.join(others)})"] if others else [])])


def layout_regions(
    boxes: np.ndarray,
    scores: np.ndarray,
    classes: np.ndarray,
    page_size: tuple[int, int],
    settings: LayoutSettings,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """boxes [N, 4] xyxy in pixels of the page, scores [N], classes [N] -> those of the regions.

    page_size is (height, width). Regions are in order of class, and within a class in that of the
    input; after NMS, best score first. Of equal scores the later is the better one, as NumPy's
    argsort has it in PaddleX; for more than 16 boxes it leaves the order open. Raises PicoDetError
    for a class that the settings lack, and for values that are not finite.
    """
    _check(boxes, scores, classes, len(settings.classes))
    thresholds = np.array(settings.thresholds, scores.dtype)
    kept = np.flatnonzero(scores > thresholds[classes])
    kept = kept[np.argsort(classes[kept], kind="stable")]
    if settings.nms:
        kept = kept[_nms(boxes[kept], scores[kept], classes[kept])]
    if IMAGE in settings.classes:
        images = classes[kept] == settings.classes.index(IMAGE)
        covering = images & _covers(boxes[kept], page_size)
        kept = kept if covering.all() else kept[~covering]
    kept = kept[_merge(boxes[kept], classes[kept], settings)]
    found, classes = boxes[kept], classes[kept]
    if settings.unclip is not None:
        found = _unclip(found, classes, settings.unclip)
    height, width = page_size
    limits = np.array([width, height], boxes.dtype)
    found = np.hstack([np.maximum(found[:, :2], 0), np.minimum(found[:, 2:], limits)])
    inside = (found[:, 2:] > found[:, :2]).all(axis=1)
    return found[inside], scores[kept][inside], classes[inside]


def _check(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, count: int) -> None:
    if not (boxes.shape == (len(scores), 4) and scores.shape == classes.shape == (len(boxes),)):
        raise PicoDetError(
            f"boxes {boxes.shape}, scores {scores.shape} and classes {classes.shape}; expected "
            "[N, 4], [N] and [N]"
        )
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise PicoDetError("boxes or scores are NaN or Inf; expected finite numbers")
    if len(classes) and not 0 <= classes.min() <= classes.max() < count:
        wrong = classes[(classes < 0) | (classes >= count)][0]
        raise PicoDetError(
            f"the model found class {wrong}, counted from 0; it names {count} classes"
        )


def _nms(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Indices of the kept boxes, best score first; a suppressed box suppresses nothing."""
    order = np.argsort(scores, kind="stable")[::-1]
    boxes, classes = boxes[order], classes[order]
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    shared = _intersections(boxes, longer=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = shared / (area[:, None] + area - shared)
    limits = np.array([IOU_OTHER_CLASS, IOU_SAME_CLASS], boxes.dtype)
    suppresses = ~(iou < limits[(classes[:, None] == classes).astype(int)])
    alive = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if alive[i]:
            alive[i + 1 :] &= ~suppresses[i, i + 1 :]
    return order[alive]


def _intersections(boxes: np.ndarray, longer: int = 0) -> np.ndarray:
    """Areas [N, N] of the intersections of all pairs, with sides `longer` than they are."""
    left_top = np.maximum(boxes[:, None, :2], boxes[:, :2])
    right_bottom = np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    sides: np.ndarray = np.maximum(right_bottom - left_top + longer, 0)
    return sides[..., 0] * sides[..., 1]


def _covers(boxes: np.ndarray, page_size: tuple[int, int]) -> np.ndarray:
    """[N] bool: whether a box, within the page, has too large a share of the page's area."""
    height, width = page_size
    share = MAX_IMAGE_SHARE_LANDSCAPE if width > height else MAX_IMAGE_SHARE
    limits = np.array([width, height], boxes.dtype)
    sides = np.minimum(boxes[:, 2:], limits) - np.maximum(boxes[:, :2], 0)
    covers: np.ndarray = sides[:, 0] * sides[:, 1] > boxes.dtype.type(share * (width * height))
    return covers


def _merge(boxes: np.ndarray, classes: np.ndarray, settings: LayoutSettings) -> np.ndarray:
    """[N] bool: the boxes that remain under the modes of merging."""
    kept = np.ones(len(boxes), bool)
    if settings.merge == "union":
        return kept
    lies_in = _lies_in(boxes)
    if FORMULA in settings.classes:
        formula = classes == settings.classes.index(FORMULA)
        lies_in &= ~formula[:, None] | formula
    if isinstance(settings.merge, str):
        return _outer_or_inner(lies_in, settings.merge)
    for label in np.unique(classes).tolist():
        mode, of_class = settings.merge[label], classes == label
        if mode == "large":  # what lies in a region of this class goes
            kept &= _outer_or_inner(lies_in & of_class, mode)
        elif mode == "small":  # what a region of this class lies in goes
            kept &= _outer_or_inner(lies_in & of_class[:, None], mode)
    return kept


def _outer_or_inner(lies_in: np.ndarray, mode: MergeMode) -> np.ndarray:
    inner, outer = lies_in.any(axis=1), lies_in.any(axis=0)
    return np.logical_not(inner if mode == "large" else outer & ~inner)


def _lies_in(boxes: np.ndarray) -> np.ndarray:
    """[N, N] bool: whether box i lies in another box j; a box without area lies in none."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = _intersections(boxes) / area[:, None]
    lies_in: np.ndarray = shares >= boxes.dtype.type(CONTAINED_SHARE)  # false for NaN
    np.fill_diagonal(lies_in, False)
    return lies_in


def _unclip(boxes: np.ndarray, classes: np.ndarray, ratios: tuple[Ratio | None, ...]) -> np.ndarray:
    per_class = np.array([(np.nan, np.nan) if r is None else r for r in ratios], boxes.dtype)
    ratio = per_class[classes]
    sides = boxes[:, 2:] - boxes[:, :2]
    center, half = boxes[:, :2] + sides / 2, sides * ratio / 2
    return np.where(np.isnan(ratio[:, :1]), boxes, np.hstack([center - half, center + half]))
