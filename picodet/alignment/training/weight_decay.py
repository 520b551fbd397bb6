"""Diagnoses differences of parameters: another weight decay."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from picodet.alignment.training.recording import TrainingRun
from picodet.converter.names.rules import NameTable

MIN_EXPLAINED = 0.99  # part of the squared difference that a multiple of the initial weights fits
MIN_VALUES = 4  # values needed to fit that multiple
MIN_AGREEING = 3  # parameters that have to yield the same decay: some fit one by chance
DECAY_RTOL = 0.05  # relative difference of decays that counts as the same


def weight_decay_errors(
    run: TrainingRun,
    first: Mapping[str, Tensor],
    ours: Mapping[str, Tensor],
    table: NameTable,
    momentum: float,
) -> dict[str, float]:
    """How much too great picodet's weight decay is, by picodet's names of parameters.

    Holds the parameters that this explains, if several agree; otherwise empty. first and ours:
    picodet's state_dict before and after the run. After K steps a decay d has taken
    lr * d * sum(1 + m + .. + m^(k-1) for k = 1 .. K) of a weight that hardly moves, where m is
    the momentum.
    """
    steps = np.arange(1, len(run.losses) + 1)
    decay_scale = run.lr * float(((1 - momentum**steps) / (1 - momentum)).sum())
    found = {}
    for theirs, digest in (run.parameters or {}).items():
        translated = table.to_ours(theirs)
        if translated is None or translated.name not in ours:
            continue
        name = translated.name
        if digest.positions.size < MIN_VALUES or digest.positions[-1] >= ours[name].numel():
            continue
        initial = first[name].double().ravel()[digest.positions].numpy()
        difference = ours[name].double().ravel()[digest.positions].numpy() - digest.values
        if not difference.any() or not initial.any():
            continue
        factor = float(difference @ initial / (initial @ initial))
        rest = difference - factor * initial
        if rest @ rest <= (1 - MIN_EXPLAINED) * (difference @ difference):
            found[name] = -factor / decay_scale
    decay = float(np.median(list(found.values()) or [0.0]))
    agreeing = {name: d for name, d in found.items() if abs(d - decay) <= DECAY_RTOL * abs(decay)}
    return agreeing if len(agreeing) >= MIN_AGREEING else {}
