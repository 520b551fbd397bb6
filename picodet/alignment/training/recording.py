"""A recorded training: what ppdet did in a few steps, number by number.

Plain values; training_file.py writes and reads them, and training_folder.py makes them of the
folders that make_reference.py wrote. What was not recorded is None. NumPy only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from picodet.alignment.training.batch import GroundTruth

Precision = Literal["float32", "float64"]
TERMS = {"varifocal": "vfl", "boxes": "giou", "sides": "dfl"}  # in a recording -> ours
MEASURES = ("norm", "sum", "greatest")  # of all values of a tensor: its l2 norm, sum, magnitude


class TensorDigest(NamedTuple):
    """What is known of a tensor: some values or all, and what all of them amount to."""

    shape: tuple[int, ...] | None
    positions: np.ndarray  # [n] int64, in the flattened tensor
    values: np.ndarray  # [n]
    measures: Mapping[str, float]  # MEASURES


TensorDigests = Mapping[str, TensorDigest]  # by ppdet's names


class RecordedAssignment(NamedTuple):
    """The n cells that take a box, in all pictures."""

    image: np.ndarray  # [n] int64
    anchor: np.ndarray  # [n] int64, levels one after the other, each row by row
    box: np.ndarray  # [n] int64, of the picture's
    quality: np.ndarray | None  # [n], what the score of the box's class should be


@dataclass(frozen=True)
class TrainingRun:
    """A few steps on one batch, from the checkpoint's weights on."""

    name: str
    epoch: int  # which cells are assigned by, in 2022
    lr: float
    boxes: GroundTruth
    losses: tuple[Mapping[str, float], ...]  # of each step: TERMS
    assignment: RecordedAssignment | None = None  # in the first step
    gradients: TensorDigests | None = None  # of the first step
    statistics: TensorDigests | None = None  # of batch norms after the first pass
    parameters: TensorDigests | None = None  # and the statistics, after the last step
    momenta: TensorDigests | None = None
    averages: TensorDigests | None = None  # what ModelEMA gives then, updated after each step


class EMASnapshot(NamedTuple):
    """What ModelEMA held and gave at one moment, of some tensors."""

    raw: TensorDigests
    snapshot: TensorDigests | None  # where it was asked


@dataclass(frozen=True)
class EMATrace:
    """ModelEMA over weights that are known: update i sees the checkpoint's, 5 % * (i + 1) greater.

    kind and cycle stand in the place of the recipe's, where they are not None.
    """

    name: str
    kind: Literal["threshold", "normal", "exponential"] | None
    cycle: int | None
    updates: tuple[EMASnapshot, ...]


class LearningRates(NamedTuple):
    """Learning rates of a training."""

    steps_per_epoch: int
    iterations: np.ndarray  # [n] int64
    rates: np.ndarray  # [n] float64


@dataclass(frozen=True)
class TrainingRecording:
    """All of it."""

    file: str  # name of the checkpoint
    sha256: str
    versions: Mapping[str, str]
    precision: Precision
    weights: Mapping[str, str]  # of the checkpoint: names, and keys made of the content
    images: np.ndarray  # [B, 3, H, W] float32, that all runs are fed with
    runs: tuple[TrainingRun, ...]
    rates: LearningRates | None
    traces: tuple[EMATrace, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)  # rungs, and why they are not there


def tensor_digest(array: np.ndarray, positions: np.ndarray) -> TensorDigest:
    """What a recording keeps of a tensor."""
    flat = array.ravel().astype(np.float64)
    norm, total = float(np.sqrt(flat @ flat)), float(flat.sum())
    greatest = float(np.abs(flat).max(initial=0))
    measures = dict(zip(MEASURES, (norm, total, greatest), strict=True))
    return TensorDigest(array.shape, positions, array.ravel()[positions], measures)
