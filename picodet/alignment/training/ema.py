"""Compares recorded traces of ppdet's ModelEMA with picodet's EMA of the same weights."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace

import torch

from picodet.alignment.tolerance import Tolerance
from picodet.alignment.training.differences import NamedDifference, compare_tensors
from picodet.alignment.training.recording import EMATrace
from picodet.alignment.training.steps import TrainingSetup
from picodet.converter.names.rules import NameTable
from picodet.training.recipes.schema import EMAConfig

EMA_TOLERANCE = Tolerance(scale_factor=1e-7, noise_factor=1.0)  # one rounding in float32
WEIGHT_GROWTH = 0.05  # part of the initial weights that each update adds


def compare_traces(
    ours: TrainingSetup, traces: Sequence[EMATrace], table: NameTable
) -> Iterator[NamedDifference]:
    """Differences of every tensor after every update of every trace, named by trace and update."""
    for trace in traces:
        for found in _compare(ours, trace, table):
            yield found._replace(name=f"trace {trace.name}, {found.name}")


def _compare(ours: TrainingSetup, trace: EMATrace, table: NameTable) -> Iterator[NamedDifference]:
    model = deepcopy(ours.model).float()
    ema = ours.ema(model, _ema_config(ours.recipe.ema, trace))
    translated = (table.to_ours(name) for name in trace.updates[0].raw)
    names = [found.name for found in translated if found is not None]
    state = model.state_dict()
    first = {name: state[name].numpy().copy() for name in names}
    for i, update in enumerate(trace.updates):
        for name, weights in first.items():
            scaled = (weights * (1 + WEIGHT_GROWTH * (i + 1))).astype(weights.dtype)
            state[name].copy_(torch.from_numpy(scaled))
        ema.update()
        yield from _name_by_update(
            compare_tensors(update.raw, ema.state_dict()["ema"], (), table, EMA_TOLERANCE), i
        )
        if update.snapshot is not None:
            yield from _name_by_update(
                compare_tensors(update.snapshot, ema.snapshot(), (), table, EMA_TOLERANCE), i
            )


def _ema_config(ema: EMAConfig, trace: EMATrace) -> EMAConfig:
    if trace.kind is not None:
        ema = replace(ema, kind=trace.kind)
    if trace.cycle is not None:
        ema = replace(ema, cycle=trace.cycle)
    return ema


def _name_by_update(
    differences: Iterator[NamedDifference], update: int
) -> Iterator[NamedDifference]:
    for found in differences:
        yield found._replace(name=f"update {update}: {found.name}")
