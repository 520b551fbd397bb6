"""What became of every detection and of every true box, by COCO's rules, over all areas.

The rules (pycocotools 2.0, cocoeval.py): of each picture and class the best 100 detections count;
they choose in the order of their scores, each the free true box of greatest IoU, of equal ones the
last; true boxes that are ignored (crowds) come after all others and, if crowds, stay free. A
detection on an ignored box is ignored, too. Each IoU threshold is a matching of its own.

pycocotools goes through all of that one detection at a time. Here all pictures and classes take
their turns together: first the best detection of each, then the second.
"""

from dataclasses import dataclass

import numpy as np

from picodet.data.coco import Annotations
from picodet.evaluation.detections import Results, check_finite
from picodet.evaluation.metrics import IOUS

LIMIT = 100  # detections of a picture and class
GREATEST_AREA = 1e5**2  # pixels; COCO's "all" ends there
AT_A_TIME = 5_000  # detections whose IoUs are in memory together


@dataclass(frozen=True)
class Matching:
    """Detections sorted by class, then as COCO ranks them: best score first, equal by picture.

    Pictures and categories are indices into those of the annotations. A detection that is neither
    found nor wrong is ignored; T are the IoU thresholds, metrics.IOUS.
    """

    picture_count: int
    rows: np.ndarray  # [D] of the results
    pictures: np.ndarray  # [D]
    categories: np.ndarray  # [D], ascending
    scores: np.ndarray  # [D]
    partners: np.ndarray  # [T, D] row of the truths; -1 where there is none
    found: np.ndarray  # [T, D] bool: has found a box that counts
    wrong: np.ndarray  # [T, D] bool: has found nothing
    truth_pictures: np.ndarray  # [G]
    truth_categories: np.ndarray  # [G]
    counted: np.ndarray  # [G] bool: is to be found, no crowd


@dataclass(frozen=True)
class _Pairs:
    """Detections and true boxes of one picture and class that overlap, in the order of turns.

    Those of one detection stand together, the one that it would like best first.
    """

    detections: np.ndarray  # [N]
    truths: np.ndarray  # [N]
    ious: np.ndarray  # [N]


def match(annotations: Annotations, results: Results) -> Matching:
    """Compare all detections with all true boxes."""
    check_finite(results)
    truths = annotations.truths
    truth_pictures = annotations.picture_indices(truths.picture_ids)
    truth_categories = annotations.category_indices(truths.category_ids)
    truth_groups = truth_categories * len(annotations.pictures) + truth_pictures
    counted = ~truths.crowds & (truths.areas <= GREATEST_AREA)

    pictures = annotations.picture_indices(results.picture_ids)
    categories = annotations.category_indices(results.category_ids)
    groups = categories * len(annotations.pictures) + pictures
    rows = np.lexsort((-results.scores, groups))
    rows = rows[_rank_in_run(groups[rows]) < LIMIT]

    pairs = _pairs(results.boxes[rows], groups[rows], annotations, truth_groups, counted)
    partners = _greedy(pairs, groups[rows], truths.crowds)

    order = np.lexsort((-results.scores[rows], categories[rows]))
    rows, partners = rows[order], partners[:, order]
    areas = results.boxes[rows, 2] * results.boxes[rows, 3]
    # a partner whose id is 0 is none in pycocotools, which marks "none" with 0
    has_partner = (partners >= 0) & _at(truths.ids != 0, partners)
    ignored = (partners >= 0) & ~_at(counted, partners)
    ignored |= ~has_partner & ((areas < 0) | (areas > GREATEST_AREA))
    return Matching(
        len(annotations.pictures),
        rows,
        pictures[rows],
        categories[rows],
        results.scores[rows],
        partners,
        found=has_partner & ~ignored,
        wrong=~has_partner & ~ignored,
        truth_pictures=truth_pictures,
        truth_categories=truth_categories,
        counted=counted,
    )


def box_ious(a: np.ndarray, b: np.ndarray, crowds: np.ndarray | bool = False) -> np.ndarray:
    """a [N, 4], b [N, 4] xywh -> [N]: of each pair in a row, rounded as in pycocotools' C code.

    Where b is a crowd, the share of a that it covers.
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
    """Groups [N], groups [M], b ascending -> indices into both of all pairs in one group."""
    first = np.searchsorted(b, a, side="left")
    counts = np.searchsorted(b, a, side="right") - first
    left = np.repeat(np.arange(len(a)), counts)
    within = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
    return left, np.repeat(first, counts) + within


def _pairs(
    boxes: np.ndarray,
    groups: np.ndarray,
    annotations: Annotations,
    truth_groups: np.ndarray,
    counted: np.ndarray,
) -> _Pairs:
    truths = annotations.truths
    by_group = np.lexsort((~counted, truth_groups))  # as COCO sorts them: what counts comes first
    parts = []
    for start in range(0, len(boxes), AT_A_TIME):
        part = slice(start, start + AT_A_TIME)
        left, right = pairs_of_groups(groups[part], truth_groups[by_group])
        left, right = left + start, by_group[right]
        ious = box_ious(boxes[left], truths.boxes[right], truths.crowds[right])
        near = ious >= IOUS[0]
        left, right, ious = left[near], right[near], ious[near]
        liking = np.lexsort((-right, -ious, ~counted[right], left))
        parts.append((left[liking], right[liking], ious[liking]))
    if not parts:
        return _Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))
    return _Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _greedy(pairs: _Pairs, groups: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    """Partners [T, D] of the detections whose groups [D] are given."""
    partners = np.full((len(IOUS), len(groups)), -1, np.int32)
    taken = np.zeros((len(IOUS), len(crowds)), bool)
    near = pairs.ious >= np.minimum(IOUS, 1 - 1e-10)[:, None]
    chooser, first = np.unique(pairs.detections, return_index=True)
    last = np.append(first[1:], len(pairs.detections))
    turn = _rank_in_run(groups[chooser])
    for now in range(turn.max(initial=-1) + 1):
        those = np.flatnonzero(turn == now)
        counts = last[those] - first[those]
        starts = np.cumsum(counts) - counts
        pair = np.arange(counts.sum()) + np.repeat(first[those] - starts, counts)
        free = near[:, pair] & ~taken[:, pairs.truths[pair]]
        place = np.where(free, np.arange(len(pair)), len(pair))
        best = np.minimum.reduceat(place, starts, axis=1)
        threshold, who = np.nonzero(best < len(pair))
        chosen = pairs.truths[pair[best[threshold, who]]]
        partners[threshold, chooser[those[who]]] = chosen
        taken[threshold, chosen] = ~crowds[chosen]
    return partners


def _rank_in_run(values: np.ndarray) -> np.ndarray:
    """[N], equal ones together -> [N]: how many equal ones come before."""
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    counts = np.diff(starts, append=len(values))
    return np.arange(len(values)) - np.repeat(starts, counts)


def _at(flags: np.ndarray, partners: np.ndarray) -> np.ndarray:
    """Of the partners, where there are any; otherwise anything."""
    return np.append(flags, False)[partners]
