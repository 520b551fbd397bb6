"""Compares two predictions files of the same images, detection by detection.

Detections of A and B are paired within one image and class, each at most once, those that are
most alike first: least (1 - IoU) + difference of scores, among pairs with an IoU of 0.5 or more.
For this IoU boxes are made one pixel wider and higher, so that empty boxes have an area. In files
that are equal but for rounding and order, every detection is thus paired with itself.
"""

from dataclasses import dataclass

import numpy as np

from picodet.data.coco import Annotations
from picodet.evaluation.bootstrap import paired_intervals
from picodet.evaluation.detections import Predictions
from picodet.evaluation.matching import CHUNK_SIZE, box_ious, match, pairs_of_groups
from picodet.evaluation.metrics import evaluate
from picodet.evaluation.schema import Interval

MIN_IOU = 0.5
SCORE_TOLERANCE = 1e-5  # up to here two detections count as the same
BOX_TOLERANCE = 0.02  # pixels
MAX_WORST = 10  # pairs that are reported


@dataclass(frozen=True)
class DifferenceStats:
    """Statistics of absolute differences; zero if nothing is paired."""

    mean: float
    p99: float  # 99 % are not greater
    max: float


@dataclass(frozen=True)
class MatchedPair:
    """One detection in both files."""

    image_id: int
    file: str
    category: str
    row_a: int  # counted from 0
    row_b: int
    scores: tuple[float, float]  # in A, in B
    boxes: tuple[tuple[float, ...], tuple[float, ...]]  # x, y, width, height in pixels
    score_difference: float
    box_difference: float  # greatest of the four sides, pixels


@dataclass(frozen=True)
class PredictionComparison:
    """The comparison of predictions B with predictions A."""

    stats_a: tuple[float, ...]  # the twelve of schema.STATS
    stats_b: tuple[float, ...]
    interval: Interval  # AP of B minus AP of A
    detections_a: int
    detections_b: int
    matched: int
    same: int  # of the matched: within SCORE_TOLERANCE and BOX_TOLERANCE
    missing: np.ndarray  # rows of A that B does not have, best score first
    extra: np.ndarray  # rows of B that A does not have, likewise
    score: DifferenceStats  # of the matched
    box: DifferenceStats  # of the matched, greatest of the four sides, pixels
    worst: tuple[MatchedPair, ...]  # of the matched that are not the same, the farthest first

    @property
    def ok(self) -> bool:
        """Every detection is in both files and the same."""
        return self.same == self.detections_a == self.detections_b


def compare_predictions(
    annotations: Annotations, a: Predictions, b: Predictions, evaluator: str = "hotcoco"
) -> PredictionComparison:
    """Compare the detections pair by pair, and both APs with a bootstrap interval."""
    rows_a, rows_b = _match_pairs(annotations, a, b)
    score_differences = abs(a.scores[rows_a] - b.scores[rows_b])
    box_differences = abs(_corners(a.boxes[rows_a]) - _corners(b.boxes[rows_b])).max(
        axis=1, initial=0
    )
    distance = np.maximum(score_differences / SCORE_TOLERANCE, box_differences / BOX_TOLERANCE)
    farthest = np.argsort(-distance, kind="stable")[:MAX_WORST]
    (interval,) = paired_intervals(match(annotations, a), [match(annotations, b)])
    return PredictionComparison(
        stats_a=evaluate(annotations, a, evaluator).stats,
        stats_b=evaluate(annotations, b, evaluator).stats,
        interval=interval,
        detections_a=len(a),
        detections_b=len(b),
        matched=len(rows_a),
        same=int(np.count_nonzero(distance <= 1)),
        missing=_unmatched(a, rows_a),
        extra=_unmatched(b, rows_b),
        score=_spread(score_differences),
        box=_spread(box_differences),
        worst=tuple(
            _pair(
                annotations,
                (a, b),
                (int(rows_a[i]), int(rows_b[i])),
                (score_differences[i], box_differences[i]),
            )
            for i in farthest
            if distance[i] > 1
        ),
    )


