"""Evaluation reports made by hand; the twelve numbers are ppdet's on 400 images of val2017."""

import math
from dataclasses import replace

import cv2
import numpy as np

from picodet.evaluation.compare import DifferenceStats, MatchedPair, PredictionComparison
from picodet.evaluation.schema import (
    ClassResult,
    Curves,
    Interval,
    LabeledBox,
    Report,
    WhatIf,
    WorstImage,
)

HOSTILE = '<script>alert("1")</script>[bold]'
CUBIC = (
    *(0.32225, 0.47022, 0.34106, 0.12124, 0.34698, 0.51306),
    *(0.28725, 0.45284, 0.47496, 0.18421, 0.50842, 0.72247),
)
LINEAR = (
    *(0.32225, 0.47090, 0.34296, 0.12448, 0.34621, 0.50815),
    *(0.28539, 0.45491, 0.47747, 0.18722, 0.51276, 0.72626),
)
RECALLS = np.linspace(0, 1, 101)
NAN = math.nan


def jpeg(height: int = 30, width: int = 40) -> bytes:
    """A gray image."""
    return cv2.imencode(".jpg", np.full((height, width, 3), 128, np.uint8))[1].tobytes()


CLASSES = (
    ClassResult("person", 0.45, 0.71, 0.47, 0.55, num_gt=1204, detections=9000),
    ClassResult(f"cup{HOSTILE}", 0.25, 0.41, 0.26, 0.43, num_gt=87, detections=611),
    ClassResult("cat", 0.61, 0.82, 0.66, 0.72, num_gt=9, detections=40),
    ClassResult("toaster", NAN, NAN, NAN, NAN, num_gt=0, detections=3),
    ClassResult("hair drier", NAN, NAN, NAN, NAN, num_gt=0, detections=0),
)
WORST = (
    WorstImage(
        "000000000139.jpg",
        jpeg(),
        size=(480, 640),
        true_positives=(LabeledBox((10, 20, 110, 220), "person", 0.91),),
        false_positives=(LabeledBox((-5, 0, 320, 470), f"cup{HOSTILE}", 0.3456),),
        false_negatives=(
            LabeledBox((600, 5, 650, 100), "cat", None),
            LabeledBox((300, 50, 310, 60), "cat", None),
        ),
    ),
)
WHAT_IF = (
    WhatIf("interp 2 (cubic)", CUBIC, 39888, None),
    WhatIf("interp 1 (linear)", LINEAR, 39903, Interval(0.00001, -0.0026, 0.00273)),
    WhatIf("RGB and BGR exchanged", (0.28, *CUBIC[1:]), 38000, Interval(-0.04225, -0.051, -0.0333)),
    WhatIf("NMS IoU 0.7", (0.3259, *CUBIC[1:]), 39990, Interval(0.00365, 0.0012, 0.0061)),
)
REPORT = Report(
    model="picodet_s_416_coco.onnx",
    annotations="instances_val400.json",
    interp=2,
    settings={"resize": "416 x 416, interp 2 (cubic)", "NMS": "IoU 0.6, score 0.025"},
    stats=CUBIC,
    classes=CLASSES,
    curves=Curves((0.5, 0.75, 0.9), np.stack([(1 - RECALLS) ** p for p in (1, 2, 4)])),
    num_images=400,
    detections=39888,
    seconds=12.5,
    min_shown_score=0.3,
    worst=WORST,
    what_if=WHAT_IF,
    notes=("3 unreadable images left out: this AP is not COCO's",),
    versions={"picodet": "0.4", "onnxruntime": "1.32.0"},
    commands=("picodet-eval picodet_s_416_coco.onnx --coco shared/coco",),
)
NOTHING_TO_FIND = replace(
    REPORT,
    stats=(-1.0,) * 12,
    classes=CLASSES[3:],
    curves=Curves((0.5,), np.full((1, 101), -1.0)),
    detections=3,
    worst=(),
    what_if=(),
    notes=(),
    versions=None,
    commands=(),
)
NOTHING_FOUND = replace(
    REPORT,
    stats=(0.0, 0.0, 0.0, -1.0, *(0.0,) * 5, -1.0, 0.0, 0.0),
    classes=(ClassResult("person", 0.0, 0.0, 0.0, 0.0, num_gt=3, detections=0),),
    curves=Curves((0.5, 0.75), np.zeros((2, 101))),
    detections=0,
    seconds=0.0,
    worst=(replace(WORST[0], true_positives=(), false_positives=()),),
    what_if=(),
)
COMPARISON = PredictionComparison(
    stats_a=LINEAR,
    stats_b=CUBIC,
    interval=Interval(0.0, -0.004, 0.003),
    detections_a=9,
    detections_b=8,
    matched=7,
    same=4,
    missing=np.array([3, 1]),
    extra=np.array([5]),
    score=DifferenceStats(0.01, 0.05, 0.1),
    box=DifferenceStats(1.5, 20, 123.4),
    worst=(
        MatchedPair(1, "a.jpg", HOSTILE, 4, 6, (0.5, 0.6), ((0, 0, 9, 9), (0, 0, 9, 8)), 0.1, 1.0),
    ),
)
SAME = replace(
    COMPARISON,
    stats_b=LINEAR,
    interval=Interval(0.0, 0.0, 0.0),
    detections_a=7,
    detections_b=7,
    same=7,
    missing=np.array([], int),
    extra=np.array([], int),
    worst=(),
)
