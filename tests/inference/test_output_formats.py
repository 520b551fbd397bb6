import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from picodet.config import feature_map_sizes
from picodet.errors import CheckpointError, PicoDetError
from picodet.inference.output_formats import (
    count_classes,
    read_boxes,
    read_detections,
    read_heads,
    recognize_format,
    to_candidates,
)
from picodet.models.head import HeadOutput, Integral
from picodet.ops.decode import decode

HEADS = [(1, cells, 80) for cells in (64, 16, 4, 1)] + [(1, cells, 32) for cells in (64, 16, 4, 1)]
ANY = (None, None, None)


@pytest.mark.parametrize(
    ("shapes", "form", "classes"),
    [
        (HEADS, "heads", 80),
        ([ANY] * 8, "heads", None),
        ([(1, 3598, 4), (1, 80, 3598)], "boxes", 80),
        ([(1, 80, 3598), (1, 3598, 4)], "boxes", 80),
        ([(None, None, 4), ANY], "boxes", None),
        ([(1, 4, 85), (1, 85, 4)], "boxes", 4),
        ([(None, 6), (1,)], "detections", None),
        ([(100, 6)], "detections", None),
        ([(None, None), (None,)], "detections", None),
    ],
)
def test_formats_are_recognized_by_their_shapes(shapes, form, classes):
    assert recognize_format("x.onnx", shapes) == form
    assert count_classes(form, shapes) == classes


@pytest.mark.parametrize(
    "shapes",
    [
        [],
        HEADS[:6],
        [(1, 1000)],  # a classifier
        [(1, 85, 5), (1, 80, 85)],
        [(1, 85, 4)],
        [(1, 100, 6)],
        [(100, 7), (1,)],
        [(1, 80, 52, 52)] * 8,
    ],
)
def test_other_outputs_are_refused_with_their_shapes(shapes):
    with pytest.raises(CheckpointError) as caught:
        recognize_format("x.onnx", shapes)
    assert f"x.onnx: its outputs are {[list(shape) for shape in shapes]}; of a" in str(caught.value)
    assert "4 scores and 4 distributions (heads)" in str(caught.value)


sizes = st.tuples(*[st.sampled_from([32, 64, 96, 160])] * 2)


@given(sizes, st.integers(1, 3), st.integers(1, 5), st.integers(2, 12), st.integers(0, 99))
def test_heads_are_decoded_as_torch_decodes_them(size, batch, classes, bins, seed):
    """With values of bins other than 0, 1, 2 .."""
    random = np.random.default_rng(seed)
    integral = Integral(bins - 1).double()
    integral.project = torch.from_numpy(random.uniform(-1, 9, bins))
    logits, reg = (
        [random.normal(0, 2, (batch, channels, *grid)) for grid in feature_map_sizes(size)]
        for channels in (classes, 4 * bins)
    )
    raw = HeadOutput(
        tuple(torch.from_numpy(each) for each in logits),
        tuple(torch.from_numpy(each) for each in reg),
    )
    boxes, scores = decode(raw, integral)

    def rows(each):
        return each.reshape(*each.shape[:2], -1).transpose(0, 2, 1)

    outputs = [1 / (1 + np.exp(-rows(each))) for each in logits] + [rows(each) for each in reg]
    found = read_heads(outputs, size, integral.project.numpy())
    assert len(found) == batch
    for i, one in enumerate(found):
        assert np.allclose(one.boxes, boxes[i].numpy(), rtol=1e-12, atol=1e-9)
        assert np.allclose(one.scores, scores[i].numpy(), rtol=1e-12, atol=0)


def test_large_logits_do_not_overflow():
    reg = [np.full((1, cells, 32), 0, np.float32) for cells in (64, 16, 4, 1)]
    for each in reg:
        each[..., 3::8] = 1e4
    scores = [np.full((1, cells, 2), 0.5, np.float32) for cells in (64, 16, 4, 1)]
    (found,) = read_heads([*scores, *reg], (64, 64), np.arange(8))
    assert found.boxes[0].tolist() == [(0.5 - 3) * 8] * 2 + [(0.5 + 3) * 8] * 2
    assert found.boxes.dtype == np.float32


def test_heads_of_another_image_are_refused():
    outputs = [np.zeros((1, cells, 2)) for cells in (64, 16, 4, 1)]
    outputs += [np.zeros((1, cells, 32)) for cells in (64, 16, 4, 1)]
    with pytest.raises(PicoDetError, match=r"for an image of 64x96; expected are .*\(96, 2\)"):
        read_heads(outputs, (64, 96), np.arange(8))
    with pytest.raises(PicoDetError, match=r"expected are .*\(64, 28\)"):
        read_heads(outputs, (64, 64), np.arange(7))
    with pytest.raises(PicoDetError, match="expected are"):
        read_heads(outputs[::-1], (64, 64), np.arange(8))


@pytest.mark.parametrize("order", [1, -1])
def test_boxes_and_scores_in_either_order(order):
    boxes, scores = np.ones((2, 85, 4)), np.ones((2, 3, 85))
    scores[1] = 2
    first, second = read_boxes([boxes, scores][::order])
    assert (first.boxes.shape, first.scores.shape) == ((85, 4), (3, 85))
    assert (first.scores.max(), second.scores.max()) == (1, 2)


ROWS = np.array(
    [
        [1, 0.5, 1, 2, 3, 4],
        [0, 0.3, 5, 6, 7, 8],
        [0, 0.9, 0, 0, 1, 1],
        [-1, 0, 0, 0, 0, 0],
        [2, 0.1, 9, 9, 9, 9],
    ],
    np.float32,
)


def test_detections_come_in_ppdets_order():
    """Class by class, best first; in Paddle a row of class -1 means no detections."""
    (found,) = read_detections([ROWS, np.array([5], np.int32)], 1)
    assert found.classes.tolist() == [0, 0, 1, 2]
    assert found.scores.tolist() == pytest.approx([0.9, 0.3, 0.5, 0.1])
    assert found.boxes[1].tolist() == [5, 6, 7, 8]
    assert found.classes.dtype == np.int64


def test_equal_scores_stay_in_their_order():
    rows = np.array([[0, 0.5, i, 0, 0, 0] for i in range(20)], np.float32)
    (found,) = read_detections([rows], 1)
    assert found.boxes[:, 0].tolist() == list(range(20))


def test_rows_are_split_by_their_counts():
    found = read_detections([ROWS, np.array([0, 2, 3], np.int32)], 3)
    assert [each.classes.tolist() for each in found] == [[], [0, 1], [0, 2]]
    (nothing,) = read_detections([np.empty((0, 6), np.float32), np.array([0])], 1)
    assert (len(nothing), nothing.boxes.shape) == (0, (0, 4))


@pytest.mark.parametrize("numbers", [[4], [5, 1], [2, 3], [5, 0]])
def test_counts_that_do_not_add_up_are_refused(numbers):
    with pytest.raises(PicoDetError, match=r"5 rows and the counts \["):
        read_detections([ROWS, np.array(numbers)], 1)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_errors(wrong):
    rows = ROWS.copy()
    rows[3, 1] = wrong
    with pytest.raises(PicoDetError, match="not finite"):
        read_detections([rows], 1)
    good = np.ones((1, 3, 4))
    bad = good.copy()
    bad[0, 2, 1] = wrong
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(PicoDetError, match="not finite"):
            to_candidates(*pair)
    assert len(to_candidates(good, good)) == 1
