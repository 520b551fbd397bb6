"""Matches detections with ground-truth boxes by COCO's rules, over all areas.

The rules (pycocotools 2.0, cocoeval.py): of each image and class the best 100 detections count;
in the order of their scores each takes the free ground-truth box of greatest IoU, of equal ones the
last; ignored boxes come after all others and, if crowds, stay free. A detection matched to an
ignored box is ignored, too. Each IoU threshold has a matching of its own.

pycocotools does that one detection at a time. Here all images and classes are processed together:
first the best detection of each, then the second.
"""

from dataclasses import dataclass

import numpy as np

from picodet.data.coco import Annotations
from picodet.evaluation.detections import Predictions, check_finite
from picodet.evaluation.metrics import IOUS

MAX_DETECTIONS = 100  # detections of an image and class
MAX_AREA = 1e5**2  # pixels; COCO's "all" ends there
CHUNK_SIZE = 5_000  # detections whose IoUs are in memory together


@dataclass(frozen=True)
class Matching:
    """Detections sorted by class, then as COCO ranks them: best score first, equal by image.

    Images and categories are indices into those of the annotations. A detection that is neither
    true nor false positive is ignored; T are the IoU thresholds, metrics.IOUS.
    """

    num_images: int
    rows: np.ndarray  # [D] of the predictions
    images: np.ndarray  # [D]
    categories: np.ndarray  # [D], ascending
    scores: np.ndarray  # [D]
    matched_gt: np.ndarray  # [T, D] row of the ground truth; -1 for none
    true_positive: np.ndarray  # [T, D] bool: matches a box that counts
    false_positive: np.ndarray  # [T, D] bool: matches nothing
    gt_images: np.ndarray  # [G]
    gt_categories: np.ndarray  # [G]
    gt_counted: np.ndarray  # [G] bool: not ignored, no crowd


@dataclass(frozen=True)
class _Pairs:
    """Overlapping detections and ground-truth boxes of one image and class, by detection.

    Those of one detection are consecutive, its preferred box first.
    """

    detections: np.ndarray  # [N]
    gt: np.ndarray  # [N]
    ious: np.ndarray  # [N]


def match(annotations: Annotations, predictions: Predictions) -> Matching:
    """Match all detections with the ground truth. Raises PicoDetError for NaN or Inf."""
    check_finite(predictions)
    ground_truth = annotations.ground_truth
    gt_images = annotations.image_indices(ground_truth.image_ids)
    gt_categories = annotations.category_indices(ground_truth.category_ids)
    gt_groups = gt_categories * len(annotations.images) + gt_images
    gt_counted = ~ground_truth.crowds & (ground_truth.areas <= MAX_AREA)

    images = annotations.image_indices(predictions.image_ids)
    categories = annotations.category_indices(predictions.category_ids)
    groups = categories * len(annotations.images) + images
    rows = np.lexsort((-predictions.scores, groups))
    rows = rows[_rank_in_run(groups[rows]) < MAX_DETECTIONS]

    pairs = _pairs(predictions.boxes[rows], groups[rows], annotations, gt_groups, gt_counted)
    matched_gt = _greedy(pairs, groups[rows], ground_truth.crowds)

    order = np.lexsort((-predictions.scores[rows], categories[rows]))
    rows, matched_gt = rows[order], matched_gt[:, order]
    areas = predictions.boxes[rows, 2] * predictions.boxes[rows, 3]
    # pycocotools marks "no match" with 0, so that a box with id 0 is never matched
    is_matched = (matched_gt >= 0) & _at(ground_truth.ids != 0, matched_gt)
    ignored = (matched_gt >= 0) & ~_at(gt_counted, matched_gt)
    ignored |= ~is_matched & ((areas < 0) | (areas > MAX_AREA))
    return Matching(
        len(annotations.images),
        rows,
        images[rows],
        categories[rows],
        predictions.scores[rows],
        matched_gt,
        true_positive=is_matched & ~ignored,
        false_positive=~is_matched & ~ignored,
        gt_images=gt_images,
        gt_categories=gt_categories,
        gt_counted=gt_counted,
    )


