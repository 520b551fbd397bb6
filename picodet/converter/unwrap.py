"""Finds a model's own tensors where ppdet saved something around it.

Layers around the whole model put a prefix before all names; a distillation saves a student and a
teacher; quantization wraps single layers, and saves scales beside their weights.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from picodet.errors import CheckpointError

Arrays = Mapping[str, np.ndarray]

DISTILLED = ("student", "teacher")
PREFIXES = ("_layers.", "module.", "model.")  # DataParallel's, and others
# Names of paddle/quantization and paddle/nn/quant in paddlepaddle 3.3.1. Weights stay floats while
# scales are trained or observed ..
QUANTIZED_LAYER = re.compile(r"\.(_layer|_observed)(?=\.)")
SCALE = re.compile(
    r".+\.(weight_quanter|activation_quanter|_observer|_fake_quant_\w+|_ma_output_scale)\..+"
)
# .. but PTQ.convert stores integers, of which only the multiplication is left
MULTIPLIER = re.compile(r"(?P<layer>.+)\.weight_quanter\._dequanter\._scales")


class Unwrapped(NamedTuple):
    """The tensors of one model by ppdet's names."""

    arrays: Arrays
    notes: tuple[str, ...]
    left_out: tuple[str, ...]  # names of tensors that are not the model's


def unwrap(path: Path, arrays: Arrays, weight_set: str | None = None) -> Unwrapped:
    """The tensors of the model, or of the one of DISTILLED that `weight_set` selects.

    Raises CheckpointError where there is no such set, and for weights that are integers.
    """
    arrays, notes = _without_prefix(arrays)
    sets = {name: [n for n in arrays if n.startswith(f"{name}.")] for name in DISTILLED}
    found = [name for name in DISTILLED if sets[name]]
    if weight_set in DISTILLED and weight_set not in found:
        raise CheckpointError(
            f"{path}: --weight-set {weight_set}: no tensor's name begins with {weight_set}.; "
            "leave the option out"
        )
    left_out: tuple[str, ...] = ()
    if found:
        chosen = weight_set if weight_set in DISTILLED else found[0]
        left_out = tuple(name for name in arrays if not name.startswith(f"{chosen}."))
        others = "".join(f"; --weight-set {s} selects the other" for s in found if s != chosen)
        notes += (f"the weights of the {chosen} were used{others}",)
        arrays = {name.removeprefix(f"{chosen}."): arrays[name] for name in sets[chosen]}
        arrays, more_notes = _without_prefix(arrays)
        notes += more_notes
    scales = tuple(name for name in arrays if SCALE.fullmatch(name))
    _check_floats(path, scales)
    weights = [name for name in arrays if not SCALE.fullmatch(name)]
    plain = {QUANTIZED_LAYER.sub("", name): arrays[name] for name in weights}
    if len(plain) < len(weights):
        raise CheckpointError(
            f"{path}: the same tensors with and without the names of a quantization "
            "(_layer, _observed); expected one of them"
        )
    return Unwrapped(plain, notes, left_out + scales)


def _without_prefix(arrays: Arrays) -> tuple[Arrays, tuple[str, ...]]:
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in arrays):
            removed = {name.removeprefix(prefix): array for name, array in arrays.items()}
            return removed, (f"the names of all tensors begin with {prefix}, which was removed",)
    return arrays, ()


def _check_floats(path: Path, scales: tuple[str, ...]) -> None:
    for found in filter(None, map(MULTIPLIER.fullmatch, scales)):
        if f"{found['layer']}.weight_quanter._quanter._scales" not in scales:
            raise CheckpointError(
                f"{path}: {found['layer']}.weight holds integers, which {found[0]} multiplies; "
                "expected the checkpoint before PTQ.convert, or before PaddleSlim converted it, "
                "whose weights are floats"
            )
