import numpy as np
import pytest
from hypothesis import given
from made_datasets import annotations, datasets, results
from pycocotools.mask import iou

from picodet.data.coco import read_annotations
from picodet.evaluation.bootstrap import average_precisions
from picodet.evaluation.detections import read_results
from picodet.evaluation.matching import box_ious, match, pairs_of_groups
from picodet.evaluation.metrics import evaluate

SQUARE, OVER = (0, 0, 40, 40), (0, 0, 40, 32)  # IoU 0.8
AT_50, AT_85 = 0, 7


def assert_same_as_metrics(dataset, found):
    """AP and, class by class, recall at every IoU follow from the matching."""
    matching, metrics = match(dataset, found), evaluate(dataset, found)
    once = np.ones((1, len(dataset.pictures)), int)
    ap = np.nan_to_num(average_precisions(matching, once)[0], nan=-1)
    assert ap == pytest.approx(metrics.stats[0], abs=1e-12)
    for k in range(len(dataset.categories)):
        to_find = np.count_nonzero(matching.counted & (matching.truth_categories == k))
        if to_find:
            recall = matching.found[:, matching.categories == k].sum(axis=1) / to_find
            assert np.array_equal(recall, metrics.recall[:, k, 0, 2])


@given(datasets())
def test_precision_and_recall_follow_from_it(dataset):
    assert_same_as_metrics(*dataset)


def test_precision_and_recall_follow_from_it_on_real_pictures(shared):
    dataset = read_annotations(shared / "coco" / "instances_val400.json")
    found = read_results(shared / "coco" / "ppdet_detections_interp2.json.gz")
    assert_same_as_metrics(dataset, found)


@given(datasets())
def test_detections_and_true_boxes_agree_on_each_other(dataset):
    made, found = dataset
    matching = match(made, found)
    for partners, hit in zip(matching.partners, matching.found, strict=True):
        assert len(set(partners[hit])) == hit.sum()  # each true box once
        assert (matching.truth_pictures[partners[hit]] == matching.pictures[hit]).all()
        assert (matching.truth_categories[partners[hit]] == matching.categories[hit]).all()
        assert matching.counted[partners[hit]].all()
    assert not (matching.found & matching.wrong).any()
    assert np.array_equal(found.scores[matching.rows], matching.scores)
    assert (np.diff(matching.categories) >= 0).all()


def test_by_hand():
    """The better score chooses first; a crowd takes any number, which are neither."""
    made = annotations([(0, 0, SQUARE, 1600, 0), (0, 1, SQUARE, 1600, 1), (1, 0, SQUARE, 1600, 0)])
    rows = [(0, 0, SQUARE, 0.5), (0, 0, OVER, 0.6), (0, 1, OVER, 0.4), (0, 1, SQUARE, 0.3)]
    matching = match(made, results(rows))
    assert matching.rows.tolist() == [1, 0, 2, 3]
    assert matching.partners[AT_50].tolist() == [0, -1, 1, 1]
    assert matching.found[AT_50].tolist() == [True, False, False, False]
    assert matching.wrong[AT_50].tolist() == [False, True, False, False]
    assert matching.partners[AT_85].tolist() == [-1, 0, 1, 1]  # of a crowd, 100 % are covered
    assert matching.counted.tolist() == [True, False, True]


def test_of_equal_overlaps_the_last_true_box_is_taken():
    made = annotations([(0, 0, SQUARE, 1600, 0), (0, 0, SQUARE, 1600, 0)])
    matching = match(made, results([(0, 0, SQUARE, 0.5), (0, 0, SQUARE, 0.4)]))
    assert matching.partners[AT_50].tolist() == [1, 0]


def test_the_best_100_of_a_picture_and_class_count():
    made = annotations([(0, 0, SQUARE, 1600, 0)])
    elsewhere = [(0, 0, (90, 90, 5, 5), 0.5)] * 100
    assert match(made, results([*elsewhere, (0, 0, SQUARE, 0.5)])).found.sum() == 0
    assert match(made, results([(0, 0, SQUARE, 0.5), *elsewhere])).found.sum() == 10
    assert len(match(made, results([(0, 1, SQUARE, 0.5), *elsewhere])).rows) == 101


def test_a_box_turned_inside_out_is_ignored_as_it_has_no_area_that_counts():
    made = annotations([(0, 0, SQUARE, 1600, 0)])
    matching = match(made, results([(0, 0, (90, 90, 5, -5), 0.9), (0, 0, SQUARE, 0.5)]))
    assert not matching.wrong.any()
    assert_same_as_metrics(made, results([(0, 0, (90, 90, 5, -5), 0.9), (0, 0, SQUARE, 0.5)]))


def test_a_true_box_with_the_id_0_is_never_found_as_in_pycocotools():
    made = annotations([(0, 0, SQUARE, 1600, 0), (1, 0, SQUARE, 1600, 0)])
    made.truths.ids[0] = 0
    found = results([(0, 0, SQUARE, 0.9), (1, 0, SQUARE, 0.5), (0, 0, OVER, 0.4)])
    assert match(made, found).wrong[AT_50].tolist() == [True, False, True]
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