def _match_pairs(
    annotations: Annotations, a: Predictions, b: Predictions
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of A and the rows of B that they are paired with, in the order of A."""
    left, right = _candidate_pairs(annotations, a, b)
    rows_a, rows_b = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    while len(left):
        # a pair that is the best one of both its sides comes before all others of either
        rank = np.arange(len(left))
        best_a, best_b = np.empty(len(a), np.intp), np.empty(len(b), np.intp)
        best_a[left[::-1]], best_b[right[::-1]] = rank[::-1], rank[::-1]  # the last write stays
        mutual = (best_a[left] == rank) & (best_b[right] == rank)
        rows_a.append(left[mutual])
        rows_b.append(right[mutual])
        free_a, free_b = np.ones(len(a), bool), np.ones(len(b), bool)
        free_a[left[mutual]] = free_b[right[mutual]] = False
        free = free_a[left] & free_b[right]
        left, right = left[free], right[free]
    all_a, all_b = np.concatenate(rows_a), np.concatenate(rows_b)
    order = np.argsort(all_a)
    return all_a[order], all_b[order]


def _candidate_pairs(
    annotations: Annotations, a: Predictions, b: Predictions
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of A and of B that may be paired, the most alike first."""
    groups_a, groups_b = _groups(annotations, a), _groups(annotations, b)
    by_group = np.argsort(groups_b, kind="stable")
    boxes_a, boxes_b = _widen(a.boxes), _widen(b.boxes)
    parts = []
    for start in range(0, len(a), CHUNK_SIZE):
        left, right = pairs_of_groups(groups_a[start : start + CHUNK_SIZE], groups_b[by_group])
        left, right = left + start, by_group[right]
        ious = box_ious(boxes_a[left], boxes_b[right])
        near = ious >= MIN_IOU
        left, right = left[near], right[near]
        parts.append((left, right, 1 - ious[near] + abs(a.scores[left] - b.scores[right])))
    if not parts:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    lefts, rights, costs = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(costs, kind="stable")
    return lefts[order], rights[order]


def _groups(annotations: Annotations, predictions: Predictions) -> np.ndarray:
    """One number per image and class [N]."""
    categories = annotations.category_indices(predictions.category_ids)
    images = annotations.image_indices(predictions.image_ids)
    return categories * len(annotations.images) + images


def _widen(boxes: np.ndarray) -> np.ndarray:
    """Xywh [N, 4] -> [N, 4], one pixel wider and higher; negative sizes are turned positive."""
    start = boxes[:, :2] + np.minimum(boxes[:, 2:], 0)
    return np.hstack([start, abs(boxes[:, 2:]) + 1])


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Xywh [N, 4] -> xyxy [N, 4]."""
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def _unmatched(predictions: Predictions, rows: np.ndarray) -> np.ndarray:
    others = np.setdiff1d(np.arange(len(predictions)), rows)
    return others[np.argsort(-predictions.scores[others], kind="stable")]


def _spread(differences: np.ndarray) -> DifferenceStats:
    if not len(differences):
        return DifferenceStats(0, 0, 0)
    p99 = np.percentile(differences, 99)
    return DifferenceStats(float(differences.mean()), float(p99), float(differences.max()))


def _pair(
    annotations: Annotations,
    files: tuple[Predictions, Predictions],
    rows: tuple[int, int],
    differences: tuple[float, float],
) -> MatchedPair:
    a, b = files
    image_id = a.image_ids[rows[0]]
    image = annotations.images[annotations.image_indices(image_id[None])[0]]
    category_ids = a.category_ids[rows[0], None]
    return MatchedPair(
        image_id=image.id,
        file=image.file,
        category=annotations.categories[annotations.category_indices(category_ids)[0]].name,
        row_a=rows[0],
        row_b=rows[1],
        scores=(float(a.scores[rows[0]]), float(b.scores[rows[1]])),
        boxes=(tuple(a.boxes[rows[0]].tolist()), tuple(b.boxes[rows[1]].tolist())),
        score_difference=float(differences[0]),
        box_difference=float(differences[1]),
    )
