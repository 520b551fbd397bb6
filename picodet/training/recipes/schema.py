"""Every number of a training, as data; `official` has those of PaddleDetection.

Sources are lines of PaddleDetection 666f597 unless another version is named.
"""

from dataclasses import dataclass, field
from typing import Literal

from picodet.config import ModelConfig

Size = tuple[int, int]  # height, width, pixels
BoxNormalizer = Literal["mean of ranks", "own over ranks"]
Frozen = Literal["nothing", "backbone norms", "backbone"]


@dataclass(frozen=True)
class Batches:
    """Images per step: the batch size of a GPU, and the number of GPUs."""

    per_gpu: int
    gpus: int = 4  # that the official learning rate was chosen for

    @property
    def total(self) -> int:
        """Images per step."""
        return self.per_gpu * self.gpus


@dataclass(frozen=True)
class Schedule:
    """The learning rate, by iteration (ppdet/optimizer/optimizer.py:34-192)."""

    base_lr: float  # after the warm-up, for the recipe's own number of images per step
    epochs: int  # that are trained
    decay_epochs: int  # after which the cosine would be at its end
    warmup: Literal["linear", "exponential"] = "linear"
    warmup_steps: int = 300  # 0: warmup_epochs counts
    warmup_epochs: int = 0
    warmup_factor: float = 0.1  # of base_lr, at the first step of a linear warm-up
    end_ratio: float = 0.0  # of base_lr, at the cosine's end
    plateau_epochs: int = 0  # at the cosine's end, at that learning rate
    per: Literal["iteration", "epoch"] = "iteration"  # epoch: as earlier PyTorch re-trainings


@dataclass(frozen=True)
class OptimizerConfig:
    """Momentum SGD with a coupled L2 decay (ppdet/optimizer/optimizer.py:279-362)."""

    momentum: float = 0.9
    weight_decay: float = 4e-5
    backbone_lr_factor: float = 1.0  # of the learning rate, for the backbone


@dataclass(frozen=True)
class EMAConfig:
    """The exponential moving average of everything in a state_dict (ppdet/optimizer/ema.py)."""

    decay: float = 0.9998
    kind: Literal["threshold", "normal", "exponential"] = "threshold"
    start: Literal["zero", "parameters"] = "zero"
    cycle: int | None = None  # snapshots after which it restarts
    applied: Literal["every epoch", "at snapshots"] = "at snapshots"  # ppdet 2.3; since 2.4


@dataclass(frozen=True)
class Augmentation:
    """Data augmentation, in this order (ppdet/data/transform/operators.py)."""

    sizes: tuple[Size, ...]  # one of them for each batch, with one of five interpolations
    mosaic: bool = False  # with mix-up and HSV jitter, instead of crop and distort
    mosaic_epochs: int = 0
    crop: bool = True
    flip: float = 0.5  # probability
    distort: Literal["ppdet-2.6", "ppdet-2.7"] | None = "ppdet-2.6"


@dataclass(frozen=True)
class SimOTA:
    """SimOTA, the assigner of 2021 (ppdet/modeling/assigners/simota_assigner.py)."""

    center_radius: float = 2.5  # strides
    candidates: int = 10  # greatest IoUs, whose sum is the number of anchor points of a box
    iou_weight: float = 6.0
    class_weight: float = 1.0


@dataclass(frozen=True)
class TaskAligned:
    """Assigners of 2022: ATSS at first, task-aligned after (ppdet/modeling/assigners)."""

    static_epochs: int = 100  # of ATSS
    static_candidates: int = 9  # of each level
    anchor_size: float = 5.0  # strides
    candidates: int = 13
    alpha: float = 1.0  # exponent of the score
    beta: float = 6.0  # exponent of the IoU


@dataclass(frozen=True)
class LossWeights:
    """Factors of the three losses."""

    vfl: float
    giou: float
    dfl: float  # distribution focal


@dataclass(frozen=True)
class Recipe:
    """A training from its first step to its last."""

    model: ModelConfig
    backbone_weights: (
        str | None
    )  # URL: of ImageNet's, or of the detector that a training starts from
    batches: Batches
    schedule: Schedule
    augmentation: Augmentation
    assignment: SimOTA | TaskAligned
    losses: LossWeights
    ema: EMAConfig
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    # ppdet until 2.6.0: mean; since 2.6.1, by mistake: each rank's own over the world size
    box_normalizer: BoxNormalizer = "mean of ranks"
    sync_bn: bool = False  # norm_type of every config is bn
    frozen: Frozen = "nothing"  # weights, and the statistics of norms
    snapshot_epochs: int = 10  # between EMA snapshots and evaluations
