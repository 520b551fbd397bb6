"""Detections of a whole dataset, and the predictions file in COCO's format that holds them."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from picodet.data.coco import Annotations
from picodet.data.json_columns import JsonColumns, read_json
from picodet.errors import PicoDetError
from picodet.files import atomic_write

ROWS_PER_CHUNK = 10_000  # that are formatted at once while a file is written


@dataclass(frozen=True)
class Predictions:
    """Row i of each array is one detected box; images in any order."""

    image_ids: np.ndarray  # [N] int64
    category_ids: np.ndarray  # [N] int64
    boxes: np.ndarray  # [N, 4] float64, x, y, width, height in pixels of the image
    scores: np.ndarray  # [N] float64

    def __len__(self) -> int:
        return len(self.scores)

    def select_images(self, ids: Collection[int]) -> "Predictions":
        """The detections in these images."""
        rows = np.isin(self.image_ids, sorted(ids))
        return Predictions(
            self.image_ids[rows], self.category_ids[rows], self.boxes[rows], self.scores[rows]
        )


def read_predictions(path: Path) -> Predictions:
    """Read a predictions file in COCO's format, plain or .gz. Raises PicoDetError."""
    rows = JsonColumns(read_json(path), f"{path}: detections")
    return Predictions(
        image_ids=rows.integers("image_id"),
        category_ids=rows.integers("category_id"),
        boxes=rows.boxes(),
        scores=rows.numbers("score"),
    )


def describe_coverage(
    path: Path, predictions: Predictions, annotations: Annotations
) -> tuple[list[str], str]:
    """Notes for the report if a file lacks detections for some images, and a short form of it."""
    image_ids = set(predictions.image_ids.tolist())
    without = [image.file for image in annotations.images if image.id not in image_ids]
    if not without:
        return [], ""
    of = f"{len(annotations.images) - len(without):,} of {len(annotations.images):,} images"
    note = (
        f"{path}: covers {of} of {annotations.path}; the {len(without):,} others, "
        f"{without[0]} first, have no detection and count as images without any"
    )
    return [note], f"which covers {of}"


def predictions_from_rows(rows: np.ndarray) -> Predictions:
    """Predictions from rows [N, 7] float64: image id, category id, score, and the box."""
    image_ids, category_ids = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    return Predictions(image_ids, category_ids, rows[:, 3:].copy(), rows[:, 2].copy())


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write a predictions file in COCO's format, with exact numbers. Replaces an existing file."""
    check_finite(predictions)
    with atomic_write(path) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write("[")
        for start in range(0, len(predictions), ROWS_PER_CHUNK):
            file.write(",\n" if start else "\n")
            file.write(",\n".join(_lines(predictions, slice(start, start + ROWS_PER_CHUNK))))
        file.write("\n]\n")


def check_finite(predictions: Predictions) -> None:
    """Raise PicoDetError where a box or a score is NaN or Inf, which no evaluation can rank."""
    finite = np.isfinite(predictions.boxes).all(axis=1) & np.isfinite(predictions.scores)
    if not finite.all():
        row = int(np.argmin(finite))
        raise PicoDetError(
            f"{np.count_nonzero(~finite)} of {len(predictions)} detections are NaN or Inf, first "
            f"image {predictions.image_ids[row]}, category {predictions.category_ids[row]}: box "
            f"{predictions.boxes[row].tolist()}, score {predictions.scores[row]}. Are the "
            "model's weights finite?"
        )


def _lines(predictions: Predictions, rows: slice) -> list[str]:
    """One per detection; Python writes the shortest text that reads back as the same float64."""
    columns = (
        predictions.image_ids,
        predictions.category_ids,
        predictions.boxes,
        predictions.scores,
    )
    return [
        f'{{"image_id": {image}, "category_id": {category}, "bbox": {box}, "score": {score}}}'
        for image, category, box, score in zip(
            *(column[rows].tolist() for column in columns), strict=True
        )
    ]
