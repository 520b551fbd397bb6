"""Detections of a whole dataset, in COCO's terms, and the result file that holds them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Results:
    """Row i of each array is one detected box; pictures in any order."""

    picture_ids: np.ndarray  # [N] int64
    category_ids: np.ndarray  # [N] int64
    boxes: np.ndarray  # [N, 4] float64, x, y, width, height in pixels of the picture
    scores: np.ndarray  # [N] float64

    def __len__(self) -> int:
        return len(self.scores)
