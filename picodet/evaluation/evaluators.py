"""hotcoco and pycocotools, asked the same: precision and recall of everything that COCO averages.

Their answers are the same, bit for bit. Pictures, categories and boxes are numbered anew, in the
order of their ids: ids in a file may be anything, hotcoco's may not.
"""

import contextlib
import io
from typing import Any

import numpy as np

from picodet.data.coco import Annotations
from picodet.evaluation.detections import Results


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
