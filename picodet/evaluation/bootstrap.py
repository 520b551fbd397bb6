"""How much of a difference in AP is the choice of pictures: paired bootstrap over pictures.

Pictures are drawn with replacement, as many as there are, and one that was drawn twice counts
twice, detections and true boxes. Both runs are evaluated on the same draws; the interval is where
the middle 95 % of their differences lie.

AP changes only at detections that find a box, a few per cent of all. So all draws are evaluated at
those only: as many ranks of a class as it has such detections, times the draws.
"""

from collections.abc import Sequence

import numpy as np

from picodet.evaluation.matching import Matching
from picodet.evaluation.metrics import IOUS, RECALLS
from picodet.evaluation.report import Interval

PERCENTILES = (2.5, 97.5)
NUMBERS_AT_A_TIME = 1 << 22  # of one array; 32 MB, more only if one class has more detections


def paired_intervals(
    base: Matching, others: Sequence[Matching], resamples: int = 1000, seed: int = 0
) -> tuple[Interval, ...]:
    """AP of each other run minus that of the base, on the `pictures` of one and the same dataset.

    NaN where the dataset has no box to find.
    """
    pictures = base.picture_count
    if any(other.picture_count != pictures for other in others):
        raise ValueError("paired runs are over the same pictures")
    draws = _draws(pictures, resamples, seed)
    once = np.ones((pictures, 1), np.int64)
    base_ap, base_draws = average_precisions(base, once)[0], average_precisions(base, draws)
    intervals = []
    for other in others:
        differences = average_precisions(other, draws) - base_draws
        differences = differences[~np.isnan(differences)]
        low, high = np.percentile(differences, PERCENTILES) if len(differences) else (np.nan,) * 2
        difference = average_precisions(other, once)[0] - base_ap
        intervals.append(Interval(float(difference), float(low), float(high)))
    return tuple(intervals)


def average_precisions(matching: Matching, multiplicities: np.ndarray) -> np.ndarray:
    """Times that each picture counts [P, B] -> AP [B], NaN where no box is to be found.

    Copies of one detection have consecutive ranks, also among equal scores.
    """
    parts = [
        slice(start, start + step)
        for step in [_draws_at_a_time(matching)]
        for start in range(0, multiplicities.shape[1], step)
    ]
    return np.concatenate([_average_precisions(matching, multiplicities[:, p]) for p in parts])


def _average_precisions(matching: Matching, multiplicities: np.ndarray) -> np.ndarray:
    total = np.zeros(multiplicities.shape[1])
    classes = np.zeros(multiplicities.shape[1])
    for category in np.unique(matching.truth_categories[matching.counted]):
        truths = matching.counted & (matching.truth_categories == category)
        to_find = multiplicities[matching.truth_pictures[truths]].sum(axis=0)
        first, last = np.searchsorted(matching.categories, [category, category + 1])
        weights = multiplicities[matching.pictures[first:last]]
        ranks = np.cumsum(weights, axis=0)
        for found, wrong in zip(
            matching.found[:, first:last], matching.wrong[:, first:last], strict=True
        ):
            total += _class_precision(weights, ranks, found, wrong, to_find)
        classes += to_find > 0
    with np.errstate(invalid="ignore"):
        return total / (classes * len(IOUS))


def _class_precision(
    weights: np.ndarray,
    ranks: np.ndarray,
    found: np.ndarray,
    wrong: np.ndarray,
    to_find: np.ndarray,
) -> np.ndarray:
    """Mean precision over RECALLS of one class at one IoU -> [B].

    weights [D, B], ranks [D, B] their sums from the first, found and wrong [D], to_find [B].
    """
    hits = np.flatnonzero(found)
    if not len(hits):
        return np.zeros(weights.shape[1])
    found_so_far = np.cumsum(weights[hits], axis=0)
    so_far = ranks[hits]
    ignored = np.flatnonzero(~(found | wrong))
    if len(ignored):
        before = np.cumsum(weights[ignored], axis=0, dtype=so_far.dtype)
        before = np.vstack([np.zeros_like(before[:1]), before])
        so_far = so_far - before[np.searchsorted(ignored, hits)]
    precision = found_so_far / (so_far + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]  # at this recall or a higher one
    recall = found_so_far / np.maximum(to_find, 1)
    reached = np.searchsorted(RECALLS, recall, side="right")  # how many of the recalls
    newly = np.diff(reached, axis=0, prepend=0)
    return (newly * best).sum(axis=0) / len(RECALLS) * (to_find > 0)


def _draws(pictures: int, count: int, seed: int) -> np.ndarray:
    """How often each picture was drawn [P, B]."""
    drawn = np.random.default_rng(seed).integers(pictures, size=(count, pictures))
    drawn += np.arange(count)[:, None] * pictures
    return np.bincount(drawn.ravel(), minlength=count * pictures).reshape(count, pictures).T.copy()


def _draws_at_a_time(matching: Matching) -> int:
    most = np.bincount(matching.categories, minlength=1).max()
    return max(1, NUMBERS_AT_A_TIME // max(1, int(most)))