def box_ious(a: np.ndarray, b: np.ndarray, crowds: np.ndarray | bool = False) -> np.ndarray:
    """IoU [N] of a [N, 4] and b [N, 4] xywh, row by row, rounded as in pycocotools' C code.

    If b is a crowd, the share of a that it covers.
    """
    width = np.minimum(a[:, 2] + a[:, 0], b[:, 2] + b[:, 0]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3] + a[:, 1], b[:, 3] + b[:, 1]) - np.maximum(a[:, 1], b[:, 1])
    shared = width * height
    area = a[:, 2] * a[:, 3]
    union = np.where(crowds, area, area + b[:, 2] * b[:, 3] - shared)
    ious = np.zeros(len(a))
    np.divide(shared, union, out=ious, where=(width > 0) & (height > 0))
    return ious


def pairs_of_groups(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of all pairs of equal values in a [N] and b [M]; b is ascending."""
    first = np.searchsorted(b, a, side="left")
    counts = np.searchsorted(b, a, side="right") - first
    left = np.repeat(np.arange(len(a)), counts)
    within = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
    return left, np.repeat(first, counts) + within


def _pairs(
    boxes: np.ndarray,
    groups: np.ndarray,
    annotations: Annotations,
    gt_groups: np.ndarray,
    gt_counted: np.ndarray,
) -> _Pairs:
    ground_truth = annotations.ground_truth
    by_group = np.lexsort((~gt_counted, gt_groups))  # as COCO sorts them: what counts comes first
    parts = []
    for start in range(0, len(boxes), CHUNK_SIZE):
        part = slice(start, start + CHUNK_SIZE)
        left, right = pairs_of_groups(groups[part], gt_groups[by_group])
        left, right = left + start, by_group[right]
        ious = box_ious(boxes[left], ground_truth.boxes[right], ground_truth.crowds[right])
        near = ious >= IOUS[0]
        left, right, ious = left[near], right[near], ious[near]
        preference = np.lexsort((-right, -ious, ~gt_counted[right], left))
        parts.append((left[preference], right[preference], ious[preference]))
    if not parts:
        return _Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))
    return _Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _greedy(pairs: _Pairs, groups: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    """Matched ground-truth rows [T, D] of detections with groups [D]; -1 for none."""
    matched_gt = np.full((len(IOUS), len(groups)), -1, np.int32)
    taken = np.zeros((len(IOUS), len(crowds)), bool)
    near = pairs.ious >= np.minimum(IOUS, 1 - 1e-10)[:, None]
    detections, first = np.unique(pairs.detections, return_index=True)
    last = np.append(first[1:], len(pairs.detections))
    turn = _rank_in_run(groups[detections])
    for now in range(turn.max(initial=-1) + 1):
        those = np.flatnonzero(turn == now)
        counts = last[those] - first[those]
        starts = np.cumsum(counts) - counts
        pair = np.arange(counts.sum()) + np.repeat(first[those] - starts, counts)
        free = near[:, pair] & ~taken[:, pairs.gt[pair]]
        position = np.where(free, np.arange(len(pair)), len(pair))
        best = np.minimum.reduceat(position, starts, axis=1)
        threshold, who = np.nonzero(best < len(pair))
        chosen = pairs.gt[pair[best[threshold, who]]]
        matched_gt[threshold, detections[those[who]]] = chosen
        taken[threshold, chosen] = ~crowds[chosen]
    return matched_gt


def _rank_in_run(values: np.ndarray) -> np.ndarray:
    """How many equal values come before, [N], for values [N] with equal ones consecutive."""
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    counts = np.diff(starts, append=len(values))
    return np.arange(len(values)) - np.repeat(starts, counts)


def _at(flags: np.ndarray, matched_gt: np.ndarray) -> np.ndarray:
    """The flags of the matched boxes; False where there is none."""
    return np.append(flags, False)[matched_gt]
