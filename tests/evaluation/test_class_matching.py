from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet.config import Preprocessing
from picodet.data.coco import Annotations, Category, GroundTruthBoxes, ImageInfo
from picodet.errors import EvaluationError
from picodet.evaluation.class_matching import match_classes, select_matched
from picodet.inference.backend import ModelSpec
from picodet.zoo.class_names import COCO

SPEC = ModelSpec("x", "heads", (64, 64), Preprocessing(), ("cat", "dog", "cow"), 3)
CATEGORIES = [Category(90, "cat"), Category(2, "dog"), Category(17, "cow")]


@given(st.permutations(CATEGORIES))
def test_by_name_in_whatever_order_they_stand(categories):
    assert match_classes(SPEC, categories, "name") == ((90, 2, 17), ())


@given(st.permutations(CATEGORIES))
def test_by_order_is_the_order_of_the_ids(categories):
    """ppdet's rule; it has to be requested, and is noted."""
    ids, notes = match_classes(SPEC, categories, "order")
    assert ids == (2, 17, 90)
    assert notes == ("classes are matched by their order, not by name",)


def test_by_order_names_are_of_no_account():
    strange = [Category(5, "x"), Category(1, "x"), Category(3, "y")]
    assert match_classes(SPEC, strange, "order")[0] == (1, 3, 5)


@pytest.mark.parametrize("number", [3, None])
def test_without_names_they_go_by_order(number):
    spec = replace(SPEC, classes=None, num_classes=number)
    ids, notes = match_classes(spec, CATEGORIES, "name")
    assert ids == (2, 17, 90)
    assert notes == ("the model does not name its classes: they are matched by their order",)


def test_another_number_by_order_is_an_error_with_both_lists():
    with pytest.raises(EvaluationError) as caught:
        match_classes(SPEC, CATEGORIES[:2], "order")
    assert str(caught.value) == (
        "x has 3 classes (cat, dog, cow); the annotations have 2 categories (cat, dog)"
    )
    unnamed = replace(SPEC, classes=None, num_classes=4)
    for by in ("name", "order"):
        with pytest.raises(EvaluationError, match=r"4 classes \(without names\); .* 3 categories"):
            match_classes(unnamed, CATEGORIES, by)


def test_classes_without_a_category_are_noted():
    categories = [Category(1, "cat"), Category(2, "horse"), Category(3, "sheep")]
    match = match_classes(SPEC, categories, "name")
    assert match.category_ids == (1, None, None)
    assert match.notes == (
        "2 of x's 3 classes are no category of the annotations, and their detections do not count: "
        "dog, cow",
    )


def test_long_lists_are_cut():
    spec = replace(SPEC, classes=COCO, num_classes=80)
    (note,) = match_classes(spec, [Category(5, "person")], "name").notes
    assert note.endswith("bicycle, car, motorcycle, airplane, bus and 74 more")


def test_no_name_in_common_is_an_error():
    with pytest.raises(EvaluationError, match=r"none of them is a category .* horse\. --match"):
        match_classes(SPEC, [Category(2, "horse")], "name")


def test_categories_without_a_class_do_not_count():
    """Roboflow's: an unused category beside those that are used."""
    boxes = np.array([[0, 0, 8, 8], [1, 1, 4, 4]], float)
    ones = np.ones(2, np.int64)
    truth = GroundTruthBoxes(
        np.array([1, 2]), ones, np.array([7, 0]), boxes, boxes[:, 2] ** 2, np.zeros(2, bool)
    )
    categories = (Category(0, "objects"), Category(7, "cat"))
    images = (ImageInfo(1, "a.png", (16, 16)),)
    whole = Annotations(Path("x.json"), images, categories, truth)
    match = match_classes(replace(SPEC, classes=("cat",), num_classes=1), categories, "name")
    kept, left_out = select_matched(whole, match)
    assert kept.categories == (Category(7, "cat"),)
    assert kept.images == images
    assert kept.ground_truth.ids.tolist() == [1]
    assert left_out == (
        "over 1 of 2 categories: the model has no class for objects (1 boxes, which do not count)"
    )
    assert select_matched(kept, match) == (kept, "")


def test_a_name_that_two_have_is_an_error():
    categories = [Category(1, "cat"), Category(2, "cat"), Category(3, "cow")]
    with pytest.raises(EvaluationError, match="two categories of the annotations are called 'cat'"):
        match_classes(SPEC, categories, "name")


def test_cocos_classes_have_gaps_in_their_ids():
    """80 classes with ids of 1 to 90."""
    ids = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    categories = [Category(i, name) for i, name in zip(ids, COCO, strict=True)]
    spec = replace(SPEC, classes=COCO, num_classes=80)
    assert match_classes(spec, categories[::-1], "name")[0] == tuple(ids)
