"""A recorded training and ours -> the rungs, from the assignment to the learning rate."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from picodet.alignment.report.formatting import number, short, times
from picodet.alignment.result import Finding, Gap, Rung
from picodet.alignment.tolerance import FLOAT64_BAR, NOISE_MULTIPLE
from picodet.alignment.training.assignment import compare_assignment, findings
from picodet.alignment.training.differences import Bar, Named, compare, excess, scalar
from picodet.alignment.training.ema import compare_traces
from picodet.alignment.training.recording import TERMS, Rates, Run, TrainingRecording
from picodet.alignment.training.steps import Lane, Ours, Outcome, train
from picodet.alignment.training.weight_decay import decay_in
from picodet.converter.names.name_tables import name_table
from picodet.converter.names.rules import NameTable

# what is allowed beside the noise, of each term of the loss
OF_LOSS = {"float32": 1e-5, "float64": FLOAT64_BAR}
OF_SCALE = {"float32": 0.0, "float64": FLOAT64_BAR}
RATE = 1e-12  # between two learning rates
SHOWN = 12  # findings of a rung; the summary counts all
SEEDS = range(3)  # of pictures and weights that differ in their last bits
SINGLE, DOUBLE = Lane(torch.float32), Lane(torch.float64)
GRADIENTS = "gradients"
# rungs of tensors, and the field of a Run and of an Outcome
TENSORS = (
    (GRADIENTS, "gradients"),
    ("batch norms", "statistics"),
    ("parameters", "parameters"),
    ("momentum", "momenta"),
    ("average", "averages"),
)


FIRST = ("gradients", "statistics")  # of the first step


def lanes_of(recording: TrainingRecording) -> tuple[Lane, ...]:
    """First the one that is compared, then those that show the noise.

    In float64 Paddle adds up the map of a batch norm one by one. What the roundings of n additions
    come to is the root of n, in units in the last place: of 35,840 values, at half the height and
    width of the pictures, 189; seen were 190.
    """
    if recording.precision == "float64":
        pictures, _, height, width = recording.images.shape
        units = round((pictures * height * width / 4) ** 0.5)
        return (DOUBLE, *(replace(DOUBLE, seed=seed, units=units) for seed in SEEDS))
    seeded = (replace(SINGLE, seed=seed) for seed in SEEDS)
    return (SINGLE, DOUBLE, replace(SINGLE, threads=2), *seeded)


class Compared(NamedTuple):
    """One run, recorded, and by us: first the one that is compared, then what shows the noise."""

    run: Run
    ours: Outcome
    others: tuple[Outcome, ...]


class Climbed(NamedTuple):
    """A rung, and all of its tensors if it is one of tensors."""

    rung: Rung
    tensors: tuple[Named, ...] = ()


def climb(
    recording: TrainingRecording,
    ours: Ours,
    chosen: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Climbed]:
    """The rungs in their order; the first that differs decides.

    chosen: a part of each scale that is allowed, in place of the noise.
    """
    config = ours.model.config
    table = name_table(config.backbone, config.neck, config.head)
    lanes = lanes_of(recording)
    total = len(recording.runs) * len(lanes)
    compared: list[Compared] = []
    for run in recording.runs:
        outcomes = []
        for lane in lanes:
            outcomes.append(train(ours, recording.images, run, lane))
            progress(len(compared) * len(lanes) + len(outcomes), total)
        compared.append(Compared(run, outcomes[0], tuple(outcomes[1:])))
    bar = Bar(OF_SCALE[recording.precision], NOISE_MULTIPLE)
    of_loss = Bar(OF_LOSS[recording.precision], NOISE_MULTIPLE)
    if chosen is not None:
        bar = of_loss = Bar(chosen, 0.0)
    size = recording.images.shape[2:]
    yield Climbed(_assignment(compared, (size[0], size[1]), bar))
    yield Climbed(_losses(compared, of_loss))
    for name, group in TENSORS:
        extra: list[Named] = []
        diagnoses: dict[str, str] = {}
        if group == "parameters":
            extra = list(_later_losses(compared, of_loss))
            diagnoses = _decays(compared, ours, table)
        if group == "averages":
            extra = list(compare_traces(ours, recording.traces, table))
        found = [*_tensors(compared, group, table, bar), *extra]
        yield Climbed(_rung(name, found, diagnoses), tuple(found))
    yield Climbed(_rates(recording.rates, ours))


def _assignment(compared: Sequence[Compared], size: tuple[int, int], bar: Bar) -> Rung:
    name = "assignment"
    wrong: list[Finding] = []
    cells = undecided = pictures = 0
    gaps: list[Gap] = []
    for run, ours, others in compared:
        if run.taken is not None:
            taken = [other.taken for other in others]
            found = compare_assignment(run.taken, ours.taken, taken, size, bar)
            wrong += findings(run.name, found)
            cells, undecided = cells + found.cells, undecided + found.undecided
            pictures += len(run.boxes.valid)
            gaps += [found.quality] if found.quality is not None else []
    if not pictures:
        return Rung(name, "not compared", "the recording has none")
    text = f"{cells} cells of {pictures} pictures take a box"
    if gaps:
        text += f"; their quality at most {times(max(gaps, key=excess))} times the noise"
    if undecided:
        text += f"; {undecided} cells are not compared, as rounding decides what they take"
    return _with_findings(name, text, wrong)


def _losses(compared: Sequence[Compared], bar: Bar) -> Rung:
    found = [named for one in compared for named in _losses_of(one, 0, bar)]
    worst = max((_relative(named.gap) for named in found), default=0.0)
    rung = _rung("losses", found, {})
    text = f"{len(found)} terms of first steps, relative error at most {short(worst)}"
    return replace(rung, summary=text)


def _later_losses(compared: Sequence[Compared], bar: Bar) -> Iterator[Named]:
    """After the first step they are the parameters' consequence."""
    for one in compared:
        if one.run.parameters is not None:
            for step in range(1, len(one.run.losses)):
                yield from _losses_of(one, step, bar)


