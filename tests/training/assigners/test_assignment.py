import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from picodet.training.assigners.assignment import (
    NONE,
    assigned_anchors,
    flatten_targets,
    resolve_conflicts,
    top_k_mask,
)
from picodet.training.data.batch import Targets

# few values, so that many are equal
VALUES = arrays(
    np.float32,
    st.tuples(st.integers(0, 4), st.integers(1, 12)),
    elements=st.integers(0, 3).map(float),
)


@given(VALUES, st.data())
def test_the_best_are_the_first_of_a_stable_sort(values, data):
    lines = len(values)
    counts = data.draw(st.lists(st.integers(1, 5), min_size=lines, max_size=lines))
    chosen = top_k_mask(torch.tensor(values), torch.tensor(counts, dtype=torch.int64), 5)
    for line, count, mask in zip(values, counts, chosen.numpy(), strict=True):
        expected = np.argsort(-line, kind="stable")[:count]
        assert set(np.flatnonzero(mask)) == set(expected)


def test_the_same_number_of_each():
    values = torch.tensor([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0]])
    assert top_k_mask(values, 2, 2).tolist() == [[False, True, True], [True, True, False]]
    assert top_k_mask(values, 9, 9).all()


TARGETS = Targets(
    boxes=torch.arange(24.0).reshape(3, 2, 4),
    classes=torch.tensor([[7, 8], [0, 0], [9, 0]]),
    valid=torch.tensor([[True, True], [False, False], [True, False]]),
)


def test_boxes_stand_in_a_row():
    flat = flatten_targets(TARGETS, torch.float64)
    assert flat.image.tolist() == [0, 0, 2]
    assert flat.gt_index.tolist() == [0, 1, 0]
    assert flat.classes.tolist() == [7, 8, 9]
    assert flat.boxes[:, 0].tolist() == [0, 4, 16]
    assert flat.boxes.dtype == torch.float64
    assert flat.rows.tolist() == [[0, 1], [NONE, NONE], [2, NONE]]
    anchors = torch.arange(3 * 5 * 4.0).reshape(3, 5, 4)
    assert torch.equal(flat.per_box(anchors), anchors[[0, 0, 2]])


def test_a_cell_takes_one_box():
    """Both boxes choose the first anchor point of image 0; the preferred one only the third."""
    flat = flatten_targets(TARGETS, torch.float32)
    chosen = torch.tensor([[True, False, False], [True, False, True], [False, True, False]])
    preference = torch.tensor([[1.0, 9.0, 9.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    box = resolve_conflicts(chosen, preference, flat)
    assert box.tolist() == [[1, NONE, 1], [NONE] * 3, [NONE, 0, NONE]]
    assert [each.tolist() for each in assigned_anchors(box, flat)] == [
        [0, 0, 2],
        [0, 2, 1],
        [1, 1, 2],
    ]
    equal = resolve_conflicts(chosen, torch.zeros(3, 3), flat)
    assert equal[0, 0] == 0


def test_the_preferred_box_need_not_have_wanted_the_cell():
    """As in ppdet: two want it, and the third of the image gets it."""
    targets = Targets(torch.zeros(1, 3, 4), torch.zeros(1, 3).long(), torch.ones(1, 3).bool())
    chosen = torch.tensor([[True], [True], [False]])
    box = resolve_conflicts(
        chosen, torch.tensor([[1.0], [2.0], [3.0]]), flatten_targets(targets, torch.float32)
    )
    assert box.tolist() == [[2]]


def test_padding_is_preferred_by_nobody():
    """Not even where another image has a box that its anchor point would prefer."""
    valid = torch.tensor([[True, False, False], [True, True, False]])
    targets = Targets(torch.zeros(2, 3, 4), torch.zeros(2, 3).long(), valid)
    flat = flatten_targets(targets, torch.float32)
    chosen = torch.tensor([[False], [True], [True]])
    box = resolve_conflicts(chosen, torch.tensor([[9.0], [1.0], [2.0]]), flat)
    assert box.tolist() == [[NONE], [1]]


def test_no_boxes_at_all():
    targets = Targets(torch.zeros(2, 1, 4), torch.zeros(2, 1).long(), torch.zeros(2, 1).bool())
    flat = flatten_targets(targets, torch.float32)
    nothing = torch.zeros(0, 5)
    assert (resolve_conflicts(nothing > 0, nothing, flat) == NONE).all()
    assert top_k_mask(nothing, 2, 2).shape == (0, 5)
