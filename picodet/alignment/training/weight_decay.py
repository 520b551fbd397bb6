"""Why parameters differ, where it can be told: the weight decay of ours is another one."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from picodet.alignment.training.recording import Run
from picodet.converter.names.rules import NameTable

EXPLAINED = 0.99  # of the difference, by a multiple of the weights that training began with
FEWEST = 4  # values that such a multiple is told by
AGREEING = 3  # parameters, at least, that tell the same decay: of some it happens to be explained
SAME = 0.05  # of a decay, by which two may differ


def decay_in(
    run: Run,
    first: Mapping[str, Tensor],
    ours: Mapping[str, Tensor],
    table: NameTable,
    momentum: float,
) -> dict[str, float]:
    """By our names: what the decay of ours is greater by. Of parameters that this explains, if
    several agree.

    After K steps a decay d has taken rate * d * sum(1 + m + .. + m^(k-1) for k = 1 .. K) of a
    weight that hardly moves, where m is the momentum.
    """
    steps = np.arange(1, len(run.losses) + 1)
    taken = run.rate * float(((1 - momentum**steps) / (1 - momentum)).sum())
    found = {}
    for theirs, known in (run.parameters or {}).items():
        translated = table.to_ours(theirs)
        if translated is None or translated.name not in ours:
            continue
        name = translated.name
        if known.positions.size < FEWEST or known.positions[-1] >= ours[name].numel():
            continue
        began = first[name].double().ravel()[known.positions].numpy()
        difference = ours[name].double().ravel()[known.positions].numpy() - known.values
        if not difference.any() or not began.any():
            continue
        factor = float(difference @ began / (began @ began))
        rest = difference - factor * began
        if rest @ rest <= (1 - EXPLAINED) * (difference @ difference):
            found[name] = -factor / taken
    decay = float(np.median(list(found.values()) or [0.0]))
    same = {name: d for name, d in found.items() if abs(d - decay) <= SAME * abs(decay)}
    return same if len(same) >= AGREEING else {}
