"""Predictions and boxes for the assigners, drawn the same everywhere: products and sums only.

The boxes are of every kind that assigners treat in their own way; see `BOXES`.
"""

from typing import NamedTuple

import numpy as np

SIZE = 192  # pixels, square: the coarsest level has as many cells as ATSS takes of each
CLASSES = 3
STRIDES = (8, 16, 32, 64)

# x1, y1, x2, y2 in pixels, class; picture by picture
BOXES: tuple[tuple[tuple[float, float, float, float, int], ...], ...] = (
    (
        (11.3, 17.9, 75.2, 60.4, 0),
        (50.7, 30.1, 140.6, 131.3, 1),
        (100.4, 90.2, 181.9, 187.1, 2),
        (3.6, 150.8, 40.1, 189.7, 1),
        (120.9, 10.2, 133.7, 33.3, 2),
    ),
    (),  # nothing to be found
    (
        (30.2, 40.7, 110.9, 120.3, 1),
        (30.2, 40.7, 110.9, 120.3, 1),  # the same again
        (30.2, 40.7, 110.9, 120.3, 2),  # the same of another class
        (33.1, 42.2, 112.7, 118.4, 0),  # almost the same
    ),
    (
        (60.6, 61.3, 63.2, 62.9, 0),  # tiny, without the centre of any cell
        (99.1, 5.2, 101.7, 180.4, 2),  # narrow: the centres of a column are beside it
        (0.3, 0.4, 3.1, 2.2, 1),  # in the corner
        (0.0, 0.0, 192.0, 192.0, 2),  # everything
    ),
)


class Drawn(NamedTuple):
    """All lengths in pixels, float64; A counts the cells, level after level, row after row."""

    scores: np.ndarray  # [B, C, A]
    predicted: np.ndarray  # [B, A, 4] xyxy
    points: np.ndarray  # [A, 2] (x, y), the cells' centres
    strides: np.ndarray  # [A, 1]
    boxes: np.ndarray  # [B, G, 4] xyxy, padded with 0
    classes: np.ndarray  # [B, G] int64, padded with 0
    valid: np.ndarray  # [B, G] bool


def drawn() -> Drawn:
    """Half of the cells know a box well, the others anything."""
    rng = np.random.RandomState(6)  # its numbers never change
    grids = [np.indices((SIZE // s, SIZE // s))[::-1].reshape(2, -1).T for s in STRIDES]
    strides = np.repeat(STRIDES, [len(grid) for grid in grids]).astype(float)[:, None]
    points = (np.concatenate(grids) + 0.5) * strides
    most = max(map(len, BOXES))
    boxes = np.zeros((len(BOXES), most, 4))
    classes = np.zeros((len(BOXES), most), np.int64)
    valid = np.zeros((len(BOXES), most), bool)
    for i, rows in enumerate(BOXES):
        for j, (*corners, label) in enumerate(rows):
            boxes[i, j], classes[i, j], valid[i, j] = corners, label, True
    shape = (len(BOXES), len(points))
    scores = rng.uniform(0, 1, (shape[0], CLASSES, shape[1])) * rng.uniform(0, 1, (shape[0], 1, 1))
    scores = 0.001 + 0.9 * scores * scores
    sides = rng.uniform(0.01, 6.9, (*shape, 4)) * strides
    own = rng.randint(0, most, shape)
    wanted = np.take_along_axis(boxes, own[..., None], axis=1)
    known = np.concatenate([points - wanted[..., :2], wanted[..., 2:] - points], axis=2)
    known = known * rng.uniform(0.7, 1.3, known.shape)
    knows = rng.uniform(0, 1, (*shape, 1)) < 0.5
    sides = np.where(knows, np.clip(known, 0.01 * strides, 6.9 * strides), sides)
    predicted = np.concatenate([points - sides[..., :2], points + sides[..., 2:]], axis=2)
    return Drawn(scores, predicted, points, strides, boxes, classes, valid)
