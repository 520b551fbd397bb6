"""Our own training: what takes part in it, and a few steps of it."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.training.recording import TrainingRun
from picodet.distributed import SingleProcess
from picodet.models.head import AnyHeadOutput
from picodet.models.picodet import PicoDet
from picodet.training.assigners.assignment import Assignment
from picodet.training.criterion import Criterion, assign_aligned, assign_simota, criterion
from picodet.training.data.batch import Batch, Targets
from picodet.training.ema import ModelEMA
from picodet.training.losses import Losses
from picodet.training.optimizer import MomentumSGD, optimizer
from picodet.training.positives import anchor_points_of, flatten_levels
from picodet.training.recipes.lr_schedule import learning_rates
from picodet.training.recipes.schema import EMAConfig, OptimizerConfig, Recipe, Schedule, SimOTA
from picodet.training.step import Stepper

STATISTICS = ("running_mean", "running_var")


def make_criterion(recipe: Recipe, model: PicoDet, epoch: int) -> Criterion:
    """Of one process alone."""
    integral = model.head.integral
    return criterion(recipe.assignment, recipe.losses, integral, lambda own: own, 1, epoch)


def assign_targets(
    recipe: Recipe, model: PicoDet, epoch: int, output: AnyHeadOutput, targets: Targets
) -> Assignment:
    """What the criterion of that epoch assigns."""
    numbers, integral = recipe.assignment, model.head.integral
    anchors, sides = anchor_points_of(output), flatten_levels(output.reg)
    if isinstance(numbers, SimOTA):
        logits = flatten_levels(output.logits)
        return assign_simota(logits, sides, anchors, targets, numbers, integral)
    scores, static = flatten_levels(output.scores()), epoch < numbers.static_epochs
    return assign_aligned(scores, sides, anchors, targets, numbers, integral, static)


@dataclass(frozen=True)
class TrainingSetup:
    """A training in pieces; each may be another one, which is how faults are planted."""

    model: PicoDet
    recipe: Recipe
    criterion: Callable[[Recipe, PicoDet, int], Criterion] = make_criterion
    assign: Callable[[Recipe, PicoDet, int, AnyHeadOutput, Targets], Assignment] = assign_targets
    optimizer: Callable[[PicoDet, OptimizerConfig], MomentumSGD] = optimizer
    ema: Callable[[PicoDet, EMAConfig], ModelEMA] = ModelEMA
    lr_schedule: Callable[[Schedule, int], Callable[[int], float]] = learning_rates


@dataclass(frozen=True)
class RunOutcome:
    """What became of a run; tensors by our names."""

    assignment: Assignment
    losses: tuple[Mapping[str, float], ...]  # of each step
    gradients: Mapping[str, Tensor]  # of the first step
    statistics: Mapping[str, Tensor]  # of batch norms after the first pass
    parameters: Mapping[str, Tensor]  # after the last step, and everything else in a state_dict
    momenta: Mapping[str, Tensor]
    averages: Mapping[str, Tensor]


@dataclass(frozen=True)
class RunOptions:
    """How a run is made."""

    dtype: torch.dtype
    threads: int = 1
    seed: int | None = None  # of the last bits in which pictures and weights are others
    units: int = 1  # in the last place, by which each may be

    def inputs(self, ours: TrainingSetup, images: np.ndarray) -> tuple[PicoDet, Tensor]:
        """A copy of the model, and the pictures [B, 3, H, W]."""
        model, tensor = deepcopy(ours.model).to(self.dtype), torch.from_numpy(images)
        tensor = tensor.to(self.dtype)
        if self.seed is not None:
            generator = torch.Generator().manual_seed(self.seed)
            for parameter in model.parameters():
                parameter.data = _in_last_bits(parameter.data, self.units, generator)
            tensor = _in_last_bits(tensor, self.units, generator)
        return model.train(), tensor


def _in_last_bits(values: Tensor, units: int, generator: torch.Generator) -> Tensor:
    """Each greater or smaller by up to so many units in the last place."""
    chosen = torch.randint(-units, units + 1, values.shape, generator=generator)
    return values * (1 + chosen.to(values.dtype) * torch.finfo(values.dtype).eps)


def train(
    ours: TrainingSetup, images: np.ndarray, recorded: TrainingRun, options: RunOptions
) -> RunOutcome:
    """As many steps as were recorded, with a copy of the model.

    Raises NotFiniteError where the losses are none.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        return _train(ours, *options.inputs(ours, images), recorded)
    finally:
        torch.set_num_threads(before)


def _train(
    ours: TrainingSetup, model: PicoDet, images: Tensor, recorded: TrainingRun
) -> RunOutcome:
    ground_truth = [torch.from_numpy(array) for array in recorded.boxes]
    targets = Targets(ground_truth[0].to(images.dtype), ground_truth[1], ground_truth[2])
    batch = Batch(images, targets, tuple(range(len(images))))
    assignments: list[Assignment] = []
    criterion = ours.criterion(ours.recipe, model, recorded.epoch)

    def watching_criterion(output: AnyHeadOutput, targets: Targets) -> Losses:
        if not assignments:
            assignments.append(ours.assign(ours.recipe, model, recorded.epoch, output, targets))
        return criterion(output, targets)

    sgd = ours.optimizer(model, ours.recipe.optimizer)
    ema = ours.ema(model, ours.recipe.ema)
    stepper = Stepper(model, sgd, ema, SingleProcess())
    losses = [stepper([batch], watching_criterion, 0, recorded.lr).losses]
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    statistics = {name: b.clone() for name, b in model.named_buffers() if name.endswith(STATISTICS)}
    for step in range(1, len(recorded.losses)):
        losses.append(stepper([batch], watching_criterion, step, recorded.lr).losses)
    return RunOutcome(
        assignment=assignments[0],
        losses=tuple(losses),
        gradients=gradients,
        statistics=statistics,
        parameters=model.state_dict(),
        momenta=sgd.momentum_buffers(),
        averages=ema.snapshot(),
    )
