"""Weights that PyTorch saved: our own files, the mmdet port's, or a bare state_dict."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from picodet.config import ModelConfig
from picodet.converter.configure import Said
from picodet.converter.ema_copies import split_averages
from picodet.converter.paddle_checkpoints import Which
from picodet.converter.sources import NamedTensors, Origin, Spelling
from picodet.errors import CheckpointError
from picodet.formats import huggingface_folder
from picodet.formats.meta import config_of
from picodet.formats.torch_files import read_torch

FORMS: dict[Spelling, str] = {
    "picodet": "state_dict",
    "mmdet": "mmdet port",
    "ppdet": "ppdet's names, saved by PyTorch",
}


def read_torch_weights(path: Path, which: Which | None) -> NamedTensors:
    """A file, or a directory in Hugging Face's form.

    Raises CheckpointError where it is damaged, or does not hold what `which` asks for.
    """
    is_folder = huggingface_folder.is_hub_folder(path)
    weights = huggingface_folder.weights_of(path) if is_folder else path
    file = read_torch(weights, which)
    meta = huggingface_folder.read_meta(path) if is_folder else file.meta
    if meta is not None and meta.get("kind") == "detector":
        config = _config(path, meta)
        _refuse_which(path, which)
        form = "directory in Hugging Face's form" if is_folder else f"picodet {path.suffix}"
        said = Said(path.stem)
        origin = Origin(weights, form)
        return NamedTensors(origin, "picodet", file.arrays, said, config, file.dropped)
    own, copies = split_averages(file.arrays)
    spelling = _spelling(own)
    notes = [f"its weights were found under {file.wrapper!r}"] if file.wrapper else []
    if copies and which != "raw":
        notes.append("the averaged (EMA) weights were used; --weights raw takes the others")
    if spelling == "mmdet":
        notes.append(
            "the mmdet port resizes pictures linearly, which is --interp 1; 2 was noted, ppdet's"
        )
    if which not in (("ema", "raw", None) if copies else (file.wrapper, None)):
        _refuse_which(path, which)
    return NamedTensors(
        Origin(path, FORMS[spelling], tuple(notes)),
        spelling,
        copies if which == "raw" else own,
        Said(path.stem, classes=file.classes),
        dropped=file.dropped,
    )


def _config(path: Path, meta: Mapping[str, Any]) -> ModelConfig:
    try:
        return config_of(meta)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{path}: its meta is not picodet's: {type(error).__name__} {error}. Convert it again"
        ) from error


def _spelling(names: Iterable[str]) -> Spelling:
    """Told from the names alone; ppdet's where nothing speaks for another."""
    names = list(names)
    if any(name.startswith("bbox_head.") for name in names):
        return "mmdet"
    if any(name.endswith((".running_mean", ".running_var")) for name in names):
        return "picodet"
    return "ppdet"


def _refuse_which(path: Path, which: Which | None) -> None:
    if which is not None:
        raise CheckpointError(
            f"{path}: has no weights called {which}; --weights ema and --weights raw are for "
            "checkpoints of a training that hold averaged and raw ones"
        )
