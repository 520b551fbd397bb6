"""Checkpoints that PaddleDetection's training saves: a file, the file beside it, or their folder.

Since ppdet 2.4 `NAME.pdparams` holds the averaged weights (EMA) and `NAME.pdema` the raw ones,
against what the suffixes say (ppdet/utils/checkpoint.py:336). `NAME.pdopt` is the optimiser's.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from picodet.converter.configure import Said
from picodet.converter.names.recognize import PROJECT
from picodet.converter.sources import NamedTensors, Origin
from picodet.errors import CheckpointError
from picodet.formats import pdparams

Which = str  # "ema" or "raw", or what a file of PyTorch calls a set of weights
EMA, RAW = ".pdparams", ".pdema"
SETS = {"ema": EMA, "raw": RAW}
OTHER = {EMA: RAW, RAW: EMA}
FIRST = ("model_final", "best_model")  # of several in a folder


def read_checkpoint(path: Path, which: Which | None) -> NamedTensors:
    """A `.pdparams` or `.pdema`; `which` of the two, or the one that was named."""
    if which is not None and which not in SETS:
        raise CheckpointError(f"{path}: --weights {which}: {' or '.join(SETS)} is expected")
    asked = path if which is None else path.with_suffix(SETS[which])
    if not asked.is_file():
        raise CheckpointError(
            f"{asked}: there is no such file, and --weights {which} asks for it: since ppdet 2.4 "
            f"the averaged weights are saved as {EMA} and the raw ones as {RAW} beside it"
        )
    arrays = pdparams.read(asked)
    other = asked.with_suffix(OTHER.get(asked.suffix, asked.suffix))
    notes = (_which_of_two(asked, arrays, other),) if other != asked and other.is_file() else ()
    said = Said(path.stem)
    return NamedTensors(Origin(asked, "ppdet checkpoint", notes), "ppdet", arrays, said)


def read_training_folder(folder: Path, which: Which | None) -> NamedTensors:
    """Of a training's folder the final weights, else the best ones, else the only ones."""
    found = sorted(path.stem for path in folder.glob(f"*{EMA}"))
    chosen = next((name for name in FIRST if name in found), found[0] if found else "")
    if not found or (len(found) > 1 and chosen not in FIRST):
        raise CheckpointError(
            f"{folder}: one {EMA} is expected, or {' or '.join(FIRST)}, found "
            f"{', '.join(found) or 'none'}; name the file"
        )
    read = read_checkpoint(folder / f"{chosen}{EMA}", which)
    origin = Origin(read.origin.path, "ppdet training folder", read.origin.notes)
    # a training's folder is called after its config, and its files are not
    return NamedTensors(origin, "ppdet", read.arrays, Said(folder.resolve().name))


def _which_of_two(asked: Path, arrays: Mapping[str, np.ndarray], other: Path) -> str:
    kinds = {EMA: "averaged (EMA)", RAW: "raw"}
    note = (
        f"the {kinds[asked.suffix]} weights were used; the {kinds[other.suffix]} ones are in "
        f"{other.name}: --weights {'raw' if other.suffix == RAW else 'ema'} takes them"
    )
    exact = {path.suffix: _exact_bins(a) for path, a in ((asked, arrays), (other, _read(other)))}
    if exact == {EMA: True, RAW: False}:
        note += (
            f". The two may be exchanged: the bins' values in {RAW} are averaged, those in {EMA} "
            "are not"
        )
    return note


def _read(path: Path) -> Mapping[str, np.ndarray]:
    try:
        return pdparams.read(path)
    except CheckpointError:  # nobody asked for it
        return {}


def _exact_bins(arrays: Mapping[str, np.ndarray]) -> bool | None:
    """ppdet's average is too large by what it gets wrong, constants included (optimizer/ema.py)."""
    bins = arrays.get(PROJECT)
    return None if bins is None else bool(np.array_equal(bins, np.arange(bins.size)))
