import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from made_datasets import datasets, make_annotations, make_predictions
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from picodet.data.coco import read_annotations
from picodet.errors import PicoDetError
from picodet.evaluation.detections import read_predictions
from picodet.evaluation.metrics import class_results, curves, evaluate

PPDET = {  # tools/eval.py of ppdet on the 400 images, S-416
    1: (
        *(0.32225, 0.47090, 0.34296, 0.12448, 0.34621, 0.50815),
        *(0.28539, 0.45491, 0.47747, 0.18722, 0.51276, 0.72626),
    ),
    2: (
        *(0.32225, 0.47022, 0.34106, 0.12124, 0.34698, 0.51306),
        *(0.28725, 0.45284, 0.47496, 0.18421, 0.50842, 0.72247),
    ),
}
SQUARE = (0, 0, 40, 40)
TWO_BOXES = make_annotations([(0, 0, SQUARE, 1600, 0), (1, 0, SQUARE, 1600, 0)])


def assert_same(one, other):
    assert one.stats == other.stats
    assert np.array_equal(one.precision, other.precision)
    assert np.array_equal(one.recall, other.recall)


@pytest.mark.slow
@given(datasets())
def test_both_evaluators_give_the_same_bits(dataset):
    assert_same(evaluate(*dataset, "hotcoco"), evaluate(*dataset, "pycocotools"))


@pytest.mark.slow
@given(datasets())
def test_the_means_are_pycocotools_own(dataset):
    made, found = dataset
    columns = zip(made.ground_truth.image_ids, made.ground_truth.category_ids, strict=True)
    content = {
        "images": [{"id": image.id} for image in made.images],
        "categories": [{"id": category.id} for category in made.categories],
        "annotations": [
            {
                **{"id": i + 1, "image_id": image, "category_id": category},
                **{"bbox": made.ground_truth.boxes[i].tolist(), "area": made.ground_truth.areas[i]},
                "iscrowd": int(made.ground_truth.crowds[i]),
            }
            for i, (image, category) in enumerate(columns)
        ],
    }
    rows = [
        {"image_id": image, "category_id": category, "bbox": box, "score": score}
        for image, category, box, score in zip(
            found.image_ids.tolist(),
            found.category_ids.tolist(),
            found.boxes.tolist(),
            found.scores.tolist(),
            strict=True,
        )
    ]
    dataset = COCO()
    dataset.dataset = content
    dataset.createIndex()
    if rows:  # pycocotools cannot load none
        official = COCOeval(dataset, dataset.loadRes(rows), "bbox")
        official.evaluate()
        official.accumulate()
        official.summarize()
        assert evaluate(made, found).stats == tuple(official.stats)


def test_by_hand():
    """A box found with the second best score, then a box of IoU 0.8; another class has none."""
    found = make_predictions(
        [(1, 0, (0, 100, 40, 40), 0.9), (0, 0, SQUARE, 0.8), (1, 0, (0, 0, 40, 32), 0.7)]
    )
    metrics = evaluate(TWO_BOXES, found)
    # precision is 0, 1/2, 2/3 at recall 0, 1/2, 1: 2/3 at all 101 recalls; from IoU 0.85 on it
    # is 1/2 at the 51 recalls up to 1/2
    half = 51 * 0.5 / 101
    assert metrics.stats[:3] == pytest.approx((0.7 * 2 / 3 + 0.3 * half, 2 / 3, 2 / 3))
    assert metrics.stats[3:6] == (-1, metrics.stats[0], -1)  # 1,600 pixels are medium
    assert metrics.stats[6:9] == pytest.approx((0.5, 0.85, 0.85))  # one of image 1 is wrong
    first, second, _ = class_results(metrics, TWO_BOXES, found)
    assert (first.name, first.num_gt, first.detections) == ("a", 2, 3)
    assert (first.ap, first.ap50, first.ap75, first.ar) == (*metrics.stats[:3], metrics.stats[8])
    assert math.isnan(second.ap)
    assert (second.num_gt, second.detections) == (0, 0)
    drawn = curves(metrics, (0.5, 0.9))
    assert drawn.precision[0] == pytest.approx(np.full(101, 2 / 3))
    assert drawn.precision[1] == pytest.approx(np.repeat([0.5, 0], [51, 50]))


