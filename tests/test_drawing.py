import numpy as np

from picodet.drawing import draw
from picodet.postprocess import Detections


def drawn(boxes, labels=None):
    labels = np.zeros(len(boxes), int) if labels is None else np.array(labels)
    found = Detections(np.array(boxes, np.float32), np.linspace(0.5, 1, len(boxes)), labels)
    image = np.zeros((100, 120, 3), np.uint8)
    result = draw(image, found, ["cat"] * len(boxes))
    assert not image.any()
    return result


def test_the_edges_of_a_box_are_coloured_and_its_inside_is_not():
    result = drawn([(20, 30, 80, 90)])
    for x, y in ((20, 60), (80, 60), (50, 90)):
        assert result[y, x].any()
    assert not result[60, 50].any()


def test_classes_have_their_own_colours():
    result = drawn([(10, 40, 40, 90), (70, 40, 110, 90)], labels=[0, 1])
    assert (result[70, 10] != result[70, 70]).any()


def test_boxes_beyond_the_picture_are_drawn_as_far_as_it_goes():
    result = drawn([(-50, -50, 60, 60), (100, 90, 1e6, 1e6)])
    assert result[30, 60].any()
    assert result[95, 100].any()
