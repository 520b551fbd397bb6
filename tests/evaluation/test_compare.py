import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_datasets import datasets, make_annotations, make_predictions

from picodet.data.coco import read_annotations
from picodet.evaluation import compare
from picodet.evaluation.compare import compare_predictions
from picodet.evaluation.detections import Predictions, read_predictions

SQUARE, NEAR, AWAY = (0, 0, 40, 40), (1, 0, 40, 42), (100, 100, 40, 40)
MADE = make_annotations([(0, 0, SQUARE, 1600, 0), (1, 0, SQUARE, 1600, 0)])
EMPTY = make_annotations([])


def test_by_hand():
    a = make_predictions([(0, 0, SQUARE, 0.9), (0, 0, AWAY, 0.5), (1, 0, SQUARE, 0.6)])
    b = make_predictions([(0, 0, AWAY, 0.5), (1, 1, SQUARE, 0.6), (0, 0, NEAR, 0.7)])
    comparison = compare_predictions(MADE, a, b)
    assert (comparison.detections_a, comparison.detections_b) == (3, 3)
    assert (comparison.matched, comparison.same, comparison.ok) == (2, 1, False)
    assert comparison.missing.tolist() == [2]  # of another class in B
    assert comparison.extra.tolist() == [1]
    assert comparison.score.max == pytest.approx(0.2)
    assert comparison.score.mean == pytest.approx(0.1)
    assert comparison.score.p99 == pytest.approx(0.198)
    assert comparison.box.max == 2  # the bottom side
    (pair,) = comparison.worst
    assert (pair.image_id, pair.file, pair.category) == (3, "0.jpg", "a")
    assert (pair.row_a, pair.row_b) == (0, 2)
    assert (pair.scores, pair.boxes) == ((0.9, 0.7), (SQUARE, NEAR))
    assert comparison.stats_a[0] > comparison.stats_b[0]
    assert comparison.interval.difference == pytest.approx(
        comparison.stats_b[0] - comparison.stats_a[0], abs=1e-12
    )


def test_the_most_alike_are_paired_first():
    """Both of A overlap both of B enough; the equal ones find each other, the rest the rest."""
    a = make_predictions([(0, 0, (0, 0, 40, 40), 0.5), (0, 0, (0, 0, 44, 40), 0.5)])
    b = make_predictions([(0, 0, (0, 0, 44, 40), 0.5), (0, 0, (0, 0, 56, 40), 0.5)])
    left, right = compare._match_pairs(MADE, a, b)
    assert list(zip(left, right, strict=True)) == [(0, 1), (1, 0)]


def test_a_detection_has_one_partner_at_most():
    a = make_predictions([(0, 0, SQUARE, 0.5)])
    b = make_predictions([(0, 0, SQUARE, 0.4), (0, 0, SQUARE, 0.5), (0, 0, SQUARE, 0.6)])
    comparison = compare_predictions(MADE, a, b)
    assert (comparison.matched, comparison.same) == (1, 1)
    assert comparison.extra.tolist() == [2, 0]


@pytest.mark.slow
@given(datasets(), st.randoms(use_true_random=False))
def test_order_and_rounding_hide_nothing(dataset, random):
    made, a = dataset
    order = random.sample(range(len(a)), len(a))
    noise = np.array([random.uniform(-1, 1) for _ in range(5 * len(a))]).reshape(-1, 5)
    b = Predictions(
        a.image_ids[order],
        a.category_ids[order],
        a.boxes[order] + noise[:, :4] * 1e-4,
        a.scores[order] + noise[:, 4] * 1e-6,
    )
    comparison = compare_predictions(made, a, b)
    assert comparison.ok
    assert comparison.worst == ()
    assert comparison.score.max <= 1e-6 + 1e-12
    assert comparison.box.max <= 2e-4 + 1e-9


@pytest.mark.slow
@given(datasets(), datasets())
def test_pairs_are_those_of_the_plain_algorithm(one, other):
    """Go through all pairs from the most alike, take those of which both are free."""
    a, b = one[1], other[1]
    left, right = compare._candidate_pairs(EMPTY, a, b)
    free_a, free_b, expected = set(range(len(a))), set(range(len(b))), []
    for row_a, row_b in zip(left.tolist(), right.tolist(), strict=True):
        if row_a in free_a and row_b in free_b:
            free_a.remove(row_a)
            free_b.remove(row_b)
            expected.append((row_a, row_b))
    paired = compare._match_pairs(EMPTY, a, b)
    assert list(zip(*map(np.ndarray.tolist, paired), strict=True)) == sorted(expected)


def test_nothing_on_one_side_or_both():
    nothing, one = make_predictions([]), make_predictions([(0, 0, SQUARE, 0.5)])
    both = compare_predictions(MADE, nothing, nothing)
    assert both.ok
    assert both.score.max == both.box.max == 0
    less = compare_predictions(MADE, one, nothing)
    assert (less.ok, less.missing.tolist(), less.extra.tolist()) == (False, [0], [])
    assert compare_predictions(MADE, nothing, one).extra.tolist() == [0]


@pytest.mark.slow
def test_two_runs_on_real_images(shared):
    dataset = read_annotations(shared / "coco" / "instances_val400.json")
    linear, cubic = (
        read_predictions(shared / "coco" / f"ppdet_detections_interp{interp}.json.gz")
        for interp in (1, 2)
    )
    comparison = compare_predictions(dataset, cubic, linear)
    assert comparison.matched == 35_792
    assert comparison.matched + len(comparison.missing) == 39_888
    assert comparison.matched + len(comparison.extra) == 39_903
    assert comparison.interval.low < 0 < comparison.interval.high
