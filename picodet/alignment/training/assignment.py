"""The rung of the assignment: which cells took which box, as sets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.result import Finding, Gap
from picodet.alignment.tolerance import Tolerance, gap
from picodet.alignment.training.differences import Bar
from picodet.alignment.training.recording import Taken
from picodet.config import STRIDES
from picodet.ops.anchor_points import grids
from picodet.training.assigners.assignment import NONE, Assignment


@dataclass(frozen=True)
class Assigned:
    """The outcome for one run."""

    cells: int  # that take a box in the recording
    undecided: int  # cells on which runs of ours, that should be equal, do not agree
    missing: tuple[str, ...]  # cells that take a box there, and another one or none here
    extra: tuple[str, ...]
    quality: Gap | None  # of the cells that both have


def compare_assignment(
    taken: Taken,
    ours: Assignment,
    others: Sequence[Assignment],
    size: tuple[int, int],
    bar: Bar,
) -> Assigned:
    """size: height and width of the pictures."""
    theirs = torch.full_like(ours.box, NONE)
    picture, cell = torch.from_numpy(taken.picture), torch.from_numpy(taken.cell)
    theirs[picture, cell] = torch.from_numpy(taken.box)
    differing = [other.box != ours.box for other in others]
    undecided = torch.stack(differing).any(dim=0) if differing else torch.zeros_like(theirs).bool()
    wrong = (theirs != ours.box) & ~undecided
    levels = grids(size)
    missing, extra = (
        tuple(_named(wrong & (box != NONE), box, levels)) for box in (theirs, ours.box)
    )
    quality = None
    both = ours.box[picture, cell] == theirs[picture, cell]
    for other in others:
        both &= other.box[picture, cell] == theirs[picture, cell]
    if taken.quality is not None and both.any():
        quality = _quality(taken.quality, ours, others, picture[both], cell[both], both, bar)
    return Assigned(len(cell), int(undecided.sum()), missing, extra, quality)


def _quality(
    recorded: np.ndarray,
    ours: Assignment,
    others: Sequence[Assignment],
    picture: Tensor,
    cell: Tensor,
    both: Tensor,
    bar: Bar,
) -> Gap:
    """A quality is at most 1, and its arithmetic is of that magnitude."""
    own = ours.quality[picture, cell]
    runs = [other.quality[picture, cell].to(own) for other in others]
    noise = max((float((run - own).abs().max()) for run in runs), default=0.0)
    known = torch.from_numpy(recorded).to(own)[both]
    found = gap(own, known, noise, Tolerance(bar.of_noise), computed_at=1.0)
    if found.problem:
        return found
    at = found.index[0] if found.index else 0
    index = (int(picture[at]), int(cell[at]))
    return replace(found, index=index, allowed=bar.allowed(1.0, found.floor))


def _named(chosen: Tensor, box: Tensor, levels: tuple[tuple[int, int], ...]) -> Iterator[str]:
    starts = np.cumsum([0, *(h * w for h, w in levels)])
    for picture, cell in chosen.nonzero().tolist():
        level = int(np.searchsorted(starts, cell, side="right")) - 1
        row, column = divmod(cell - int(starts[level]), levels[level][1])
        yield (
            f"picture {picture}: box {int(box[picture, cell])} in stride {STRIDES[level]}, row "
            f"{row}, column {column}"
        )


def findings(name: str, found: Assigned) -> Iterator[Finding]:
    """`name` is that of the run."""
    yield from (Finding(f"{name}: missing", "not taken", cell) for cell in found.missing)
    yield from (Finding(f"{name}: extra", cell, "not taken") for cell in found.extra)
    quality = found.quality
    if quality is not None and not quality.ok:
        where = f"{name}: quality of picture, cell {list(quality.index)}"
        yield Finding(where, f"{quality.ours:.7g}", f"{quality.reference:.7g}", quality.problem)
