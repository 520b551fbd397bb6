"""Checkpoints that PaddleDetection's training saves: a file, the file beside it, or their folder.

Since ppdet 2.4 `NAME.pdparams` holds the averaged weights (EMA) and `NAME.pdema` the raw ones,
against what the suffixes say (ppdet/utils/checkpoint.py:336). `NAME.pdopt` is the optimiser's.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from picodet.converter.configure import FileHints
from picodet.converter.names.recognize import PPDET_PROJECT
from picodet.converter.sources import Origin, StateDictSource
from picodet.errors import CheckpointError
from picodet.formats import pdparams

WeightSet = str  # "ema" or "raw", or what a file of PyTorch calls a set of weights
EMA, RAW = ".pdparams", ".pdema"
SUFFIX_OF_SET = {"ema": EMA, "raw": RAW}
OTHER_SUFFIX = {EMA: RAW, RAW: EMA}
PREFERRED_STEMS = ("model_final", "best_model")  # of several in a folder


def read_checkpoint(path: Path, weight_set: WeightSet | None) -> StateDictSource:
    """A `.pdparams` or `.pdema`; `which` of the two, or the one that was named."""
    if weight_set is not None and weight_set not in SUFFIX_OF_SET:
        raise CheckpointError(
            f"{path}: --weight-set {weight_set}: {' or '.join(SUFFIX_OF_SET)} is expected"
        )
    checkpoint = path if weight_set is None else path.with_suffix(SUFFIX_OF_SET[weight_set])
    if not checkpoint.is_file():
        raise CheckpointError(
            f"{checkpoint}: there is no such file, and --weight-set {weight_set} asks for it: "
            "since ppdet 2.4 "
            f"the averaged weights are saved as {EMA} and the raw ones as {RAW} beside it"
        )
    arrays = pdparams.read(checkpoint)
    other = checkpoint.with_suffix(OTHER_SUFFIX.get(checkpoint.suffix, checkpoint.suffix))
    notes = (
        (_weight_set_note(checkpoint, arrays, other),)
        if other != checkpoint and other.is_file()
        else ()
    )
    hints = FileHints(path.stem)
    return StateDictSource(Origin(checkpoint, "ppdet checkpoint", notes), "ppdet", arrays, hints)


def read_training_folder(folder: Path, weight_set: WeightSet | None) -> StateDictSource:
    """Of a training's folder the final weights, else the best ones, else the only ones."""
    found = sorted(path.stem for path in folder.glob(f"*{EMA}"))
    chosen = next((name for name in PREFERRED_STEMS if name in found), found[0] if found else "")
    if not found or (len(found) > 1 and chosen not in PREFERRED_STEMS):
        raise CheckpointError(
            f"{folder}: one {EMA} is expected, or {' or '.join(PREFERRED_STEMS)}, found "
            f"{', '.join(found) or 'none'}; name the file"
        )
    read = read_checkpoint(folder / f"{chosen}{EMA}", weight_set)
    origin = Origin(read.origin.path, "ppdet training folder", read.origin.notes)
    # a training's folder is called after its config, and its files are not
    return StateDictSource(origin, "ppdet", read.arrays, FileHints(folder.resolve().name))


def _weight_set_note(checkpoint: Path, arrays: Mapping[str, np.ndarray], other: Path) -> str:
    kinds = {EMA: "averaged (EMA)", RAW: "raw"}
    note = (
        f"the {kinds[checkpoint.suffix]} weights were used; the {kinds[other.suffix]} ones are in "
        f"{other.name}: --weight-set {'raw' if other.suffix == RAW else 'ema'} takes them"
    )
    exact = {
        path.suffix: _has_exact_bins(a) for path, a in ((checkpoint, arrays), (other, _read(other)))
    }
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


def _has_exact_bins(arrays: Mapping[str, np.ndarray]) -> bool | None:
    """ppdet's average is too large by what it gets wrong, constants included (optimizer/ema.py)."""
    bins = arrays.get(PPDET_PROJECT)
    return None if bins is None else bool(np.array_equal(bins, np.arange(bins.size)))
