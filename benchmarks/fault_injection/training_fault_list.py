"""The faults that training_faults.py plants in a right training, one at a time."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from torch import nn

from benchmarks.fault_injection import wrong_training as wrong
from picodet.alignment.training.steps import TrainingSetup
from picodet.models.csp_pan import CSPPAN
from picodet.models.esnet import ESNet
from picodet.models.layers import PADDLE_MOMENTUM
from picodet.models.lc_pan import LCPAN
from picodet.models.pico_head_v2 import Alignment

SIMOTA, ATSS, ALIGNED = "SimOTA", "ATSS", "task-aligned"
GENERATION = {SIMOTA: "training_2021", ATSS: "training_2022", ALIGNED: "training_2022"}


@dataclass(frozen=True)
class TrainingFault:
    """One mistake, and where a comparison must find it."""

    name: str
    stage: str  # the first that differs
    run: str  # a recorded run that shows it
    edit: wrong.Edit = lambda ours: ours
    patches: Mapping[str, Any] = field(default_factory=dict)  # names below picodet: substitutes

    @contextmanager
    def planted(self, right: TrainingSetup) -> Iterator[TrainingSetup]:
        """The training with the fault; patches picodet's functions until the block ends."""
        with ExitStack() as stack:
            for target, substitute in self.patches.items():
                stack.enter_context(patch(f"picodet.{target}", substitute))
            yield self.edit(right)


def recipe_fault(name: str, stage: str, run: str, part: str, **changes: Any) -> TrainingFault:
    """A fault in a field of the recipe."""
    return TrainingFault(name, stage, run, wrong.recipe(part, **changes))


def code_fault(name: str, stage: str, run: str, **substitutes: Any) -> TrainingFault:
    """A fault in a function of picodet.training, by its path: assigners__simota__best."""
    patches = {f"training.{k.replace('__', '.')}": v for k, v in substitutes.items()}
    return TrainingFault(name, stage, run, patches=patches)


