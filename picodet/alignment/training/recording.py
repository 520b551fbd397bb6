"""A recorded training: losses, assignments and tensors of a few steps of ppdet.

Plain values; npz_file.py writes and reads them, and folder.py reads them from the folders that
make_reference.py wrote. What was not recorded is None. NumPy only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from picodet.alignment.training.batch import GroundTruth

Precision = Literal["float32", "float64"]
TERMS = {"varifocal": "vfl", "boxes": "giou", "sides": "dfl"}  # in a recording -> picodet's
MEASURES = ("norm", "sum", "greatest")  # of a whole tensor: L2 norm, sum, greatest magnitude


class TensorDigest(NamedTuple):
    """What was recorded of a tensor: some of its values or all, and measures of the whole."""

    shape: tuple[int, ...] | None
    positions: np.ndarray  # [n] int64, in the flattened tensor
    values: np.ndarray  # [n]
    measures: Mapping[str, float]  # by MEASURES


TensorDigests = Mapping[str, TensorDigest]  # by ppdet's names


class RecordedAssignment(NamedTuple):
    """The n positive anchor points of all images."""

    image: np.ndarray  # [n] int64, index of the image
    anchor: np.ndarray  # [n] int64, index of the anchor point; level by level, each row by row
    box: np.ndarray  # [n] int64, index of the assigned box among the image's
    quality: np.ndarray | None  # [n], target of the score of the box's class


@dataclass(frozen=True)
class TrainingRun:
    """A few steps on one batch, starting from the checkpoint's weights."""

    name: str
    epoch: int  # in 2022, selects the assigner
    lr: float
    boxes: GroundTruth
    losses: tuple[Mapping[str, float], ...]  # of each step, by TERMS
    assignment: RecordedAssignment | None = None  # of the first step
    gradients: TensorDigests | None = None  # of the first step
    statistics: TensorDigests | None = None  # of batch norms after the first forward pass
    parameters: TensorDigests | None = None  # and the statistics, after the last step
    momenta: TensorDigests | None = None  # momentum buffers after the last step
    averages: TensorDigests | None = None  # ModelEMA.apply() after the last step


class EMASnapshot(NamedTuple):
    """ModelEMA after one update, of some tensors."""

    raw: TensorDigests  # its state_dict
    snapshot: TensorDigests | None  # the bias-corrected weights of apply(), if it was called


@dataclass(frozen=True)
class EMATrace:
    """ModelEMA of known weights: update i sees the checkpoint's, 5 % * (i + 1) greater.

    kind and cycle replace the recipe's where they are not None.
    """

    name: str
    kind: Literal["threshold", "normal", "exponential"] | None
    cycle: int | None
    updates: tuple[EMASnapshot, ...]


class LearningRates(NamedTuple):
    """ppdet's learning rates of some iterations."""

    steps_per_epoch: int
    iterations: np.ndarray  # [n] int64
    rates: np.ndarray  # [n] float64


@dataclass(frozen=True)
class TrainingRecording:
    """A whole recorded training."""

    file: str  # name of the checkpoint
    sha256: str  # of the checkpoint
    versions: Mapping[str, str]  # of packages
    precision: Precision
    weights: Mapping[str, str]  # of the checkpoint: index.content_key by ppdet's names
    images: np.ndarray  # [B, 3, H, W] float32, the batch of all runs
    runs: tuple[TrainingRun, ...]
    rates: LearningRates | None
    traces: tuple[EMATrace, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)  # stages that were not recorded: why


def tensor_digest(array: np.ndarray, positions: np.ndarray) -> TensorDigest:
    """The values at flat `positions` [n] of a tensor, and its measures, computed in float64."""
    flat = array.ravel().astype(np.float64)
    norm, total = float(np.sqrt(flat @ flat)), float(flat.sum())
    greatest = float(np.abs(flat).max(initial=0))
    measures = dict(zip(MEASURES, (norm, total, greatest), strict=True))
    return TensorDigest(array.shape, positions, array.ravel()[positions], measures)
