"""How much a difference in AP depends on the choice of images: paired bootstrap over images.

Images are sampled with replacement, as many as there are; one that was sampled twice counts
twice, with its detections and ground truth. Both runs are evaluated on the same draws; the
interval holds the middle 95 % of their differences.

AP changes only at true positives, a few percent of all detections. So all draws are evaluated at
those only: for each class an array of draws by true positives.
"""

from collections.abc import Callable, Sequence

import numpy as np

from picodet.evaluation.matching import Matching
from picodet.evaluation.metrics import IOUS, RECALLS
from picodet.evaluation.schema import Interval

PERCENTILES = (2.5, 97.5)
CHUNK_SIZE = 1 << 19  # elements of one array: few enough for the cache


def paired_intervals(
    base: Matching,
    others: Sequence[Matching],
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Interval, ...]:
    """AP of each other run minus that of the base, both over the images of one dataset.

    NaN if the dataset has no ground truth. Raises ValueError if the numbers of images differ.
    """
    num_images = base.num_images
    if any(other.num_images != num_images for other in others):
        raise ValueError("paired runs need the same images")
    draws = _resample_counts(num_images, resamples, seed)
    unweighted = np.ones((1, num_images), np.int32)
    base_ap, base_draws = average_precisions(base, unweighted)[0], average_precisions(base, draws)
    intervals = []
    for done, other in enumerate(others):
        progress(done, len(others))
        differences = average_precisions(other, draws) - base_draws
        differences = differences[~np.isnan(differences)]
        low, high = np.percentile(differences, PERCENTILES) if len(differences) else (np.nan,) * 2
        difference = average_precisions(other, unweighted)[0] - base_ap
        intervals.append(Interval(float(difference), float(low), float(high)))
    return tuple(intervals)


def average_precisions(matching: Matching, multiplicities: np.ndarray) -> np.ndarray:
    """AP [B] if each image counts as often as multiplicities [B, P]; NaN without ground truth.

    Copies of one detection have consecutive ranks, also among equal scores.
    """
    multiplicities = multiplicities.astype(np.int32)
    total = np.zeros(len(multiplicities))
    classes = np.zeros(len(multiplicities))
    for category in np.unique(matching.gt_categories[matching.gt_counted]):
        detections = slice(*np.searchsorted(matching.categories, [category, category + 1]))
        gt = matching.gt_counted & (matching.gt_categories == category)
        step = max(1, CHUNK_SIZE // max(1, detections.stop - detections.start))
        for start in range(0, len(multiplicities), step):
            draws = slice(start, start + step)
            weights = multiplicities[draws, matching.images[detections]]
            num_gt = multiplicities[draws, matching.gt_images[gt]].sum(axis=1)
            ranks = np.cumsum(weights, axis=1, dtype=np.int32)
            for true_positive, false_positive in zip(
                matching.true_positive, matching.false_positive, strict=True
            ):
                total[draws] += _class_precision(
                    weights, ranks, true_positive[detections], false_positive[detections], num_gt
                )
            classes[draws] += num_gt > 0
    with np.errstate(invalid="ignore"):
        return total / (classes * len(IOUS))


def _class_precision(
    weights: np.ndarray,
    ranks: np.ndarray,
    true_positive: np.ndarray,
    false_positive: np.ndarray,
    num_gt: np.ndarray,
) -> np.ndarray:
    """Mean precision over RECALLS of one class at one IoU -> [B].

    weights [B, D], ranks [B, D] their cumulative sums, true_positive and false_positive [D] bool,
    num_gt [B].
    """
    hits = np.flatnonzero(true_positive)
    if not len(hits):
        return np.zeros(len(weights))
    tp_cumsum = np.cumsum(weights[:, hits], axis=1, dtype=np.int32)
    num_detections = ranks[:, hits]
    ignored = np.flatnonzero(~(true_positive | false_positive))
    if len(ignored):
        before = np.cumsum(weights[:, ignored], axis=1, dtype=np.int32)
        before = np.pad(before, ((0, 0), (1, 0)))
        num_detections -= before[:, np.searchsorted(ignored, hits)]
    precision = tp_cumsum / (num_detections + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # here or at more recall
    reached = _recalls_reached(tp_cumsum / np.maximum(num_gt, 1)[:, None])
    newly = np.diff(reached, axis=1, prepend=0)
    return (newly * best).sum(axis=1) / len(RECALLS)


def _recalls_reached(recall: np.ndarray) -> np.ndarray:
    """How many of RECALLS are not greater: np.searchsorted(RECALLS, recall, "right"), but faster.

    A recall is a quotient of counts: closer than 1e-9 to a hundredth it is that hundredth, and
    whether its rounding reaches that of RECALLS is seen by comparing the two.
    """
    nearest = (recall * (len(RECALLS) - 1) + 1e-7).astype(np.intp)
    return nearest + (RECALLS[nearest] <= recall)


def _resample_counts(num_images: int, count: int, seed: int) -> np.ndarray:
    """How often each image was sampled [B, P]."""
    indices = np.random.default_rng(seed).integers(num_images, size=(count, num_images))
    indices += np.arange(count)[:, None] * num_images
    return np.bincount(indices.ravel(), minlength=count * num_images).reshape(count, num_images)
