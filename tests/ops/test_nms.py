import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from picodet.alignment.recording import probes
from picodet.ops.nms import multiclass_nms


def one_class(boxes, *scores, **options):
    _, kept = multiclass_nms(np.array(boxes, np.float32), np.array([scores], np.float32), **options)
    return kept.tolist()


def test_a_box_is_suppressed_above_the_iou_threshold():
    outer, inner, tall = (0, 0, 10, 10), (0, 0, 10, 7), (0, 0, 10, 5)  # IoU with outer: .7, .5
    assert one_class([tall, inner, outer], 0.3, 0.4, 0.5) == [2, 0]


def test_thresholds_are_exclusive():
    assert one_class([(0, 0, 10, 10), (0, 0, 10, 5)], 0.5, 0.4, iou_threshold=0.5) == [0, 1]
    assert one_class([(0, 0, 1, 1), (5, 5, 6, 6)], 0.5, 0.4, score_threshold=0.4) == [0]


def test_a_suppressed_box_suppresses_nothing():
    chain = [(0, 0, 10, 10), (0, 0, 10, 7), (0, 0, 10, 4.5)]  # each hits the next, not the last
    assert one_class(chain, 0.9, 0.8, 0.7) == [0, 2]


def test_classes_are_independent_and_sorted():
    boxes = np.array([(0, 0, 10, 10), (0, 0, 10, 9)], np.float32)
    scores = np.array([(0.1, 0.3), (0.9, 0.2)], np.float32)
    classes, kept = multiclass_nms(boxes, scores)
    assert (classes.tolist(), kept.tolist()) == ([0, 1], [1, 0])


def test_inverted_boxes_are_treated_as_in_paddle():
    """Areas of 0 and an overlap of -4 * -5 give an IoU of -1: both stay (checked with ppdet)."""
    assert one_class([(0, 10, 10, 5), (8, 3, 4, 12)], 0.9, 0.8) == [0, 1]


def test_top_k_is_per_class_and_keep_top_k_over_all():
    boxes = np.array([(i, 0, i + 1, 1) for i in range(6)], np.float32)
    scores = np.array([(0.9, 0.8, 0.7, 0, 0, 0), (0, 0, 0, 0.5, 0.4, 0.3)], np.float32)
    _, kept = multiclass_nms(boxes, scores, top_k=2)
    assert kept.tolist() == [0, 1, 3, 4]
    _, kept = multiclass_nms(boxes, scores, keep_top_k=4)
    assert kept.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("case", probes.NMS_CASES)
def test_keeps_what_ppdet_keeps(case):
    boxes, scores = probes.nms_inputs(case)
    with np.load(probes.RECORDED_ANSWERS) as recorded:
        expected = recorded[f"NMS/{case}"]
    classes, kept = multiclass_nms(boxes, scores)
    rows = np.column_stack([classes, scores[classes, kept], boxes[kept]])
    assert np.array_equal(rows.reshape(-1, 6), expected)


def by_the_book(boxes, scores, score_threshold, iou_threshold, top_k, keep):
    """A plain reference: class by class, box by box."""
    kept = []
    for label, of_class in enumerate(scores):
        order = [i for i in np.argsort(-of_class, kind="stable") if of_class[i] > score_threshold]
        mine = []
        for i in order[:top_k]:
            if all(iou(boxes[i], boxes[j]) <= iou_threshold for j in mine):
                mine.append(i)
        kept += [(label, i) for i in mine]
    best = sorted(kept, key=lambda pair: -scores[pair])[:keep]
    return sorted(best, key=lambda pair: pair[0])


def iou(a, b):
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (area - width * height)


corners = arrays(np.float32, (40, 4), elements=st.integers(0, 12).map(float))
few_scores = arrays(np.float32, (3, 40), elements=st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5]))


@pytest.mark.slow
@given(corners, few_scores, st.sampled_from([0.3, 0.6]), st.integers(1, 30), st.integers(1, 30))
def test_equals_the_plain_algorithm(sides, scores, iou_threshold, top_k, keep):
    boxes = np.hstack([sides[:, :2], sides[:, :2] + 1 + sides[:, 2:]])
    options = (0.1, iou_threshold, top_k, keep)
    classes, kept = multiclass_nms(boxes, scores, *options)
    assert list(zip(classes, kept, strict=True)) == by_the_book(boxes, scores, *options)
