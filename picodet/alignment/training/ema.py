"""Recorded traces of ModelEMA against our average of the same weights."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace

import torch

from picodet.alignment.training.differences import Bar, Named, compare
from picodet.alignment.training.recording import Trace
from picodet.alignment.training.steps import Ours
from picodet.converter.names.rules import NameTable
from picodet.training.recipes.schema import EMAConfig

BAR = Bar(of_scale=1e-7, of_noise=1.0)  # the noise of equal float32 arithmetic: one rounding
GROWTH = 0.05  # of the weights, with each update


def compare_traces(ours: Ours, traces: Sequence[Trace], table: NameTable) -> Iterator[Named]:
    """Every moment of every trace, named by both."""
    for trace in traces:
        for found in _compare(ours, trace, table):
            yield found._replace(name=f"trace {trace.name}, {found.name}")


def _compare(ours: Ours, trace: Trace, table: NameTable) -> Iterator[Named]:
    model = deepcopy(ours.model).float()
    average = ours.average(model, _recipe(ours.recipe.ema, trace))
    translated = (table.to_ours(name) for name in trace.moments[0].held)
    names = [found.name for found in translated if found is not None]
    state = model.state_dict()
    first = {name: state[name].numpy().copy() for name in names}
    for i, moment in enumerate(trace.moments):
        for name, weights in first.items():
            grown = (weights * (1 + GROWTH * (i + 1))).astype(weights.dtype)
            state[name].copy_(torch.from_numpy(grown))
        average.update()
        yield from _at(compare(moment.held, average.state_dict()["ema"], (), table, BAR), i)
        if moment.given is not None:
            yield from _at(compare(moment.given, average.snapshot(), (), table, BAR), i)


def _recipe(ema: EMAConfig, trace: Trace) -> EMAConfig:
    if trace.kind is not None:
        ema = replace(ema, kind=trace.kind)
    if trace.cycle is not None:
        ema = replace(ema, cycle=trace.cycle)
    return ema


def _at(compared: Iterator[Named], update: int) -> Iterator[Named]:
    for found in compared:
        yield found._replace(name=f"update {update}: {found.name}")
