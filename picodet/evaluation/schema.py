"""The results of an evaluation, from which table, page and JSON are made."""

from dataclasses import dataclass

import numpy as np

STATS = (  # the twelve numbers in COCO's order
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
)


@dataclass(frozen=True)
class ClassResult:
    """One class; AP and AR are NaN without ground truth, and COCO leaves it out of the means."""

    name: str
    ap: float  # over IoU 0.50 to 0.95
    ap50: float
    ap75: float
    ar: float  # at 100 detections an image
    num_gt: int  # ground-truth boxes, crowds not counted
    detections: int


@dataclass(frozen=True)
class Curves:
    """Precision at 101 recalls from 0 to 1, mean over classes with ground truth."""

    ious: tuple[float, ...]  # one curve each: 0.50, 0.75 and so on
    precision: np.ndarray  # [IoUs, 101]


@dataclass(frozen=True)
class LabeledBox:
    """A box on an image."""

    box: tuple[float, float, float, float]  # xyxy, pixels
    label: str
    score: float | None  # None for ground truth


@dataclass(frozen=True)
class WorstImage:
    """An image with many errors at IoU 0.5, of detections from `Report.min_shown_score` on."""

    file: str
    jpeg: bytes  # reduced, nothing drawn on it
    size: tuple[int, int]  # height, width of the original, which the boxes refer to
    true_positives: tuple[LabeledBox, ...]  # match a ground-truth box
    false_positives: tuple[LabeledBox, ...]  # match none
    false_negatives: tuple[LabeledBox, ...]  # ground-truth boxes without a match


@dataclass(frozen=True)
class Interval:
    """A difference of AP to another run on the same images, and its bootstrap interval."""

    difference: float
    low: float  # 2.5 %
    high: float  # 97.5 %


@dataclass(frozen=True)
class WhatIf:
    """AP under one changed setting; the first of several is unchanged and has no interval."""

    name: str  # "interp 1 (linear)"
    stats: tuple[float, ...]  # the twelve
    detections: int
    against_first: Interval | None


@dataclass(frozen=True)
class Report:
    """One run over a dataset."""

    model: str
    annotations: str
    interp: int | None  # OpenCV's, 0 to 4; None of a predictions file, which does not state it
    settings: dict[str, str]  # what the numbers depend on, in words: interp, resize, NMS, evaluator
    stats: tuple[float, ...]  # the twelve, full precision; -1 where COCO has nothing to average
    classes: tuple[ClassResult, ...]
    curves: Curves
    num_images: int
    detections: int
    seconds: float  # of all runs of the command together
    min_shown_score: float  # score from which a detection counts in `worst`
    worst: tuple[WorstImage, ...] = ()
    what_if: tuple[WhatIf, ...] = ()
    notes: tuple[str, ...] = ()  # "3 unreadable images left out: this AP is not COCO's"
    versions: dict[str, str] | None = None
    commands: tuple[str, ...] = ()  # that reproduce these numbers
    runs: int = 1  # that `seconds` covers: several interps, or a what-if
    caveat: str = ""  # beside the AP: "not COCO's: 3 images left out"
