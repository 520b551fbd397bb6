"""Compares a recorded training with picodet's, stage by stage."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from picodet.alignment.report.formatting import format_number, format_short, times_noise
from picodet.alignment.result import Difference, Finding, Stage, worst
from picodet.alignment.tolerance import FLOAT64_TOLERANCE, NOISE_MULTIPLE, Tolerance
from picodet.alignment.training.assignment import compare_assignment, findings
from picodet.alignment.training.differences import (
    NamedDifference,
    compare_scalars,
    compare_tensors,
)
from picodet.alignment.training.ema import compare_traces
from picodet.alignment.training.recording import (
    TERMS,
    LearningRates,
    TrainingRecording,
    TrainingRun,
)
from picodet.alignment.training.steps import RunOptions, RunOutcome, TrainingSetup, train
from picodet.alignment.training.weight_decay import weight_decay_errors
from picodet.converter.names.name_tables import name_table
from picodet.converter.names.rules import NameTable

# least tolerance, as a part of each loss term, whatever the noise
LOSS_TOLERANCE = {"float32": 1e-5, "float64": FLOAT64_TOLERANCE}
SCALE_TOLERANCE = {"float32": 0.0, "float64": FLOAT64_TOLERANCE}
LR_TOLERANCE = 1e-12  # absolute
MAX_FINDINGS = 12  # per stage; the summary counts all
SEEDS = range(3)  # of runs with images and weights that differ in their last bits
FLOAT32_RUN, FLOAT64_RUN = RunOptions(torch.float32), RunOptions(torch.float64)
GRADIENTS = "gradients"
# stages that compare tensors, and their field in TrainingRun and RunOutcome
TENSOR_STAGES = (
    (GRADIENTS, "gradients"),
    ("batch norms", "statistics"),
    ("parameters", "parameters"),
    ("momentum", "momenta"),
    ("EMA", "averages"),
)


FIRST_STEP_GROUPS = ("gradients", "statistics")  # recorded in the first step


def run_options(recording: TrainingRecording) -> tuple[RunOptions, ...]:
    """The options of the run to compare, then those of the runs that show the noise.

    In float64 Paddle sums the map of a batch norm sequentially. The roundings of n additions
    amount to the root of n, in units in the last place: 189 for 35,840 values, at half the height
    and width of the images; 190 were measured.
    """
    if recording.precision == "float64":
        num_images, _, height, width = recording.images.shape
        units = round((num_images * height * width / 4) ** 0.5)
        return (FLOAT64_RUN, *(replace(FLOAT64_RUN, seed=seed, units=units) for seed in SEEDS))
    seeded = (replace(FLOAT32_RUN, seed=seed) for seed in SEEDS)
    return (FLOAT32_RUN, FLOAT64_RUN, replace(FLOAT32_RUN, threads=2), *seeded)


class RunComparison(NamedTuple):
    """A recorded run, picodet's run, and picodet's runs that show the noise."""

    run: TrainingRun
    ours: RunOutcome
    others: tuple[RunOutcome, ...]


class StageResult(NamedTuple):
    """A stage, and the differences of all its tensors if it compares tensors."""

    stage: Stage
    tensors: tuple[NamedDifference, ...] = ()


def compare_stages(
    recording: TrainingRecording,
    ours: TrainingSetup,
    chosen_tolerance: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[StageResult]:
    """Train as recorded, and yield the stages in order; the first that differs has the cause.

    chosen_tolerance: allowed error as a part of each scale, instead of the noise; progress(done,
    total) counts runs. Raises NotFiniteError where a loss of picodet is NaN or Inf.
    """
    config = ours.model.config
    table = name_table(config.backbone, config.neck, config.head)
    variants = run_options(recording)
    total = len(recording.runs) * len(variants)
    compared: list[RunComparison] = []
    for run in recording.runs:
        outcomes = []
        for variant in variants:
            outcomes.append(train(ours, recording.images, run, variant))
            progress(len(compared) * len(variants) + len(outcomes), total)
        compared.append(RunComparison(run, outcomes[0], tuple(outcomes[1:])))
    tolerance = Tolerance(NOISE_MULTIPLE, SCALE_TOLERANCE[recording.precision])
    loss_tolerance = Tolerance(NOISE_MULTIPLE, LOSS_TOLERANCE[recording.precision])
    if chosen_tolerance is not None:
        tolerance = loss_tolerance = Tolerance(scale_factor=chosen_tolerance)
    size = recording.images.shape[2:]
    yield StageResult(_assignment_stage(compared, (size[0], size[1]), tolerance))
    yield StageResult(_loss_stage(compared, loss_tolerance))
    for name, group in TENSOR_STAGES:
        extra: list[NamedDifference] = []
        diagnoses: dict[str, str] = {}
        if group == "parameters":
            extra = list(_later_losses(compared, loss_tolerance))
            diagnoses = _weight_decay_findings(compared, ours, table)
        if group == "averages":
            extra = list(compare_traces(ours, recording.traces, table))
        found = [*_tensors(compared, group, table, tolerance), *extra]
        yield StageResult(_tensor_stage(name, found, diagnoses), tuple(found))
    yield StageResult(_lr_stage(recording.rates, ours))


def _assignment_stage(
    compared: Sequence[RunComparison], size: tuple[int, int], tolerance: Tolerance
) -> Stage:
    name = "assignment"
    differing: list[Finding] = []
    num_anchors = undecided = num_images = 0
    differences: list[Difference] = []
    for run, ours, others in compared:
        if run.assignment is not None:
            assignments = [other.assignment for other in others]
            found = compare_assignment(
                run.assignment, ours.assignment, assignments, size, tolerance
            )
            differing += findings(run.name, found)
            num_anchors, undecided = num_anchors + found.num_anchors, undecided + found.undecided
            num_images += len(run.boxes.valid)
            differences += [found.quality] if found.quality is not None else []
    if not num_images:
        return Stage(name, "not compared", "the recording has none")
    text = f"{num_anchors} positive anchor points in {num_images} images"
    if (quality := worst(differences)) is not None:
        text += f"; their quality differs by at most {times_noise(quality)} times the noise"
    if undecided:
        text += f"; {undecided} anchor points are not compared: rounding decides their assignment"
    return _with_findings(name, text, differing)


def _loss_stage(compared: Sequence[RunComparison], tolerance: Tolerance) -> Stage:
    found = [named for comparison in compared for named in _losses_of(comparison, 0, tolerance)]
    error = max((_relative(named.difference) for named in found), default=0.0)
    stage = _tensor_stage("losses", found, {})
    text = f"{len(found)} loss terms of first steps, relative error at most {format_short(error)}"
    return replace(stage, summary=text)


def _later_losses(
    compared: Sequence[RunComparison], tolerance: Tolerance
) -> Iterator[NamedDifference]:
    """The losses after the first step, which follow from the parameters."""
    for comparison in compared:
        if comparison.run.parameters is not None:
            for step in range(1, len(comparison.run.losses)):
                yield from _losses_of(comparison, step, tolerance)


def _losses_of(
    comparison: RunComparison, step: int, tolerance: Tolerance
) -> Iterator[NamedDifference]:
    for term in TERMS:
        ours, theirs = comparison.ours.losses[step][TERMS[term]], comparison.run.losses[step][term]
        noise = max(abs(other.losses[step][TERMS[term]] - ours) for other in comparison.others)
        found = compare_scalars(ours, theirs, abs(theirs), noise, tolerance)
        yield NamedDifference(f"{comparison.run.name}: {term}, step {step}", found)


def _tensors(
    compared: Sequence[RunComparison], group: str, table: NameTable, tolerance: Tolerance
) -> Iterator[NamedDifference]:
    for run, ours, others in compared:
        recorded = getattr(run, group)
        if recorded is not None:
            runs = [getattr(other, group) for other in others]
            steps = 1 if group in FIRST_STEP_GROUPS else len(run.losses)
            for found in compare_tensors(
                recorded, getattr(ours, group), runs, table, tolerance, steps
            ):
                yield found._replace(name=f"{run.name}: {found.name}")


def _weight_decay_findings(
    compared: Sequence[RunComparison], ours: TrainingSetup, table: NameTable
) -> dict[str, str]:
    first, momentum = ours.model.state_dict(), ours.recipe.optimizer.momentum
    return {
        f"{run.name}: {name}": f"weight decay {format_number(abs(decay), 2)} too "
        f"{'great' if decay > 0 else 'small'}"
        for run, outcome, _ in compared
        for name, decay in weight_decay_errors(
            run, first, outcome.parameters, table, momentum
        ).items()
    }


def _lr_stage(recorded_lrs: LearningRates | None, ours: TrainingSetup) -> Stage:
    name = "learning rate"
    if recorded_lrs is None:
        return Stage(name, "not compared", "the recording has none")
    lr_at = ours.lr_schedule(ours.recipe.schedule, recorded_lrs.steps_per_epoch)
    found = np.array([lr_at(iteration) for iteration in recorded_lrs.iterations.tolist()])
    errors = np.abs(found - recorded_lrs.rates)
    differing = ~(errors <= LR_TOLERANCE)
    findings = [
        Finding(
            f"iteration {recorded_lrs.iterations[i]}",
            f"{found[i]:.15g}",
            f"{recorded_lrs.rates[i]:.15g}",
        )
        for i in np.flatnonzero(differing)[:MAX_FINDINGS]
    ]
    text = f"{len(found)} iterations, error at most {format_short(float(errors.max(initial=0)))}"
    if differing.any():
        text += f"; {int(differing.sum())} differ"
    return _with_findings(name, text, findings)


def _tensor_stage(name: str, found: Sequence[NamedDifference], diagnoses: dict[str, str]) -> Stage:
    greatest = worst(named.difference for named in found)
    if greatest is None:
        return Stage(name, "not compared", "the recording has none")
    differing = [named for named in found if not named.difference.ok]
    differing.sort(
        key=lambda named: (named.name not in diagnoses, -named.difference.error_over_allowed)
    )
    text = f"{len(found)} compared; at most {times_noise(greatest)} times the noise"
    if greatest.scale and not greatest.problem:
        text += f", which is {format_short(greatest.floor / greatest.scale)} of the scale there"
    if len(differing) > MAX_FINDINGS:
        text += f"; {len(differing)} differ, the worst {MAX_FINDINGS} are shown"
    findings = [
        Finding(
            named.name,
            named.difference.problem
            or f"{named.difference.model:.9g}, {times_noise(named.difference)} times the noise",
            f"{named.difference.reference:.9g}",
            diagnoses.get(named.name, ""),
        )
        for named in differing[:MAX_FINDINGS]
    ]
    return _with_findings(name, text, findings)


def _with_findings(name: str, text: str, found: Sequence[Finding]) -> Stage:
    return Stage(name, "differs" if found else "aligned", text, tuple(found))


def _relative(found: Difference) -> float:
    return found.error / found.scale if found.scale else found.error
