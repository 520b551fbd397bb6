from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_datasets import NUM_IMAGES, datasets, distinct_scores, make_annotations, make_predictions

from picodet.data.coco import GroundTruthBoxes
from picodet.evaluation import bootstrap
from picodet.evaluation.bootstrap import average_precisions, paired_intervals
from picodet.evaluation.detections import Predictions
from picodet.evaluation.matching import match
from picodet.evaluation.metrics import RECALLS, evaluate

SQUARE = (0, 0, 40, 40)
COPIES = 10  # ids made from one


def repeated(made, found, times):
    """The dataset in which each image stands `times` [P] over, with an id for each copy."""
    ids = [image.id for image in made.images]
    images, ground_truth, detections = [], [], []
    for image, count in zip(made.images, times, strict=True):
        for copy in range(count):
            images.append(replace(image, id=image.id * COPIES + copy))
            ground_truth.append((np.flatnonzero(made.ground_truth.image_ids == image.id), copy))
            detections.append((np.flatnonzero(found.image_ids == image.id), copy))
    assert ids == sorted(ids)
    rows = np.concatenate([rows for rows, _ in ground_truth])
    new = np.concatenate(
        [made.ground_truth.image_ids[rows] * COPIES + copy for rows, copy in ground_truth]
    )
    columns = ("category_ids", "boxes", "areas", "crowds")
    kept = {name: getattr(made.ground_truth, name)[rows] for name in columns}
    resampled = replace(
        made,
        images=tuple(images),
        ground_truth=GroundTruthBoxes(ids=np.arange(len(rows)) + 1, image_ids=new, **kept),
    )
    rows = np.concatenate([rows for rows, _ in detections])
    new = np.concatenate([found.image_ids[rows] * COPIES + copy for rows, copy in detections])
    return resampled, Predictions(
        new, found.category_ids[rows], found.boxes[rows], found.scores[rows]
    )


multiplicities = st.lists(st.integers(0, 3), min_size=NUM_IMAGES, max_size=NUM_IMAGES).filter(any)


@pytest.mark.slow
@given(datasets(), st.lists(multiplicities, min_size=1, max_size=3))
def test_is_the_ap_of_the_dataset_in_which_images_are_repeated(dataset, draws):
    made, found = dataset[0], distinct_scores(dataset[1])
    aps = average_precisions(match(made, found), np.array(draws))
    for times, ap in zip(draws, aps, strict=True):
        expected = evaluate(*repeated(made, found, times)).stats[0]
        assert np.nan_to_num(ap, nan=-1) == pytest.approx(expected, abs=1e-12)


FOUR_IMAGES = make_annotations([(i, 0, SQUARE, 1600, 0) for i in range(4)])
ALL = match(FOUR_IMAGES, make_predictions([(i, 0, SQUARE, 0.5) for i in range(4)]))
ONE_LESS = match(FOUR_IMAGES, make_predictions([(i, 0, SQUARE, 0.5) for i in range(3)]))


def test_of_four_images_one_is_missed():
    """It is drawn 0 to 4 times of 4: AP is the share of recalls up to 1, 3/4, 1/2, 1/4 and 0."""
    (interval,) = paired_intervals(ALL, [ONE_LESS], resamples=4000)
    assert interval.difference == pytest.approx(76 / 101 - 1)
    # drawn three times or more with p = 0.051, four times with p = 0.004
    assert interval.low == pytest.approx(26 / 101 - 1)
    assert interval.high == 0


def test_a_run_differs_from_itself_by_nothing():
    same, other = paired_intervals(ONE_LESS, [ONE_LESS, ALL], resamples=50)
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert paired_intervals(ONE_LESS, [ALL], resamples=50) == (other,)  # the same draws
    assert (
        bootstrap._resample_counts(4, 50, seed=0) != bootstrap._resample_counts(4, 50, seed=1)
    ).any()


def test_many_draws_are_processed_in_chunks(monkeypatch):
    at_once = paired_intervals(ALL, [ONE_LESS], resamples=100)
    monkeypatch.setattr(bootstrap, "CHUNK_SIZE", 4 * 7)
    assert paired_intervals(ALL, [ONE_LESS], resamples=100) == at_once


def test_without_ground_truth_the_difference_is_nan():
    nothing = match(make_annotations([]), make_predictions([(0, 0, SQUARE, 0.5)]))
    (interval,) = paired_intervals(nothing, [nothing], resamples=10)
    assert np.isnan([interval.difference, interval.low, interval.high]).all()


def test_recalls_reached():
    for num_gt in (*range(1, 301), 1275, 10_777, 262_465):  # the last: train2017's persons
        recall = np.arange(num_gt + 1) / num_gt
        expected = np.searchsorted(RECALLS, recall, side="right")
        assert np.array_equal(bootstrap._recalls_reached(recall), expected)


def test_images_are_drawn_evenly_as_many_as_there_are():
    draws = bootstrap._resample_counts(50, 400, seed=0)
    assert draws.shape == (400, 50)
    assert (draws.sum(axis=1) == 50).all()
    assert abs(draws.mean(axis=0) - 1).max() < 0.2
    assert draws.var() == pytest.approx(1, abs=0.1)  # of a true resample; 0.23 without repetition