def _losses_of(one: Compared, step: int, bar: Bar) -> Iterator[Named]:
    for term in TERMS:
        ours, theirs = one.ours.losses[step][TERMS[term]], one.run.losses[step][term]
        noise = max(abs(other.losses[step][TERMS[term]] - ours) for other in one.others)
        found = scalar(ours, theirs, abs(theirs), noise, bar)
        yield Named(f"{one.run.name}: {term}, step {step}", found)


def _tensors(
    compared: Sequence[Compared], group: str, table: NameTable, bar: Bar
) -> Iterator[Named]:
    for run, ours, others in compared:
        recorded = getattr(run, group)
        if recorded is not None:
            runs = [getattr(other, group) for other in others]
            steps = 1 if group in FIRST else len(run.losses)
            for found in compare(recorded, getattr(ours, group), runs, table, bar, steps):
                yield found._replace(name=f"{run.name}: {found.name}")


def _decays(compared: Sequence[Compared], ours: Ours, table: NameTable) -> dict[str, str]:
    first, momentum = ours.model.state_dict(), ours.recipe.optimizer.momentum
    return {
        f"{run.name}: {name}": f"weight decay: ours is {number(abs(decay), 2)} too "
        f"{'great' if decay > 0 else 'small'}"
        for run, outcome, _ in compared
        for name, decay in decay_in(run, first, outcome.parameters, table, momentum).items()
    }


def _rates(rates: Rates | None, ours: Ours) -> Rung:
    name = "learning rate"
    if rates is None:
        return Rung(name, "not compared", "the recording has none")
    rate = ours.rates(ours.recipe.schedule, rates.steps_per_epoch)
    found = np.array([rate(iteration) for iteration in rates.iterations.tolist()])
    errors = np.abs(found - rates.rates)
    wrong = ~(errors <= RATE)
    shown = [
        Finding(f"iteration {rates.iterations[i]}", f"{found[i]:.15g}", f"{rates.rates[i]:.15g}")
        for i in np.flatnonzero(wrong)[:SHOWN]
    ]
    text = f"{len(found)} iterations, error at most {short(float(errors.max(initial=0)))}"
    if wrong.any():
        text += f"; {int(wrong.sum())} differ"
    return _with_findings(name, text, shown)


def _rung(name: str, found: Sequence[Named], diagnoses: dict[str, str]) -> Rung:
    if not found:
        return Rung(name, "not compared", "the recording has none")
    wrong = [named for named in found if not named.gap.ok]
    wrong.sort(key=lambda named: (named.name not in diagnoses, -excess(named.gap)))
    worst = max((named.gap for named in found), key=excess)
    text = f"{len(found)} compared; at most {times(worst)} times the noise"
    if worst.scale and not worst.problem:
        text += f", which is {short(worst.floor / worst.scale)} of the scale there"
    if len(wrong) > SHOWN:
        text += f"; {len(wrong)} differ, the worst {SHOWN} are shown"
    shown = [
        Finding(
            named.name,
            named.gap.problem or f"{named.gap.ours:.9g}, {times(named.gap)} times the noise",
            f"{named.gap.reference:.9g}",
            diagnoses.get(named.name, ""),
        )
        for named in wrong[:SHOWN]
    ]
    return _with_findings(name, text, shown)


def _with_findings(name: str, text: str, found: Sequence[Finding]) -> Rung:
    return Rung(name, "differs" if found else "aligned", text, tuple(found))


def _relative(found: Gap) -> float:
    return found.error / found.scale if found.scale else found.error
