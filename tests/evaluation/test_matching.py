import numpy as np
import pytest
from hypothesis import given
from made_datasets import datasets, make_annotations, make_predictions
from pycocotools.mask import iou

from picodet.data.coco import read_annotations
from picodet.evaluation.bootstrap import average_precisions
from picodet.evaluation.detections import read_predictions
from picodet.evaluation.matching import box_ious, match, pairs_of_groups
from picodet.evaluation.metrics import evaluate

SQUARE, OVER = (0, 0, 40, 40), (0, 0, 40, 32)  # IoU 0.8
AT_50, AT_85 = 0, 7


def assert_same_as_metrics(dataset, found):
    """AP and, class by class, recall at every IoU follow from the matching."""
    matching, metrics = match(dataset, found), evaluate(dataset, found)
    once = np.ones((1, len(dataset.images)), int)
    ap = np.nan_to_num(average_precisions(matching, once)[0], nan=-1)
    assert ap == pytest.approx(metrics.stats[0], abs=1e-12)
    for k in range(len(dataset.categories)):
        num_gt = np.count_nonzero(matching.gt_counted & (matching.gt_categories == k))
        if num_gt:
            recall = matching.true_positive[:, matching.categories == k].sum(axis=1) / num_gt
            assert np.array_equal(recall, metrics.recall[:, k, 0, 2])


@pytest.mark.slow
@given(datasets())
def test_precision_and_recall_follow_from_it(dataset):
    assert_same_as_metrics(*dataset)


def test_precision_and_recall_follow_from_it_on_real_images(shared):
    dataset = read_annotations(shared / "coco" / "instances_val400.json")
    found = read_predictions(shared / "coco" / "ppdet_detections_interp2.json.gz")
    assert_same_as_metrics(dataset, found)


@pytest.mark.slow
@given(datasets())
def test_detections_and_ground_truth_agree_on_each_other(dataset):
    made, found = dataset
    matching = match(made, found)
    for matched_gt, hit in zip(matching.matched_gt, matching.true_positive, strict=True):
        assert len(set(matched_gt[hit])) == hit.sum()  # each ground-truth box once
        assert (matching.gt_images[matched_gt[hit]] == matching.images[hit]).all()
        assert (matching.gt_categories[matched_gt[hit]] == matching.categories[hit]).all()
        assert matching.gt_counted[matched_gt[hit]].all()
    assert not (matching.true_positive & matching.false_positive).any()
    assert np.array_equal(found.scores[matching.rows], matching.scores)
    assert (np.diff(matching.categories) >= 0).all()


def test_by_hand():
    """The better score chooses first; a crowd takes any number, which are neither."""
    made = make_annotations(
        [(0, 0, SQUARE, 1600, 0), (0, 1, SQUARE, 1600, 1), (1, 0, SQUARE, 1600, 0)]
    )
    rows = [(0, 0, SQUARE, 0.5), (0, 0, OVER, 0.6), (0, 1, OVER, 0.4), (0, 1, SQUARE, 0.3)]
    matching = match(made, make_predictions(rows))
    assert matching.rows.tolist() == [1, 0, 2, 3]
    assert matching.matched_gt[AT_50].tolist() == [0, -1, 1, 1]
    assert matching.true_positive[AT_50].tolist() == [True, False, False, False]
    assert matching.false_positive[AT_50].tolist() == [False, True, False, False]
    assert matching.matched_gt[AT_85].tolist() == [-1, 0, 1, 1]  # of a crowd, 100 % are covered
    assert matching.gt_counted.tolist() == [True, False, True]


def test_of_equal_overlaps_the_last_ground_truth_is_taken():
    made = make_annotations([(0, 0, SQUARE, 1600, 0), (0, 0, SQUARE, 1600, 0)])
    matching = match(made, make_predictions([(0, 0, SQUARE, 0.5), (0, 0, SQUARE, 0.4)]))
    assert matching.matched_gt[AT_50].tolist() == [1, 0]


def test_the_best_100_of_an_image_and_class_count():
    made = make_annotations([(0, 0, SQUARE, 1600, 0)])
    elsewhere = [(0, 0, (90, 90, 5, 5), 0.5)] * 100
    assert match(made, make_predictions([*elsewhere, (0, 0, SQUARE, 0.5)])).true_positive.sum() == 0
    assert (
        match(made, make_predictions([(0, 0, SQUARE, 0.5), *elsewhere])).true_positive.sum() == 10
    )
    assert len(match(made, make_predictions([(0, 1, SQUARE, 0.5), *elsewhere])).rows) == 101


def test_a_box_turned_inside_out_is_ignored_as_it_has_no_area_that_counts():
    made = make_annotations([(0, 0, SQUARE, 1600, 0)])
    matching = match(made, make_predictions([(0, 0, (90, 90, 5, -5), 0.9), (0, 0, SQUARE, 0.5)]))
    assert not matching.false_positive.any()
    assert_same_as_metrics(
        made, make_predictions([(0, 0, (90, 90, 5, -5), 0.9), (0, 0, SQUARE, 0.5)])
    )


def test_ground_truth_with_the_id_0_is_never_found_as_in_pycocotools():
    made = make_annotations([(0, 0, SQUARE, 1600, 0), (1, 0, SQUARE, 1600, 0)])
    made.ground_truth.ids[0] = 0
    found = make_predictions([(0, 0, SQUARE, 0.9), (1, 0, SQUARE, 0.5), (0, 0, OVER, 0.4)])
    assert match(made, found).false_positive[AT_50].tolist() == [True, False, True]
    assert_same_as_metrics(made, found)


def test_overlaps_are_rounded_as_in_pycocotools():
    random = np.random.default_rng(0)
    a, b = random.uniform(0, 9, (2, 500, 4))
    crowds = random.random(500) < 0.3
    expected = [
        iou(a[i : i + 1], b[i : i + 1], [int(crowd)])[0, 0] for i, crowd in enumerate(crowds)
    ]
    assert np.array_equal(box_ious(a, b, crowds), expected)


def test_pairs_of_one_group():
    left, right = pairs_of_groups(np.array([5, 1, 4]), np.array([1, 3, 5, 5]))
    assert left.tolist() == [0, 0, 1]
    assert right.tolist() == [2, 3, 0]
