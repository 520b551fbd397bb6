from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet.evaluation.report.html_images import place_labels
from picodet.evaluation.schema import LabeledBox

SIZE = (100, 200)  # letters 4 pixels high, 2.6 wide
BOX = LabeledBox((20, 30, 80, 60), "cat", 0.5)

_sides = st.tuples(*[st.floats(-20, 220)] * 4)
_boxes = st.lists(
    st.builds(LabeledBox, _sides, st.sampled_from(["cat", "wine glass"]), st.just(0.5))
)


def test_a_label_stands_above_its_box():
    (label,) = place_labels([BOX], SIZE)
    assert (label.text, label.font_size, label.visible) == ("cat 0.50", 4, True)
    assert (label.x, label.y) == pytest.approx((20.8, 28.8))
    assert label.width == pytest.approx(20.8)


def test_ground_truth_has_no_score():
    assert place_labels([LabeledBox(BOX.box, "cat", None)], SIZE)[0].text == "cat"


def test_the_same_box_again_has_its_label_elsewhere_and_at_last_nowhere():
    placed = place_labels([BOX] * 5, SIZE)
    assert [label.y for label in placed[:4]] == pytest.approx([28.8, 34, 58.8, 64])
    assert [label.visible for label in placed] == [True, True, True, True, False]


def test_a_hidden_label_covers_nothing():
    (seen,) = place_labels([BOX], SIZE)
    hidden = replace(seen, visible=False)
    assert seen.overlaps(hidden)
    assert not hidden.overlaps(seen)


def test_a_label_is_moved_into_the_image():
    (label,) = place_labels([LabeledBox((190, 0, 230, 20), "cat", 0.5)], SIZE)
    assert label.x == pytest.approx(200 - 20.8)
    assert label.y == 4


@given(_boxes)
def test_labels_in_sight_do_not_touch_and_are_in_the_image(boxes):
    seen = [label for label in place_labels(boxes, SIZE) if label.visible]
    for one, other in combinations(seen, 2):
        apart = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert apart or abs(one.y - other.y) >= 4
    for label in seen:
        assert 0 <= label.x <= label.x + label.width <= 200.001
        assert 4 <= label.y <= 100
