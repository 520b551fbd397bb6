"""Wrong parts of a training, for training_faults.py."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from picodet.alignment.training.steps import TrainingSetup
from picodet.models.picodet import PicoDet
from picodet.ops.boxes import intersection_and_union
from picodet.training import losses, optimizer
from picodet.training.assigners.assignment import NONE, Assignment, FlatTargets
from picodet.training.criterion import Criterion, Normalizer, criterion
from picodet.training.data.batch import Targets
from picodet.training.ema import ModelEMA
from picodet.training.optimizer import DecayRule, MomentumSGD
from picodet.training.recipes.schema import EMAConfig, OptimizerConfig, Recipe

Edit = Callable[[TrainingSetup], TrainingSetup]


def recipe(part: str, **changes: Any) -> Edit:
    """Change fields of a part of the recipe."""

    def edit(ours: TrainingSetup) -> TrainingSetup:
        changed = replace(getattr(ours.recipe, part), **changes)
        return replace(ours, recipe=replace(ours.recipe, **{part: changed}))

    return edit


def normalized_by(normalizer: Normalizer) -> Edit:
    """Use another normalizer of the losses."""

    def make_criterion(numbers: Recipe, model: PicoDet, epoch: int) -> Criterion:
        integral = model.head.integral
        return criterion(numbers.assignment, numbers.losses, integral, normalizer, 1, epoch)

    return lambda ours: replace(ours, criterion=make_criterion)


def sgd(**changes: Any) -> Edit:
    """Change settings of torch's optimizer."""

    def make(model: PicoDet, numbers: OptimizerConfig) -> MomentumSGD:
        made = optimizer.optimizer(model, numbers)
        for group in made.sgd.param_groups:
            group.update(changes)
        return made

    return lambda ours: replace(ours, optimizer=make)


def fast_biases(ours: TrainingSetup) -> TrainingSetup:
    """Train biases with twice the learning rate, as Caffe did."""

    def make(model: PicoDet, numbers: OptimizerConfig) -> MomentumSGD:
        made = optimizer.optimizer(model, numbers)
        for group in list(made.sgd.param_groups):
            names = group["param_names"]
            own = [name.endswith("bias") for name in names]
            parameters = group["params"]
            group["params"] = [p for p, bias in zip(parameters, own, strict=True) if not bias]
            group["param_names"] = [n for n, bias in zip(names, own, strict=True) if not bias]
            rest = [(n, p) for n, p, bias in zip(names, parameters, own, strict=True) if bias]
            if rest:
                made.sgd.add_param_group({**group, "params": rest, "factor": 2.0})
        return made

    return replace(ours, optimizer=make)


def decays(part: type[nn.Module], **changes: bool) -> Mapping[type[nn.Module], DecayRule]:
    """The table of decay rules with one changed entry."""
    return {**optimizer.DECAY_RULES, part: optimizer.DECAY_RULES[part]._replace(**changes)}


class Uncorrected(ModelEMA):
    """An EMA that starts from zero, without bias correction."""

    def snapshot(self) -> dict[str, Tensor]:
        return self.state_dict()["ema"]


class OfParameters(ModelEMA):
    """An EMA of parameters only; the statistics of batch norms are the model's."""

    def snapshot(self) -> dict[str, Tensor]:
        ema_weights, own = super().snapshot(), self.model.state_dict()
        return {k: own[k].clone() if "running" in k else v for k, v in ema_weights.items()}


def with_ema(kind: Callable[[PicoDet, EMAConfig], ModelEMA]) -> Edit:
    """Use another EMA."""
    return lambda ours: replace(ours, ema=kind)


def detached(logits: Tensor) -> Tensor:
    """varifocal_of_background with a weight that has no gradient."""
    weight = losses.ALPHA * logits.detach().sigmoid().square()
    return weight * -F.logsigmoid(-logits)


def detached_scores(scores: Tensor) -> Tensor:
    """varifocal_of_background_scores with a weight that has no gradient."""
    zero = scores.new_zeros(()).expand_as(scores)
    weight = losses.ALPHA * scores.detach().square()
    return weight * F.binary_cross_entropy(scores, zero, reduction="none")


def thirty(own: Tensor) -> Tensor:
    """A normalizer of 30, a count instead of the sum of weights."""
    return torch.full_like(own, 30)


def summed_weights(assigned: Assignment, _: Targets) -> Tensor:
    """The sum of the weights of positives instead of their number."""
    return assigned.quality.sum().clamp(min=1)


def iou_loss(predicted: Tensor, boxes: Tensor) -> Tensor:
    """IoU loss instead of GIoU loss, without the enclosing box."""
    intersection, union = intersection_and_union(predicted, boxes)
    return 1 - intersection / union


def first_box_wins(chosen: Tensor, _: Tensor, flat: FlatTargets) -> Tensor:
    """Assign an anchor point that several boxes chose to the first of them."""
    box = torch.full((len(flat.rows), chosen.shape[1]), NONE)
    for place in reversed(range(len(chosen))):
        box[flat.image[place], chosen[place]] = flat.gt_index[place]
    return box


def biased_std(values: Tensor, dim: int, keepdim: bool) -> Tensor:
    """The standard deviation divided by n instead of n - 1."""
    return values.var(dim=dim, keepdim=keepdim, correction=0).sqrt()
