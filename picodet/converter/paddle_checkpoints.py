"""Reads checkpoints of PaddleDetection's training: a `.pdparams`, a `.pdema`, or their folder.

Since ppdet 2.4 `NAME.pdparams` holds the EMA weights and `NAME.pdema` the raw ones, contrary to
the suffixes (ppdet/utils/checkpoint.py:336). `NAME.pdopt` is the optimizer's state.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from picodet.converter.configure import FileHints
from picodet.converter.names.recognize import PPDET_PROJECT
from picodet.converter.sources import Origin, StateDictSource
from picodet.converter.unwrap import DISTILLED, unwrap
from picodet.errors import CheckpointError
from picodet.formats import pdparams

WeightSet = str  # "ema", "raw", one of DISTILLED, or the key of a set of weights in a PyTorch file
EMA, RAW = ".pdparams", ".pdema"
SUFFIX_OF_SET = {"ema": EMA, "raw": RAW}
OTHER_SUFFIX = {EMA: RAW, RAW: EMA}
PREFERRED_STEMS = ("model_final", "best_model")  # if a folder has several


def read_checkpoint(path: Path, weight_set: WeightSet | None) -> StateDictSource:
    """Read a `.pdparams` or `.pdema`: the one that `weight_set` selects, or `path` itself.

    Raises CheckpointError where there is no such file or set, or the file cannot be read.
    """
    if weight_set is not None and weight_set not in (*SUFFIX_OF_SET, *DISTILLED):
        sets = ", ".join((*SUFFIX_OF_SET, *DISTILLED))
        raise CheckpointError(f"{path}: --weight-set {weight_set}; expected one of {sets}")
    suffix = SUFFIX_OF_SET.get(weight_set or "")
    checkpoint = path if suffix is None else path.with_suffix(suffix)
    if not checkpoint.is_file():
        raise CheckpointError(
            f"{checkpoint}: file not found; --weight-set {weight_set} needs it: since ppdet 2.4 "
            f"the EMA weights are saved as {EMA} and the raw ones as {RAW} beside it"
        )
    file = pdparams.read_file(checkpoint)
    arrays, name_notes, left_out = unwrap(checkpoint, file.arrays, weight_set)
    other = checkpoint.with_suffix(OTHER_SUFFIX.get(checkpoint.suffix, checkpoint.suffix))
    notes = (
        (_weight_set_note(checkpoint, arrays, other),)
        if other != checkpoint and other.is_file()
        else ()
    ) + name_notes
    hints = FileHints(path.stem)
    origin = Origin(checkpoint, "ppdet checkpoint", notes)
    return StateDictSource(origin, "ppdet", arrays, hints, dropped=(*file.dropped, *left_out))


def read_training_folder(folder: Path, weight_set: WeightSet | None) -> StateDictSource:
    """Read a training folder: its final weights, else the best ones, else the only ones.

    Raises CheckpointError where there are none, or several of other names.
    """
    found = sorted(path.stem for path in folder.glob(f"*{EMA}"))
    chosen = next((name for name in PREFERRED_STEMS if name in found), found[0] if found else "")
    if not found or (len(found) > 1 and chosen not in PREFERRED_STEMS):
        raise CheckpointError(
            f"{folder}: found {', '.join(found) or 'no ' + EMA}; expected one {EMA}, or "
            f"{' or '.join(PREFERRED_STEMS)}; name the file"
        )
    read = read_checkpoint(folder / f"{chosen}{EMA}", weight_set)
    origin = Origin(read.origin.path, "ppdet training folder", read.origin.notes)
    # ppdet names the folder, not the files in it, after the config
    return replace(read, origin=origin, hints=FileHints(folder.resolve().name))


def _weight_set_note(checkpoint: Path, arrays: Mapping[str, np.ndarray], other: Path) -> str:
    kinds = {EMA: "EMA", RAW: "raw"}
    note = (
        f"the {kinds[checkpoint.suffix]} weights were used; the {kinds[other.suffix]} ones are in "
        f"{other.name}: --weight-set {'raw' if other.suffix == RAW else 'ema'} selects them"
    )
    exact = {
        path.suffix: _has_exact_bins(a) for path, a in ((checkpoint, arrays), (other, _read(other)))
    }
    if exact == {EMA: True, RAW: False}:
        note += (
            f". The two may be swapped: the bins' values in {RAW} went through an EMA, those in "
            f"{EMA} did not"
        )
    return note


def _read(path: Path) -> Mapping[str, np.ndarray]:
    try:
        return unwrap(path, pdparams.read(path)).arrays
    except CheckpointError:  # the conversion does not need it
        return {}


def _has_exact_bins(arrays: Mapping[str, np.ndarray]) -> bool | None:
    """Whether the bins are 0, 1, 2 ..; ppdet's EMA makes them larger (optimizer/ema.py)."""
    bins = arrays.get(PPDET_PROJECT)
    return None if bins is None else bool(np.array_equal(bins, np.arange(bins.size)))
