from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet.config import Preprocessing
from picodet.data.coco import Category
from picodet.errors import EvaluationError
from picodet.evaluation.class_matching import match_classes
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


@pytest.mark.parametrize("by", ["name", "order"])
def test_another_number_is_an_error_with_both_lists(by):
    with pytest.raises(EvaluationError) as caught:
        match_classes(SPEC, CATEGORIES[:2], by)
    assert str(caught.value) == (
        "x has 3 classes (cat, dog, cow); the annotations have 2 categories (cat, dog)"
    )
    with pytest.raises(EvaluationError, match=r"has 4 classes \(without names\); .* 3 categories"):
        match_classes(replace(SPEC, classes=None, num_classes=4), CATEGORIES, by)


def test_other_names_are_an_error_with_what_is_left_over():
    categories = [Category(1, "cat"), Category(2, "horse"), Category(3, "sheep")]
    with pytest.raises(EvaluationError) as caught:
        match_classes(SPEC, categories, "name")
    assert "no category called dog, cow; without a class of x are horse, sheep." in str(
        caught.value
    )
    assert "--match-classes order" in str(caught.value)


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
