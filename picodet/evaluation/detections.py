"""Detections of a whole dataset, in COCO's terms, and the result file that holds them."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from picodet.data.coco import Annotations
from picodet.data.json_columns import Rows, read_json
from picodet.errors import PicoDetError
from picodet.files import atomic_write

ROWS_AT_A_TIME = 10_000  # that are text in memory while a file is written


@dataclass(frozen=True)
class Results:
    """Row i of each array is one detected box; pictures in any order."""

    picture_ids: np.ndarray  # [N] int64
    category_ids: np.ndarray  # [N] int64
    boxes: np.ndarray  # [N, 4] float64, x, y, width, height in pixels of the picture
    scores: np.ndarray  # [N] float64

    def __len__(self) -> int:
        return len(self.scores)

    def of_pictures(self, ids: Collection[int]) -> "Results":
        """What was detected in these pictures."""
        rows = np.isin(self.picture_ids, sorted(ids))
        return Results(
            self.picture_ids[rows], self.category_ids[rows], self.boxes[rows], self.scores[rows]
        )


def read_results(path: Path) -> Results:
    """Of a COCO result file, or of one packed with gzip."""
    rows = Rows(read_json(path), f"{path}: detections")
    return Results(
        picture_ids=rows.integers("image_id"),
        category_ids=rows.integers("category_id"),
        boxes=rows.boxes(),
        scores=rows.numbers("score"),
    )


def coverage(path: Path, results: Results, annotations: Annotations) -> tuple[list[str], str]:
    """What a reader of the numbers has to know where a file has nothing of some pictures, and the
    same in short.
    """
    found = set(results.picture_ids.tolist())
    without = [picture.file for picture in annotations.pictures if picture.id not in found]
    if not without:
        return [], ""
    of = f"{len(annotations.pictures) - len(without):,} of {len(annotations.pictures):,} pictures"
    note = (
        f"{path}: covers {of} of {annotations.path}; the {len(without):,} others, "
        f"{without[0]} first, have no detection and count as if nothing were found in them"
    )
    return [note], f"which covers {of}"


def from_rows(rows: np.ndarray) -> Results:
    """Of rows [N, 7] float64: picture id, category id, score, and the box."""
    picture_ids, category_ids = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    return Results(picture_ids, category_ids, rows[:, 3:].copy(), rows[:, 2].copy())


def write_results(path: Path, results: Results) -> None:
    """In COCO's format, every number as exact as it is; replaces what is there."""
    check_finite(results)
    with atomic_write(path) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write("[")
        for start in range(0, len(results), ROWS_AT_A_TIME):
            file.write(",\n" if start else "\n")
            file.write(",\n".join(_lines(results, slice(start, start + ROWS_AT_A_TIME))))
        file.write("\n]\n")


def check_finite(results: Results) -> None:
    """Raise PicoDetError where a box or a score is no number: no evaluation could rank it."""
    finite = np.isfinite(results.boxes).all(axis=1) & np.isfinite(results.scores)
    if not finite.all():
        row = int(np.argmin(finite))
        raise PicoDetError(
            f"{np.count_nonzero(~finite)} of {len(results)} detections are no numbers, first "
            f"picture {results.picture_ids[row]}, category {results.category_ids[row]}: box "
            f"{results.boxes[row].tolist()}, score {results.scores[row]}. Are the model's weights?"
        )


def _lines(results: Results, rows: slice) -> list[str]:
    """One per detection; Python writes the shortest text that reads back as the same float64."""
    columns = (results.picture_ids, results.category_ids, results.boxes, results.scores)
    return [
        f'{{"image_id": {picture}, "category_id": {category}, "bbox": {box}, "score": {score}}}'
        for picture, category, box, score in zip(
            *(column[rows].tolist() for column in columns), strict=True
        )
    ]
