import numpy as np
import pytest

from picodet.ops.postprocess import Candidates, Postprocessing, apply_nms, postprocess


def test_boxes_come_in_pixels_of_the_image_and_unclipped():
    boxes = np.array([[-8.0, 16.0, 40.0, 64.0]], np.float32)
    candidates = Candidates(boxes, np.array([[0.2], [0.9]], np.float32))
    found = apply_nms(candidates, np.array([2, 4], np.float32), 0.1)
    assert found.boxes.tolist() == [[-2, 8, 10, 32]] * 2
    assert found.classes.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx([0.2, 0.9])
    assert len(found) == 2


def test_no_detections_have_shapes_too():
    found = apply_nms(Candidates(np.zeros((3, 4)), np.zeros((2, 3))), np.ones(2, np.float32))
    assert (found.boxes.shape, found.scores.shape, found.classes.shape) == ((0, 4), (0,), (0,))


def test_the_thresholds_are_the_requested_ones():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 7]], np.float32)  # IoU 0.7
    candidates = Candidates(boxes, np.array([[0.9, 0.3]], np.float32))

    def count(**settings):
        asked = Postprocessing(**settings)
        return len(postprocess(candidates, np.ones(2, np.float32), (64, 64), asked))

    assert [count(), count(iou_threshold=0.75), count(iou_threshold=0.69)] == [1, 2, 1]
    assert [count(iou_threshold=0.75, score_threshold=s) for s in (0.29, 0.3)] == [2, 1]


def test_2_3_clips_to_the_image_before_boxes_are_scaled():
    """Input 64 x 96; one box reaches beyond all four edges."""
    boxes = np.zeros((8 * 12 + 4 * 6 + 2 * 3 + 1 * 2, 4), np.float32)  # one a cell
    boxes[0] = [-5, -7, 100, 70]
    scores = np.zeros((1, len(boxes)), np.float32)
    scores[0, 0] = 0.9
    candidates = Candidates(boxes, scores)
    scale_factor = np.array([2, 4], np.float32)  # y, x
    found = postprocess(candidates, scale_factor, (64, 96), Postprocessing(semantics="ppdet-2.3"))
    assert found.boxes.tolist() == [[0, 0, 24, 32]]
    today = postprocess(candidates, scale_factor, (64, 96), Postprocessing())
    assert today.boxes.tolist() == [[-1.25, -3.5, 25, 35]]


@pytest.mark.parametrize(("better", "classes"), [(999, [0, 1, 2]), (1000, [0, 2])])
def test_2_3_keeps_the_best_thousand_of_a_level(better, classes):
    """Input 320: 1,600 anchor points of stride 8, from the 1,601st on stride 16."""
    boxes = np.zeros((2125, 4), np.float32)
    boxes[:1000] = [0, 0, 10, 10]  # of which one will be kept
    boxes[1000], boxes[1600] = [20, 0, 30, 10], [40, 0, 50, 10]
    scores = np.zeros((3, 2125), np.float32)
    scores[0, :better] = 0.5
    scores[1, 1000] = 0.4
    scores[2, 1600] = 0.3
    given = Candidates(boxes, scores), np.ones(2, np.float32), (320, 320)
    assert postprocess(*given, Postprocessing()).classes.tolist() == [0, 1, 2]
    old = postprocess(*given, Postprocessing(semantics="ppdet-2.3"))
    assert old.classes.tolist() == classes
