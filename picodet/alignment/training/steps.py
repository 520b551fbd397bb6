"""Makes a few steps of picodet's training."""

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
    """The recipe's criterion for an epoch, for training in a single process."""
    integral = model.head.integral
    return criterion(recipe.assignment, recipe.losses, integral, lambda own: own, 1, epoch)


def assign_targets(
    recipe: Recipe, model: PicoDet, epoch: int, output: AnyHeadOutput, targets: Targets
) -> Assignment:
    """The assignment that the recipe's criterion makes in an epoch."""
    numbers, integral = recipe.assignment, model.head.integral
    anchors, sides = anchor_points_of(output), flatten_levels(output.reg)
    if isinstance(numbers, SimOTA):
        logits = flatten_levels(output.logits)
        return assign_simota(logits, sides, anchors, targets, numbers, integral)
    scores, static = flatten_levels(output.scores()), epoch < numbers.static_epochs
    return assign_aligned(scores, sides, anchors, targets, numbers, integral, static)


@dataclass(frozen=True)
class TrainingSetup:
    """The parts of a training; fault injection replaces one of them."""

    model: PicoDet
    recipe: Recipe
    criterion: Callable[[Recipe, PicoDet, int], Criterion] = make_criterion
    assign: Callable[[Recipe, PicoDet, int, AnyHeadOutput, Targets], Assignment] = assign_targets
    optimizer: Callable[[PicoDet, OptimizerConfig], MomentumSGD] = optimizer
    ema: Callable[[PicoDet, EMAConfig], ModelEMA] = ModelEMA
    lr_schedule: Callable[[Schedule, int], Callable[[int], float]] = learning_rates


@dataclass(frozen=True)
class RunOutcome:
    """The outcome of a run; tensors by picodet's names."""

    assignment: Assignment  # of the first step
    losses: tuple[Mapping[str, float], ...]  # of each step
    gradients: Mapping[str, Tensor]  # of the first step
    statistics: Mapping[str, Tensor]  # of batch norms after the first forward pass
    parameters: Mapping[str, Tensor]  # the whole state_dict after the last step
    momenta: Mapping[str, Tensor]  # momentum buffers after the last step
    averages: Mapping[str, Tensor]  # ModelEMA.snapshot() after the last step


@dataclass(frozen=True)
class RunOptions:
    """The precision, threads and perturbation of a run."""

    dtype: torch.dtype
    threads: int = 1
    seed: int | None = None  # of the perturbation of images and weights; None for none
    units: int = 1  # greatest perturbation of a value, in units in the last place

    def inputs(self, ours: TrainingSetup, images: np.ndarray) -> tuple[PicoDet, Tensor]:
        """A copy of the model in training mode, and the images [B, 3, H, W], both perturbed."""
        model, tensor = deepcopy(ours.model).to(self.dtype), torch.from_numpy(images)
        tensor = tensor.to(self.dtype)
        if self.seed is not None:
            generator = torch.Generator().manual_seed(self.seed)
            for parameter in model.parameters():
                parameter.data = _in_last_bits(parameter.data, self.units, generator)
            tensor = _in_last_bits(tensor, self.units, generator)
        return model.train(), tensor


def _in_last_bits(values: Tensor, units: int, generator: torch.Generator) -> Tensor:
    """Change each value by up to `units` units in the last place."""
    chosen = torch.randint(-units, units + 1, values.shape, generator=generator)
    return values * (1 + chosen.to(values.dtype) * torch.finfo(values.dtype).eps)


def train(
    ours: TrainingSetup, images: np.ndarray, recorded: TrainingRun, options: RunOptions
) -> RunOutcome:
    """Train a copy of the model on images [B, 3, H, W] for as many steps as were recorded.

    Sets torch's number of threads while it runs. Raises NotFiniteError for a NaN or Inf loss.
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
