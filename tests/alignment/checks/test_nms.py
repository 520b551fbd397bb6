"""Boxes kept of the probes, with the NMS or its output changed in one way each."""

import functools

import numpy as np
import pytest

from picodet.alignment.checks import nms
from picodet.alignment.checks.nms import compare_kept_boxes, picodet_nms
from picodet.alignment.recording import probes
from picodet.alignment.result import UNKNOWN_CAUSE
from picodet.ops.nms import multiclass_nms

ONES = np.ones(2, np.float32)


def at_thresholds():
    """Pairs apart from each other, with IoUs around 0.6; scores around 0.025."""
    boxes, scores = np.zeros((60, 4), "f4"), np.zeros((2, 60), "f4")
    boxes[:, 0] = 20 * (np.arange(60) // 2)
    boxes[:, 2] = boxes[:, 0] + 10
    boxes[::2, 3] = 10
    boxes[1::2, 3] = np.resize([5, 5.05, 5.95, 6, 6.05, 6.5, 8], 30)
    scores[0] = np.resize([0.9, 0.8], 60)
    scores[1] = np.resize([0.015, 0.0249, 0.025, 0.0251, 0.035], 60)
    return boxes, scores


def beyond_top_k():
    """Equal boxes except some, of which five or six are among the 1000 best of the class."""
    boxes = np.tile(np.array([0, 0, 50, 50], "f4"), (1500, 1))
    apart = [50, 150, 250, 998, 999, 1000, 1001, 1400]
    boxes[apart, ::2] += 100 * np.arange(1, 9, dtype="f4")[:, None]
    return boxes, np.linspace(1, 0.1, 1500, dtype="f4")[None]


@functools.cache
def nms_inputs_of(case):
    own = {"at thresholds": at_thresholds, "beyond top_k": beyond_top_k}
    return own[case]() if case in own else probes.nms_inputs(case)


def rows_of(case, **settings):
    boxes, scores = nms_inputs_of(case)
    classes, indices = multiclass_nms(boxes, scores, **settings)
    rows = np.column_stack([classes, scores[classes, indices], boxes[indices]])
    return rows.astype(np.float32)


def compare(candidate, expected, case="random", in_order=True):
    return compare_kept_boxes(candidate, expected, in_order, "boxes", nms_inputs_of(case))


def test_kept_boxes_are_those_of_postprocessing():
    assert np.array_equal(picodet_nms(*nms_inputs_of("random"), ONES), rows_of("random"))


def test_kept_are_scaled_before_they_are_compared():
    boxes, scores = nms_inputs_of("random")
    found = picodet_nms(boxes, scores, np.array([2, 4], "f4"))
    again = picodet_nms(boxes / np.array([4, 2, 4, 2], "f4"), scores, ONES)
    assert np.array_equal(found, again)
    assert found.dtype == np.float32


@pytest.mark.parametrize("case", probes.NMS_CASES)
def test_the_same_rows_are_aligned(case):
    assert compare(rows_of(case), rows_of(case), case) == []


def below(value):
    return np.nextafter(np.float32(value), np.float32(0))


MISTAKES = {
    "keep 99": (
        "random",
        {"keep_top_k": 99},
        "the best 99 boxes are kept; the reference keeps 100",
    ),
    "keep 101": (
        "random",
        {"keep_top_k": 101},
        "the best 101 boxes are kept; the reference keeps 100",
    ),
    "IoU 0.61": (
        "at thresholds",
        {"iou_threshold": 0.61},
        "IoU threshold 0.61; the reference's is 0.6",
    ),
    "IoU 0.5": (
        "at thresholds",
        {"iou_threshold": 0.5},
        "IoU threshold 0.5; the reference's is 0.6",
    ),
    "IoU >=": (
        "at thresholds",
        {"iou_threshold": below(0.6)},
        "an IoU equal to the threshold suppresses; the reference's must be greater",
    ),
    "score >=": (
        "at thresholds",
        {"score_threshold": below(0.025)},
        "a score equal to the threshold counts; the reference's must be greater",
    ),
    "score 0.05": (
        "at thresholds",
        {"score_threshold": 0.05},
        "score threshold 0.05; the reference's is 0.025",
    ),
    "top 100": (
        "beyond top_k",
        {"top_k": 100},
        "the best 100 candidates of a class take part; the reference's limit is 1000",
    ),
    "top 999": (
        "beyond top_k",
        {"top_k": 999},
        "the best 999 candidates of a class take part; the reference's limit is 1000",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_setting_is_found_and_named(mistake):
    case, settings, text = MISTAKES[mistake]
    (finding,) = compare(rows_of(case, **settings), rows_of(case), case)
    assert finding.diagnosis == text


def test_a_missing_box():
    expected = rows_of("random")
    (finding,) = compare(expected[1:], expected)
    assert finding.found == "0 extra, 1 missing"
    row = expected[0]
    shown = f"class {int(row[0])}, {row[1]:.4f}, [{row[2]:.1f}, {row[3]:.1f}, "
    assert finding.expected.startswith(f"the 100 kept; first missing: {shown}")


def test_an_extra_box():
    expected = rows_of("random")
    extra = np.vstack([expected, [[3, 0.5, 1, 2, 3, 4]]])
    (finding,) = compare(extra, expected)
    assert finding.found == "1 extra, 0 missing"
    assert "first extra: class 3, 0.5000, [1.0, 2.0, 3.0, 4.0]" in finding.expected
    assert finding.diagnosis == UNKNOWN_CAUSE


def test_a_box_kept_twice_is_one_extra():
    expected = rows_of("random")
    (finding,) = compare(np.vstack([expected, expected[:1]]), expected)
    assert finding.found == "1 extra, 0 missing"


def test_another_class():
    expected = rows_of("random")
    candidate = expected.copy()
    candidate[7, 0] += 1
    (finding,) = compare(candidate, expected)
    assert finding.found == "1 extra, 1 missing, 1 with another class"


def test_one_bit_of_a_coordinate_or_a_score_counts():
    expected = rows_of("random")
    for column in range(1, 6):
        candidate = expected.copy()
        candidate[5, column] = np.nextafter(candidate[5, column], np.float32(1e9))
        (finding,) = compare(candidate, expected)
        assert finding.found.startswith("1 extra, 1 missing")


def test_another_order():
    expected = rows_of("random")
    candidate = expected[[1, 0, *range(2, 100)]]
    (finding,) = compare(candidate, expected)
    assert finding.found.startswith("in another order from row 0: class 0, ")
    assert finding.diagnosis == "the kept boxes are the same"
    assert compare(candidate, expected, in_order=False) == []


def test_equal_scores_have_no_order():
    expected = rows_of("ties")
    tied = next(i for i in range(99) if (expected[i, :2] == expected[i + 1, :2]).all())
    order = [*range(tied), tied + 1, tied, *range(tied + 2, len(expected))]
    assert compare(expected[order], expected, "ties") == []


def test_nothing_kept_against_nothing_and_something():
    nothing = rows_of("none")
    assert nothing.shape == (0, 6)
    assert compare(nothing, nothing, "none") == []
    (finding,) = compare(nothing, rows_of("random"))
    assert finding.found == "0 extra, 100 missing"
    (finding,) = compare(rows_of("random"), nothing)
    assert finding.found == "100 extra, 0 missing"


def test_the_references_thresholds_are_those_of_our_own_nms():
    names = ("score_threshold", "iou_threshold", "top_k", "keep_top_k")
    numbers = (nms.SCORE_THRESHOLD, nms.IOU_THRESHOLD, nms.TOP_K, nms.KEEP)
    assert multiclass_nms.__defaults__ == numbers
    settings = dict(zip(names, numbers, strict=True))
    assert np.array_equal(rows_of("dense", **settings), rows_of("dense"))


@pytest.mark.parametrize(
    ("candidate", "text"),
    [
        (((1, 0.9, 0, 0, 10, 10),), "1 of 1 boxes, scores within 0, coordinates within 0 pixels"),
        (
            ((1, 0.8, 0, 0, 10, 10.5),),
            "1 of 1 boxes, scores within 0.1, coordinates within 0.5 pixels",
        ),
        (((2, 0.9, 0, 0, 10, 10),), "0 of 1 boxes"),
        (((1, 0.9, 0, 0, 10, 12),), "0 of 1 boxes"),
        (((1, 0.9, 0, 0, 10, 10),) * 2, "1 of 1 boxes, 1 extra, scores within 0, "),
    ],
)
def test_end_to_end_counts_the_boxes_that_are_near(candidate, text):
    expected = np.array([(1, 0.9, 0, 0, 10, 10)])
    assert nms.describe_end_to_end(np.array(candidate), expected).startswith(text)


def test_end_to_end_with_nothing():
    nothing, one = np.empty((0, 6)), np.ones((1, 6))
    assert nms.describe_end_to_end(nothing, nothing) == "0 of 0 boxes"
    assert nms.describe_end_to_end(one, nothing) == "0 of 0 boxes"
    assert nms.describe_end_to_end(nothing, one) == "0 of 1 boxes"
