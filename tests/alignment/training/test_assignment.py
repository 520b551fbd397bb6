import numpy as np
import torch

from picodet.alignment.tolerance import Tolerance
from picodet.alignment.training.assignment import compare_assignment, findings
from picodet.alignment.training.recording import RecordedAssignment
from picodet.training.assigners.assignment import NONE, Assignment

SIZE = (64, 64)  # 64, 16, 4 and 1 anchor points
NUM_ANCHORS = 85
TOLERANCE = Tolerance(scale_factor=1e-9, noise_factor=10.0)


def assignment(**boxes):
    """c10=0: anchor point 10 is assigned to box 0."""
    box = torch.full((1, NUM_ANCHORS), NONE)
    quality = torch.zeros(1, NUM_ANCHORS, dtype=torch.float64)
    for anchor, taken in boxes.items():
        box[0, int(anchor[1:])] = taken
        quality[0, int(anchor[1:])] = 0.5
    return Assignment(box, quality)


def recorded(quality=0.5, **boxes):
    anchors = np.array([int(anchor[1:]) for anchor in boxes])
    return RecordedAssignment(
        np.zeros_like(anchors),
        anchors,
        np.array(list(boxes.values())),
        np.full(len(anchors), quality),
    )


def compared(theirs, ours, *others):
    return compare_assignment(theirs, ours, others, SIZE, TOLERANCE)


def test_the_same_anchor_points():
    found = compared(recorded(c10=0, c66=1), assignment(c10=0, c66=1))
    assert (found.num_anchors, found.missing, found.extra, found.undecided) == (2, (), (), 0)
    assert not list(findings("x", found))


def test_missing_and_extra_anchor_points_are_named_by_level_row_and_column():
    found = compared(recorded(c10=0, c84=1), assignment(c10=0, c69=1))
    assert found.missing == ("image 0: box 1 at stride 64, row 0, column 0",)
    assert found.extra == ("image 0: box 1 at stride 16, row 1, column 1",)
    assert [row.name for row in findings("x", found)] == ["x: missing", "x: extra"]


def test_another_box_is_both():
    found = compared(recorded(c10=0), assignment(c10=1))
    assert found.missing == ("image 0: box 0 at stride 8, row 1, column 2",)
    assert found.extra == ("image 0: box 1 at stride 8, row 1, column 2",)


def test_what_rounding_decides_is_not_compared():
    found = compared(recorded(c10=0), assignment(c10=1), assignment(c10=0))
    assert (found.missing, found.extra, found.undecided) == ((), (), 1)


def test_the_quality_differs():
    found = compared(recorded(quality=0.5 + 1e-7, c10=0), assignment(c10=0))
    assert not found.quality.ok
    assert found.quality.index == (0, 10)
    assert compared(recorded(quality=0.5 + 1e-10, c10=0), assignment(c10=0)).quality.ok
