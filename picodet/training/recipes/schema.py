"""Every number of a training, as data; `official` beside it has those of PaddleDetection.

What a number does is said where it is used; here is what it is. Sources are lines of
PaddleDetection 666f597 unless another version is named.
"""

from dataclasses import dataclass, field
from typing import Literal

from picodet.config import ModelConfig

Size = tuple[int, int]  # height, width, pixels
BoxNormalizer = Literal["mean of ranks", "own over ranks"]
Frozen = Literal["nothing", "backbone norms", "backbone"]


@dataclass(frozen=True)
class Batches:
    """How many images go into a step: one step's worth on one GPU, and on how many."""

    per_gpu: int
    gpus: int = 4  # that the official learning rate was chosen for

    @property
    def total(self) -> int:
        """Images of a step."""
        return self.per_gpu * self.gpus


@dataclass(frozen=True)
class Schedule:
    """The learning rate, by iteration (ppdet/optimizer/optimizer.py:34-192)."""

    base_lr: float  # after the warm-up, at the recipe's own total of images a step
    epochs: int  # that are trained
    decay_epochs: int  # after which the cosine would be at its end
    warmup: Literal["linear", "exponential"] = "linear"
    warmup_steps: int = 300  # 0: warmup_epochs counts
    warmup_epochs: int = 0
    warmup_factor: float = 0.1  # of the base rate, at the first step of a linear warm-up
    end_ratio: float = 0.0  # of the base rate, at the cosine's end
    plateau_epochs: int = 0  # at the cosine's end, on that rate
    per: Literal["iteration", "epoch"] = "iteration"  # epoch: what the seeds did


@dataclass(frozen=True)
class OptimizerConfig:
    """Momentum SGD with a coupled L2 decay (ppdet/optimizer/optimizer.py:279-362)."""

    momentum: float = 0.9
    weight_decay: float = 4e-5
    backbone_lr_factor: float = 1.0  # of the rate, for the backbone's parameters


@dataclass(frozen=True)
class EMAConfig:
    """The exponential moving average of everything in a state_dict (ppdet/optimizer/ema.py)."""

    decay: float = 0.9998
    kind: Literal["threshold", "normal", "exponential"] = "threshold"
    start: Literal["zero", "parameters"] = "zero"
    cycle: int | None = None  # applications after which it begins again
    applied: Literal["every epoch", "at snapshots"] = "at snapshots"  # ppdet 2.3; since 2.4


@dataclass(frozen=True)
class Augmentation:
    """What an image goes through, in this order (ppdet/data/transform/operators.py)."""

    sizes: tuple[Size, ...]  # one of them for each batch, with one of five interpolations
    mosaic: bool = False  # four images in one, mixed up; colors by HSV. In place of what follows
    mosaic_epochs: int = 0
    crop: bool = True
    flip: float = 0.5  # how often
    distort: Literal["ppdet-2.6", "ppdet-2.7"] | None = "ppdet-2.6"


@dataclass(frozen=True)
class SimOTA:
    """Assignment of 2021 (ppdet/modeling/assigners/simota_assigner.py)."""

    center_radius: float = 2.5  # strides
    candidates: int = 10  # IoUs that are added up for the number of anchor points of a box
    iou_weight: float = 6.0
    class_weight: float = 1.0


@dataclass(frozen=True)
class TaskAligned:
    """Assignment of 2022: ATSS at first, task-aligned after (ppdet/modeling/assigners)."""

    static_epochs: int = 100  # of ATSS
    static_candidates: int = 9  # of each level
    anchor_size: float = 5.0  # strides
    candidates: int = 13
    alpha: float = 1.0  # exponent of the score
    beta: float = 6.0  # exponent of the IoU


@dataclass(frozen=True)
class LossWeights:
    """Of the terms of the sum."""

    vfl: float
    giou: float  # GIoU
    dfl: float  # distribution focal


@dataclass(frozen=True)
class Recipe:
    """A training from its first step to its last."""

    model: ModelConfig
    backbone_weights: str | None  # URL of the official ImageNet weights that it starts from
    batches: Batches
    schedule: Schedule
    augmentation: Augmentation
    assignment: SimOTA | TaskAligned
    losses: LossWeights
    ema: EMAConfig
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    # ppdet until 2.6.0: mean; from 2.6.1 on, by accident: each rank's own over their number
    box_normalizer: BoxNormalizer = "mean of ranks"
    sync_bn: bool = False  # norm_type of every config is bn
    frozen: Frozen = "nothing"  # keeps its weights; norms keep their statistics too
    snapshot_epochs: int = 10  # between checkpoints and evaluations
