"""COCO's twelve numbers and what they are means of, by hotcoco or by pycocotools.

Both give the same precisions and recalls, bit for bit (hotcoco some thirty times faster), and the
means are taken here, in one way, which is pycocotools' own.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from picodet.data.coco import Annotations
from picodet.evaluation.detections import Results, check_finite
from picodet.evaluation.schema import ClassResult, Curves


def by_hotcoco(annotations: Annotations, results: Results) -> tuple[np.ndarray, np.ndarray]:
    """As COCOeval has them: precision [10, 101, K, 4, 3], recall [10, K, 4, 3]."""
    from hotcoco import COCO, COCOeval  # noqa: PLC0415

    truths = annotations.truths
    dataset = COCO.from_arrays(
        _images(annotations),
        _categories(annotations),
        annotations.picture_indices(truths.picture_ids) + 1,
        annotations.category_indices(truths.category_ids) + 1,
        truths.boxes,
        area=truths.areas,
        iscrowd=truths.crowds,
    )
    detections = np.column_stack(
        [
            annotations.picture_indices(results.picture_ids) + 1,
            results.boxes,
            results.scores,
            annotations.category_indices(results.category_ids) + 1,
        ]
    )
    return _computed(COCOeval(dataset, dataset.load_res(detections), "bbox"))


def by_pycocotools(annotations: Annotations, results: Results) -> tuple[np.ndarray, np.ndarray]:
    """As COCOeval has them; what it prints is not shown."""
    from pycocotools.coco import COCO  # noqa: PLC0415
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    truths = annotations.truths
    to_find = {
        "id": np.where(truths.ids == 0, 0, np.arange(len(truths)) + 1),
        "image_id": annotations.picture_indices(truths.picture_ids) + 1,
        "category_id": annotations.category_indices(truths.category_ids) + 1,
        "bbox": truths.boxes,
        "area": truths.areas,
        "iscrowd": truths.crowds,
    }
    detected = {  # loadRes would add the same, but cannot load nothing
        "id": np.arange(len(results)) + 1,
        "image_id": annotations.picture_indices(results.picture_ids) + 1,
        "category_id": annotations.category_indices(results.category_ids) + 1,
        "bbox": results.boxes,
        "score": results.scores,
        "area": results.boxes[:, 2] * results.boxes[:, 3],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        sides = COCO(), COCO()
        for side, columns in zip(sides, (to_find, detected), strict=True):
            side.dataset = {
                "images": _images(annotations),
                "categories": _categories(annotations),
                "annotations": _objects(columns),
            }
            side.createIndex()
        return _computed(COCOeval(*sides, "bbox"))


def _computed(evaluation: Any) -> tuple[np.ndarray, np.ndarray]:
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]


def _images(annotations: Annotations) -> list[dict[str, Any]]:
    return [
        {"id": i, "height": picture.size[0], "width": picture.size[1]}
        for i, picture in enumerate(annotations.pictures, 1)
    ]


def _categories(annotations: Annotations) -> list[dict[str, Any]]:
    return [
        {"id": i, "name": category.name} for i, category in enumerate(annotations.categories, 1)
    ]


def _objects(columns: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


EVALUATORS = {"hotcoco": by_hotcoco, "pycocotools": by_pycocotools}
IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
ALL, SMALL, MEDIUM, LARGE = range(4)  # areas
AT_1, AT_10, AT_100 = range(3)  # detections per picture and class


@dataclass(frozen=True)
class Metrics:
    """Of one run; -1 stands for what has no box to find, as in pycocotools."""

    stats: tuple[float, ...]  # the twelve of report.STATS
    precision: np.ndarray  # [IoUs, RECALLS, categories, areas, limits on detections]
    recall: np.ndarray  # [IoUs, categories, areas, limits on detections]
    evaluator: str  # that was used
    notes: tuple[str, ...] = ()  # what a reader of the numbers must know


def evaluate(annotations: Annotations, results: Results, evaluator: str = "hotcoco") -> Metrics:
    """Every picture of the annotations counts, with or without boxes and detections."""
    check_finite(results)
    notes = []
    if np.any(annotations.truths.ids == 0):
        # hotcoco does not share this fault; the official number is pycocotools'
        evaluator = "pycocotools"
        notes.append(
            "a true box has the id 0: COCO's official evaluation counts it as never found, and "
            "so does this one. Ids that begin with 1 avoid it"
        )
    precision, recall = EVALUATORS[evaluator](annotations, results)
    return Metrics(_stats(precision, recall), precision, recall, evaluator, tuple(notes))


def class_results(
    metrics: Metrics, annotations: Annotations, results: Results
) -> tuple[ClassResult, ...]:
    """One per category of the annotations, in their order."""
    count = len(annotations.categories)
    ordinary = annotations.truths.category_ids[~annotations.truths.crowds]
    truths = np.bincount(annotations.category_indices(ordinary), minlength=count)
    found = annotations.category_indices(results.category_ids)
    detections = np.bincount(found, minlength=count)
    precision = metrics.precision[:, :, :, ALL, AT_100]
    recall = metrics.recall[:, :, ALL, AT_100]
    return tuple(
        ClassResult(
            name=category.name,
            ap=_mean(precision[:, :, k], float("nan")),
            ap50=_mean(precision[_position(0.5), :, k], float("nan")),
            ap75=_mean(precision[_position(0.75), :, k], float("nan")),
            ar=_mean(recall[:, k], float("nan")),
            truths=int(truths[k]),
            detections=int(detections[k]),
        )
        for k, category in enumerate(annotations.categories)
    )


def curves(metrics: Metrics, ious: Sequence[float] = (0.5, 0.75, 0.9)) -> Curves:
    """Mean over the classes with boxes to find; zero where there are none."""
    precision = metrics.precision[:, :, :, ALL, AT_100]
    with_truths = (precision > -1).all(axis=(0, 1))
    chosen = precision[[_position(iou) for iou in ious]][:, :, with_truths]
    mean = chosen.mean(axis=2) if with_truths.any() else np.zeros(chosen.shape[:2])
    return Curves(tuple(ious), mean)


def _stats(precision: np.ndarray, recall: np.ndarray) -> tuple[float, ...]:
    at_100 = precision[..., AT_100]
    return (
        _mean(at_100[..., ALL]),
        _mean(at_100[_position(0.5), ..., ALL]),
        _mean(at_100[_position(0.75), ..., ALL]),
        *(_mean(at_100[..., area]) for area in (SMALL, MEDIUM, LARGE)),
        *(_mean(recall[..., ALL, limit]) for limit in (AT_1, AT_10, AT_100)),
        *(_mean(recall[..., area, AT_100]) for area in (SMALL, MEDIUM, LARGE)),
    )


def _mean(values: np.ndarray, nothing: float = -1.0) -> float:
    there = values[values > -1]
    return float(np.mean(there)) if len(there) else nothing


def _position(iou: float) -> int:
    return int(np.argmin(abs(IOUS - iou)))
