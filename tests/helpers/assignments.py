"""The predictions of scripts/fixtures/drawn_assignments.py, and what ppdet assigned to them."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from picodet.config import feature_map_sizes
from picodet.training.assigners.assignment import Assignment
from picodet.training.data.batch import Targets
from scripts.fixtures.drawn_assignments import SIZE, synthetic_batch

LEVELS = feature_map_sizes((SIZE, SIZE))


class AssignerInputs(NamedTuple):
    scores: Tensor
    predicted: Tensor
    points: Tensor
    strides: Tensor
    targets: Targets


def assigner_inputs(dtype=torch.float64) -> AssignerInputs:
    arrays = synthetic_batch()
    numbers = (torch.tensor(array).to(dtype) for array in arrays[:5])
    scores, predicted, points, strides, boxes = numbers
    targets = Targets(boxes, torch.tensor(arrays.classes), torch.tensor(arrays.valid))
    return AssignerInputs(scores, predicted, points, strides, targets)


def padded(targets: Targets, more: int) -> Targets:
    """The targets with more padding."""
    count = len(targets.valid)
    return Targets(
        torch.cat([targets.boxes, targets.boxes.new_zeros(count, more, 4)], dim=1),
        torch.cat([targets.classes, targets.classes.new_zeros(count, more)], dim=1),
        torch.cat([targets.valid, targets.valid.new_zeros(count, more)], dim=1),
    )


def single_image_targets(*boxes: tuple[float, float, float, float], classes=None) -> Targets:
    """The targets of one image."""
    classes = torch.tensor([classes or [0] * len(boxes)])
    return Targets(torch.tensor([boxes]), classes, torch.ones(1, len(boxes), dtype=torch.bool))


def difference_to_recorded(assignment: Assignment, golden, name: str, images=None) -> float:
    """The greatest difference of the qualities; asserts equal assigned boxes.

    anchor points: images to compare, all by default.
    """
    with np.load(golden / "assigners.npz") as loaded:
        rows, quality = loaded[f"{name}/taken"], loaded[f"{name}/quality"]
    if images is not None:
        kept = np.isin(rows[:, 0], images)
        rows, quality = rows[kept], quality[kept]
    image, anchor = (assignment.box >= 0).nonzero(as_tuple=True)
    found = torch.stack([image, anchor, assignment.box[image, anchor]], dim=1).numpy()
    if images is not None:
        found = found[np.isin(found[:, 0], images)]
    assert np.array_equal(found, rows)
    assert not assignment.quality[assignment.box < 0].any()
    return float(np.abs(assignment.quality[tuple(found[:, :2].T)].numpy() - quality).max())
