"""COCO's twelve metrics and the arrays they are means of, by hotcoco or by pycocotools.

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
from picodet.evaluation.detections import Predictions, check_finite
from picodet.evaluation.schema import ClassResult, Curves


def by_hotcoco(annotations: Annotations, predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """COCOeval's arrays by hotcoco: precision [10, 101, K, 4, 3], recall [10, K, 4, 3]."""
    from hotcoco import COCO, COCOeval  # noqa: PLC0415

    ground_truth = annotations.ground_truth
    dataset = COCO.from_arrays(
        _image_dicts(annotations),
        _category_dicts(annotations),
        annotations.image_indices(ground_truth.image_ids) + 1,
        annotations.category_indices(ground_truth.category_ids) + 1,
        ground_truth.boxes,
        area=ground_truth.areas,
        iscrowd=ground_truth.crowds,
    )
    detections = np.column_stack(
        [
            annotations.image_indices(predictions.image_ids) + 1,
            predictions.boxes,
            predictions.scores,
            annotations.category_indices(predictions.category_ids) + 1,
        ]
    )
    return _accumulate(COCOeval(dataset, dataset.load_res(detections), "bbox"))


def by_pycocotools(
    annotations: Annotations, predictions: Predictions
) -> tuple[np.ndarray, np.ndarray]:
    """COCOeval's arrays by pycocotools, without its printing."""
    from pycocotools.coco import COCO  # noqa: PLC0415
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    ground_truth = annotations.ground_truth
    gt_columns = {
        "id": np.where(ground_truth.ids == 0, 0, np.arange(len(ground_truth)) + 1),
        "image_id": annotations.image_indices(ground_truth.image_ids) + 1,
        "category_id": annotations.category_indices(ground_truth.category_ids) + 1,
        "bbox": ground_truth.boxes,
        "area": ground_truth.areas,
        "iscrowd": ground_truth.crowds,
    }
    detection_columns = {  # loadRes would add the same, but cannot load nothing
        "id": np.arange(len(predictions)) + 1,
        "image_id": annotations.image_indices(predictions.image_ids) + 1,
        "category_id": annotations.category_indices(predictions.category_ids) + 1,
        "bbox": predictions.boxes,
        "score": predictions.scores,
        "area": predictions.boxes[:, 2] * predictions.boxes[:, 3],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        datasets = COCO(), COCO()
        for dataset, columns in zip(datasets, (gt_columns, detection_columns), strict=True):
            dataset.dataset = {
                "images": _image_dicts(annotations),
                "categories": _category_dicts(annotations),
                "annotations": _annotation_dicts(columns),
            }
            dataset.createIndex()
        return _accumulate(COCOeval(*datasets, "bbox"))


def _accumulate(evaluation: Any) -> tuple[np.ndarray, np.ndarray]:
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]


def _image_dicts(annotations: Annotations) -> list[dict[str, Any]]:
    return [
        {"id": i, "height": image.size[0], "width": image.size[1]}
        for i, image in enumerate(annotations.images, 1)
    ]


def _category_dicts(annotations: Annotations) -> list[dict[str, Any]]:
    return [
        {"id": i, "name": category.name} for i, category in enumerate(annotations.categories, 1)
    ]


def _annotation_dicts(columns: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


EVALUATORS = {"hotcoco": by_hotcoco, "pycocotools": by_pycocotools}
IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
ALL, SMALL, MEDIUM, LARGE = range(4)  # areas
AT_1, AT_10, AT_100 = range(3)  # detections per image and class


@dataclass(frozen=True)
class Metrics:
    """The numbers of one run; -1 where there is no ground truth, as in pycocotools."""

    stats: tuple[float, ...]  # the twelve of schema.STATS
    precision: np.ndarray  # [IoUs, RECALLS, categories, areas, limits on detections]
    recall: np.ndarray  # [IoUs, categories, areas, limits on detections]
    evaluator: str  # that was used
    notes: tuple[str, ...] = ()  # what a reader of the numbers must know


def evaluate(
    annotations: Annotations, predictions: Predictions, evaluator: str = "hotcoco"
) -> Metrics:
    """Evaluate predictions with COCO's metrics; every image of the annotations counts.

    evaluator: "hotcoco" or "pycocotools". Raises PicoDetError for NaN or Inf.
    """
    check_finite(predictions)
    notes = []
    if np.any(annotations.ground_truth.ids == 0):
        # hotcoco lacks this bug; the official number is pycocotools'
        evaluator = "pycocotools"
        notes.append(
            "a ground-truth box has id 0: COCO's official evaluation always counts it as a false "
            "negative, and so does this one; ids from 1 on avoid that"
        )
    precision, recall = EVALUATORS[evaluator](annotations, predictions)
    return Metrics(_stats(precision, recall), precision, recall, evaluator, tuple(notes))


def class_results(
    metrics: Metrics, annotations: Annotations, predictions: Predictions
) -> tuple[ClassResult, ...]:
    """The results of each category, in the order of the annotations."""
    count = len(annotations.categories)
    counted = annotations.ground_truth.category_ids[~annotations.ground_truth.crowds]
    num_gt = np.bincount(annotations.category_indices(counted), minlength=count)
    category_indices = annotations.category_indices(predictions.category_ids)
    detections = np.bincount(category_indices, minlength=count)
    precision = metrics.precision[:, :, :, ALL, AT_100]
    recall = metrics.recall[:, :, ALL, AT_100]
    return tuple(
        ClassResult(
            name=category.name,
            ap=_mean(precision[:, :, k], float("nan")),
            ap50=_mean(precision[_iou_index(0.5), :, k], float("nan")),
            ap75=_mean(precision[_iou_index(0.75), :, k], float("nan")),
            ar=_mean(recall[:, k], float("nan")),
            num_gt=int(num_gt[k]),
            detections=int(detections[k]),
        )
        for k, category in enumerate(annotations.categories)
    )


def curves(metrics: Metrics, ious: Sequence[float] = (0.5, 0.75, 0.9)) -> Curves:
    """Precision over recall, mean over the classes with ground truth; zero if there are none."""
    precision = metrics.precision[:, :, :, ALL, AT_100]
    has_gt = (precision > -1).all(axis=(0, 1))
    chosen = precision[[_iou_index(iou) for iou in ious]][:, :, has_gt]
    mean = chosen.mean(axis=2) if has_gt.any() else np.zeros(chosen.shape[:2])
    return Curves(tuple(ious), mean)


def _stats(precision: np.ndarray, recall: np.ndarray) -> tuple[float, ...]:
    at_100 = precision[..., AT_100]
    return (
        _mean(at_100[..., ALL]),
        _mean(at_100[_iou_index(0.5), ..., ALL]),
        _mean(at_100[_iou_index(0.75), ..., ALL]),
        *(_mean(at_100[..., area]) for area in (SMALL, MEDIUM, LARGE)),
        *(_mean(recall[..., ALL, limit]) for limit in (AT_1, AT_10, AT_100)),
        *(_mean(recall[..., area, AT_100]) for area in (SMALL, MEDIUM, LARGE)),
    )


def _mean(values: np.ndarray, default: float = -1.0) -> float:
    valid = values[values > -1]
    return float(np.mean(valid)) if len(valid) else default


def _iou_index(iou: float) -> int:
    return int(np.argmin(abs(IOUS - iou)))
