"""Anchor points: the center of each cell of each feature map."""

from functools import lru_cache

import numpy as np

from picodet.config import STRIDES, FeatureMapSize


@lru_cache(maxsize=8)
def make_anchor_points(levels: tuple[FeatureMapSize, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Anchor points [A, 2] (x, y) in units of the stride, and the strides [A, 1]; float32.

    Level after level, row after row. The center of a cell is half a cell from its corner
    (cell_offset 0.5 in ppdet's configs; ppdet/modeling/heads/pico_head.py, `_generate_anchors`).
    """
    per_level = [np.indices(grid)[::-1].reshape(2, -1).T + 0.5 for grid in levels]
    centers = np.concatenate(per_level).astype(np.float32)
    strides = np.repeat(STRIDES, [h * w for h, w in levels]).astype(np.float32)[:, None]
    for shared in (centers, strides):  # the cache shares them: read-only
        shared.setflags(write=False)
    return centers, strides