ASSIGNMENT = (
    recipe_fault("center radius 2.0", "assignment", SIMOTA, "assignment", center_radius=2.0),
    recipe_fault("IoUs of 13 candidates", "assignment", SIMOTA, "assignment", candidates=13),
    recipe_fault("IoU weight 3", "assignment", SIMOTA, "assignment", iou_weight=3.0),
    recipe_fault("class weight 2", "assignment", SIMOTA, "assignment", class_weight=2.0),
    code_fault(
        "first of several boxes",
        "assignment",
        ALIGNED,
        assigners__task_aligned__resolve_conflicts=wrong.first_box_wins,
    ),
    recipe_fault("8 candidates of a level", "assignment", ATSS, "assignment", static_candidates=8),
    recipe_fault("squares of 4 strides", "assignment", ATSS, "assignment", anchor_size=4.0),
    code_fault(
        "biased deviation", "assignment", ATSS, assigners__atss__Tensor__std=wrong.biased_std
    ),
    recipe_fault("beta 3", "assignment", ALIGNED, "assignment", beta=3.0),
    recipe_fault("9 candidates", "assignment", ALIGNED, "assignment", candidates=9),
    recipe_fault("ATSS to the end", "assignment", ALIGNED, "assignment", static_epochs=300),
)
LOSSES = (
    TrainingFault(
        "boxes divided by all positives", "losses", SIMOTA, wrong.normalized_by(wrong.thirty)
    ),
    code_fault(
        "classes divided by summed weights",
        "losses",
        SIMOTA,
        criterion___num_positives=wrong.summed_weights,
    ),
    code_fault("IoU for GIoU", "losses", SIMOTA, positives__giou_loss=wrong.iou_loss),
    code_fault("1e-6 added to areas", "losses", SIMOTA, losses__LEAST_AREA=1e-6),
    code_fault("distances up to the last bin", "losses", SIMOTA, losses__BELOW_LAST=1e-4),
    recipe_fault("DFL weight 0.5", "losses", SIMOTA, "losses", dfl=0.5),
    recipe_fault("box weight 2.0", "losses", ALIGNED, "losses", giou=2.0),
    TrainingFault(
        "2022: divided by a mean", "losses", ALIGNED, wrong.normalized_by(lambda own: own / 2)
    ),
    code_fault("alpha 0.25", "losses", ATSS, losses__ALPHA=0.25),
)
GRADIENTS = (
    code_fault(
        "weight of classes detached",
        "gradients",
        SIMOTA,
        criterion__varifocal_of_background=wrong.detached,
    ),
    code_fault(
        "2022: weight of classes detached",
        "gradients",
        ALIGNED,
        criterion__varifocal_of_background_scores=wrong.detached_scores,
    ),
)
BATCH_NORMS = (
    TrainingFault(
        "unbiased running variance",
        "batch norms",
        SIMOTA,
        patches={"models.layers.BatchNorm2d.forward": nn.BatchNorm2d.forward},
    ),
    TrainingFault(
        "running statistics keep a tenth",
        "batch norms",
        ATSS,
        patches={"models.layers.PADDLE_MOMENTUM": 1 - PADDLE_MOMENTUM},
    ),
)
STEPS = (
    code_fault(
        "norms of the backbone decay",
        "parameters",
        SIMOTA,
        optimizer__DECAY_RULES=wrong.decays(ESNet, norms=True),
    ),
    code_fault(
        "norms of the neck do not decay",
        "parameters",
        SIMOTA,
        optimizer__DECAY_RULES=wrong.decays(CSPPAN, norms=False),
    ),
    code_fault(
        "norms of the alignment do not decay",
        "parameters",
        ATSS,
        optimizer__DECAY_RULES=wrong.decays(Alignment, norms=False),
    ),
    code_fault(
        "2022: norms of the neck do not decay",
        "parameters",
        ALIGNED,
        optimizer__DECAY_RULES=wrong.decays(LCPAN, norms=False),
    ),
    TrainingFault("Nesterov", "parameters", SIMOTA, wrong.sgd(nesterov=True)),
    TrainingFault("dampening 0.1", "parameters", SIMOTA, wrong.sgd(dampening=0.1)),
    TrainingFault("biases at twice the learning rate", "parameters", SIMOTA, wrong.fast_biases),
    recipe_fault("momentum 0.95", "parameters", SIMOTA, "optimizer", momentum=0.95),
    recipe_fault("decay 5e-4", "parameters", ALIGNED, "optimizer", weight_decay=5e-4),
)
EMA = (
    recipe_fault("EMA from parameters", "EMA", SIMOTA, "ema", start="parameters"),
    recipe_fault("decay the same from the start", "EMA", SIMOTA, "ema", kind="normal"),
    recipe_fault("exponential decay", "EMA", ALIGNED, "ema", kind="exponential"),
    TrainingFault("EMA not corrected", "EMA", SIMOTA, wrong.with_ema(wrong.Uncorrected)),
    TrainingFault("statistics not in the EMA", "EMA", ALIGNED, wrong.with_ema(wrong.OfParameters)),
)
LEARNING_RATES = (
    recipe_fault("cosine by epochs", "learning rate", SIMOTA, "schedule", per="epoch"),
    recipe_fault("warm-up from 0", "learning rate", SIMOTA, "schedule", warmup_factor=0.0),
    recipe_fault("warm-up of 500 steps", "learning rate", ATSS, "schedule", warmup_steps=500),
    recipe_fault("cosine to 250 epochs", "learning rate", ALIGNED, "schedule", decay_epochs=250),
)
FAULTS: tuple[TrainingFault, ...] = (
    *ASSIGNMENT,
    *LOSSES,
    *GRADIENTS,
    *BATCH_NORMS,
    *STEPS,
    *EMA,
    *LEARNING_RATES,
)
