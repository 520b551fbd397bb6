"""The assignment stage: which anchor points are assigned to which box, compared as sets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.result import Difference, Finding
from picodet.alignment.tolerance import Tolerance, measure_difference
from picodet.alignment.training.recording import RecordedAssignment
from picodet.config import STRIDES, feature_map_sizes
from picodet.training.assigners.assignment import NONE, Assignment


@dataclass(frozen=True)
class AssignmentComparison:
    """The outcome for one run."""

    num_anchors: int  # positive anchor points in the recording
    undecided: int  # anchor points that picodet's runs, equal but for rounding, assign differently
    missing: tuple[str, ...]  # anchor points with a box in the recording, and another or none here
    extra: tuple[str, ...]  # anchor points with a box here, and another or none in the recording
    quality: Difference | None  # of the anchor points that both assign to the same box


def compare_assignment(
    recorded: RecordedAssignment,
    ours: Assignment,
    others: Sequence[Assignment],
    size: tuple[int, int],
    tolerance: Tolerance,
) -> AssignmentComparison:
    """Compare a recorded assignment with picodet's; `others` are runs that show the rounding.

    size: height and width of the images.
    """
    theirs = torch.full_like(ours.box, NONE)
    image, anchor = torch.from_numpy(recorded.image), torch.from_numpy(recorded.anchor)
    theirs[image, anchor] = torch.from_numpy(recorded.box)
    differing = [other.box != ours.box for other in others]
    undecided = torch.stack(differing).any(dim=0) if differing else torch.zeros_like(theirs).bool()
    wrong = (theirs != ours.box) & ~undecided
    levels = feature_map_sizes(size)
    missing, extra = (
        tuple(_describe(wrong & (box != NONE), box, levels)) for box in (theirs, ours.box)
    )
    quality = None
    both = ours.box[image, anchor] == theirs[image, anchor]
    for other in others:
        both &= other.box[image, anchor] == theirs[image, anchor]
    if recorded.quality is not None and both.any():
        quality = _quality(
            recorded.quality, ours, others, image[both], anchor[both], both, tolerance
        )
    return AssignmentComparison(len(anchor), int(undecided.sum()), missing, extra, quality)


def _quality(
    recorded: np.ndarray,
    ours: Assignment,
    others: Sequence[Assignment],
    image: Tensor,
    anchor: Tensor,
    both: Tensor,
    tolerance: Tolerance,
) -> Difference:
    """The greatest difference of qualities. They are at most 1, which is the scale of rounding."""
    own = ours.quality[image, anchor]
    runs = [other.quality[image, anchor].to(own) for other in others]
    noise = max((float((run - own).abs().max()) for run in runs), default=0.0)
    known = torch.from_numpy(recorded).to(own)[both]
    found = measure_difference(own, known, noise, tolerance, intermediate_scale=1.0)
    if found.problem:
        return found
    at = found.index[0] if found.index else 0
    index = (int(image[at]), int(anchor[at]))
    return replace(found, index=index, allowed=tolerance.allowed(found.floor, 1.0))


def _describe(mask: Tensor, box: Tensor, levels: tuple[tuple[int, int], ...]) -> Iterator[str]:
    starts = np.cumsum([0, *(h * w for h, w in levels)])
    for image, anchor in mask.nonzero().tolist():
        level = int(np.searchsorted(starts, anchor, side="right")) - 1
        row, column = divmod(anchor - int(starts[level]), levels[level][1])
        yield (
            f"image {image}: box {int(box[image, anchor])} at stride {STRIDES[level]}, row "
            f"{row}, column {column}"
        )


def findings(name: str, found: AssignmentComparison) -> Iterator[Finding]:
    """One finding per anchor point, and one for the quality. name: of the run."""
    yield from (Finding(f"{name}: missing", "not assigned", anchor) for anchor in found.missing)
    yield from (Finding(f"{name}: extra", anchor, "not assigned") for anchor in found.extra)
    quality = found.quality
    if quality is not None and not quality.ok:
        where = f"{name}: quality of image, anchor point {list(quality.index)}"
        yield Finding(where, f"{quality.model:.7g}", f"{quality.reference:.7g}", quality.problem)
