"""Non-maximum suppression identical to Paddle's `multiclass_nms3`, with ties and thresholds.

The rules (paddle/phi/kernels/cpu/multiclass_nms3_kernel.cc; observed with paddlepaddle 3.3.1):
a score counts if it is greater than the threshold; of each class the best `top_k` count, equal
scores in the order of their boxes; a box goes if its IoU with a better kept box of its class is
greater than the threshold; of all classes the best `keep_top_k` stay, sorted by class.

Paddle works class by class and discards most of the result at the end. Here all classes are
processed together, best score first, a chunk at a time, until `keep_top_k` boxes have been kept:
later boxes could neither be kept nor suppress those.
"""

import numpy as np

CHUNK = 256  # candidates compared with each other at a time


def multiclass_nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    score_threshold: float = 0.025,
    iou_threshold: float = 0.6,
    top_k: int = 1000,
    keep_top_k: int = 100,
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [A, 4] xyxy, scores [C, A] -> classes [N] and indices [N] of the kept boxes.

    Sorted by class, within a class by score. The defaults are those of ppdet's PicoDet configs.
    """
    classes, indices = _candidates(scores, score_threshold, top_k)
    candidates = boxes[indices]
    kept = np.empty(0, np.intp)
    for start in range(0, len(candidates), CHUNK):
        if len(kept) >= keep_top_k:
            break
        chunk = np.arange(start, min(start + CHUNK, len(candidates)))
        suppressed = _suppresses(candidates, classes, kept, chunk, iou_threshold)
        chunk = chunk[~suppressed.any(axis=0)]
        suppressed = _suppresses(candidates, classes, chunk, chunk, iou_threshold)
        kept = np.append(kept, chunk[_survivors(suppressed)])
    kept = kept[:keep_top_k]
    kept = kept[np.argsort(classes[kept], kind="stable")]
    return classes[kept], indices[kept]


def _candidates(scores: np.ndarray, threshold: float, top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes and box indices of the candidates, best first; equal scores by class, then box."""
    classes, indices = np.nonzero(scores > threshold)
    order = np.argsort(-scores[classes, indices], kind="stable")
    classes, indices = classes[order], indices[order]
    counts = np.bincount(classes, minlength=1)
    if counts.max() > top_k:
        by_class = np.argsort(classes, kind="stable")
        first = np.repeat(np.cumsum(counts) - counts, counts)
        among_best = np.empty(len(classes), bool)
        among_best[by_class] = np.arange(len(classes)) - first < top_k
        classes, indices = classes[among_best], indices[among_best]
    return classes, indices


def _suppresses(
    boxes: np.ndarray, classes: np.ndarray, a: np.ndarray, b: np.ndarray, threshold: float
) -> np.ndarray:
    """[len(a), len(b)] bool: whether box a, if kept, suppresses box b.

    An IoU of NaN (two boxes without area at the same place) suppresses, as in Paddle.
    """
    x1, y1, x2, y2 = boxes[a].T[:, :, None]
    u1, v1, u2, v2 = boxes[b].T[:, None, :]
    width = np.minimum(x2, u2) - np.maximum(x1, u1)
    height = np.minimum(y2, v2) - np.maximum(y1, v1)
    overlapping = (x1 <= u2) & (u1 <= x2) & (y1 <= v2) & (v1 <= y2)
    area_a = np.where((x2 < x1) | (y2 < y1), 0, (x2 - x1) * (y2 - y1))
    area_b = np.where((u2 < u1) | (v2 < v1), 0, (u2 - u1) * (v2 - v1))
    shared = width * height
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = shared / (area_a + area_b - shared)
    return ~(iou <= threshold) & overlapping & (classes[a][:, None] == classes[b])


def _survivors(suppressed: np.ndarray) -> np.ndarray:
    """[N] bool: the boxes that remain; suppressed [N, N] is whether i, if kept, suppresses j.

    Whether box j remains depends on better boxes only, so after k rounds the first k are right;
    most chunks take three or four.
    """
    suppressed = np.triu(suppressed, k=1)
    alive: np.ndarray = np.ones(len(suppressed), bool)
    while True:
        after = ~suppressed[alive].any(axis=0)
        if np.array_equal(after, alive):
            return alive
        alive = after