@pytest.mark.parametrize("evaluator", ["hotcoco", "pycocotools"])
def test_nothing_detected_is_zero_and_nothing_to_find_is_minus_one(evaluator, capfd):
    nothing = make_predictions([])
    stats = evaluate(TWO_BOXES, nothing, evaluator).stats
    assert stats == (0, 0, 0, -1, 0, -1, 0, 0, 0, -1, 0, -1)
    empty = evaluate(make_annotations([]), make_predictions([(0, 0, SQUARE, 0.5)]), evaluator)
    assert empty.stats == (-1,) * 12
    assert not curves(empty).precision.any()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("evaluator", ["hotcoco", "pycocotools"])
def test_a_box_with_the_id_0_is_never_found_as_in_pycocotools(evaluator):
    zero = replace(TWO_BOXES, ground_truth=replace(TWO_BOXES.ground_truth, ids=np.array([0, 1])))
    found = make_predictions([(0, 0, SQUARE, 0.8), (1, 0, SQUARE, 0.7)])
    metrics = evaluate(zero, found, evaluator)
    assert metrics.stats[1] == pytest.approx(51 * 0.5 / 101)
    assert "id 0" in metrics.notes[0]
    assert metrics.evaluator == "pycocotools"
    assert not evaluate(TWO_BOXES, found, evaluator).notes


@pytest.mark.parametrize("evaluator", ["hotcoco", "pycocotools"])
def test_ids_may_be_anything(evaluator):
    """Beyond 2^53 two of them are one float; hotcoco takes none below 0."""
    found = make_predictions([(0, 0, SQUARE, 0.8), (1, 0, (0, 0, 40, 32), 0.7)])
    expected = evaluate(TWO_BOXES, found, evaluator).stats
    first, second, *rest = TWO_BOXES.images
    odd = {3: 2**60, 13: 2**60 + 1}
    moved = replace(
        TWO_BOXES,
        images=(*rest, replace(first, id=odd[3]), replace(second, id=odd[13])),
        ground_truth=replace(
            TWO_BOXES.ground_truth,
            ids=np.array([-5, 2**62]),
            image_ids=np.array(list(odd.values())),
            category_ids=TWO_BOXES.ground_truth.category_ids - 100,
        ),
        categories=tuple(replace(each, id=each.id - 100) for each in TWO_BOXES.categories),
    )
    found = replace(
        found,
        image_ids=np.array([odd[each] for each in found.image_ids.tolist()]),
        category_ids=found.category_ids - 100,
    )
    assert evaluate(moved, found, evaluator).stats == expected


@pytest.mark.parametrize("evaluator", ["hotcoco", "pycocotools"])
def test_only_some_images(evaluator):
    found = make_predictions([(0, 0, SQUARE, 0.8)])
    assert evaluate(TWO_BOXES, found, evaluator).stats[1] == pytest.approx(51 / 101)
    assert evaluate(TWO_BOXES.select_images([3]), found, evaluator).stats[1] == pytest.approx(1)
    with pytest.raises(PicoDetError, match=r"image_id not among .*made.json: 3$"):
        evaluate(TWO_BOXES.select_images([13]), found, evaluator)
    rest = evaluate(TWO_BOXES.select_images([13]), found.select_images([13]), evaluator)
    assert rest.stats[1] == 0


def test_what_no_evaluation_can_rank_is_an_error():
    found = make_predictions([(0, 0, SQUARE, 0.8), (1, 0, SQUARE, math.nan)])
    with pytest.raises(PicoDetError, match="1 of 2 detections are NaN or Inf, first image 13"):
        evaluate(TWO_BOXES, found)
    strange = replace(found, scores=np.ones(2), category_ids=np.array([2, 99]))
    with pytest.raises(PicoDetError, match=r"category_id not among the categories .*: 99$"):
        evaluate(TWO_BOXES, strange)


@pytest.mark.slow
@pytest.mark.parametrize("interp", [1, 2])
def test_ppdets_numbers_of_the_400_images(shared, interp):
    dataset = read_annotations(shared / "coco" / "instances_val400.json")
    found = read_predictions(shared / "coco" / f"ppdet_detections_interp{interp}.json.gz")
    metrics = evaluate(dataset, found)
    assert np.round(metrics.stats, 5).tolist() == list(PPDET[interp])
    if interp == 2:  # three seconds
        assert_same(metrics, evaluate(dataset, found, "pycocotools"))
