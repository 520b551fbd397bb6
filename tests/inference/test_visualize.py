import numpy as np

from picodet.inference.visualize import draw
from picodet.ops.postprocess import Detections


def drawn(boxes, names=None, labels=None):
    """Detections drawn on black; the last box has the best score."""
    names = names or ["cat"] * len(boxes)
    labels = np.zeros(len(boxes), int) if labels is None else np.array(labels)
    found = Detections(np.array(boxes, np.float32), np.linspace(0.5, 1, len(boxes)), labels)
    image = np.zeros((100, 120, 3), np.uint8)
    result = draw(image, found, names)
    assert not image.any()
    return result


def test_the_edges_of_a_box_are_colored_and_its_inside_is_not():
    result = drawn([(20, 30, 80, 90)])
    for x, y in ((20, 60), (80, 60), (50, 90)):
        assert result[y, x].any()
    assert not result[60, 50].any()


def test_the_name_is_above_the_box():
    cat, dog = (drawn([(20, 50, 80, 90)], [name]) for name in ("cat", "dog"))
    assert (cat[:50] != dog[:50]).any()
    assert (cat[52:] == dog[52:]).all()


def test_the_name_is_inside_the_box_at_the_top_of_the_image():
    cat, dog = (drawn([(20, 0, 80, 90)], [name]) for name in ("cat", "dog"))
    assert (cat[1:20, 20:80] != dog[1:20, 20:80]).any()


def test_the_name_does_not_leave_the_image_on_the_right():
    assert drawn([(115, 50, 119, 90)])[40:49, 60:110].any()


def test_classes_have_their_own_colors_and_the_best_box_is_on_top():
    first, second = (drawn([(10, 40, 40, 90)], labels=[label])[70, 10] for label in (0, 1))
    assert (first != second).any()
    both = drawn([(10, 40, 40, 90)] * 2, labels=[0, 1])
    assert (both[70, 10] == second).all()


def test_boxes_beyond_the_image_are_drawn_as_far_as_it_goes():
    result = drawn([(-50, -50, 60, 60), (100, 90, 1e6, 1e6)])
    assert result[30, 60].any()
    assert result[95, 100].any()
