"""Reads weights that PyTorch saved: files of picodet, of the mmdet port, or a bare state_dict."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from picodet.config import ModelConfig
from picodet.converter.configure import FileHints
from picodet.converter.ema_copies import split_ema
from picodet.converter.names.libreyolo_names import PREDICTOR
from picodet.converter.paddle_checkpoints import WeightSet
from picodet.converter.sources import NamingScheme, Origin, StateDictSource
from picodet.errors import CheckpointError
from picodet.formats import huggingface_folder
from picodet.formats.meta import config_from_meta
from picodet.formats.torch_files import read_torch

FORMS: dict[NamingScheme, str] = {
    "picodet": "state_dict",
    "mmdet": "mmdet port",
    "libreyolo": "LibreYOLO",
    "ppdet": "ppdet's names, saved by PyTorch",
}
LIGHTLY_TENSOR = "neck.first_top_conv.depthwise.weight"
LIGHTLY_REASON = (
    f"lightly-train's PicoDet, which is another network: after {LIGHTLY_TENSOR} it has no batch "
    "norm (PicoDet: first_top_conv.bn1), its activations are ReLU (hard-swish), and its squeeze-"
    "and-excitation ends in a sigmoid (hard sigmoid). Its weights fit no PicoDet; train one with "
    "picodet-train"
)
LIBREYOLO_NOTE = (
    "LibreYOLO cuts the gates of squeeze-and-excitation at 6, PicoDet at 1: weights that were "
    "trained there detect less well here. It resizes images linearly (--interp 1); the output has "
    "ppdet's interp 2"
)


def read_torch_weights(path: Path, weight_set: WeightSet | None) -> StateDictSource:
    """Read a file, or a directory in Hugging Face's form.

    Raises CheckpointError where it is damaged, or has no such `weight_set`.
    """
    is_folder = huggingface_folder.is_hub_folder(path)
    weights = huggingface_folder.weights_of(path) if is_folder else path
    file = read_torch(weights, weight_set)
    meta = huggingface_folder.read_meta(path) if is_folder else file.meta
    if meta is not None and meta.get("kind") == "detector":
        config = _config(path, meta)
        _refuse_weight_set(path, weight_set)
        form = "directory in Hugging Face's form" if is_folder else f"picodet {path.suffix}"
        hints = FileHints(path.stem)
        origin = Origin(weights, form)
        return StateDictSource(origin, "picodet", file.arrays, hints, config, file.dropped)
    if any(name.endswith(LIGHTLY_TENSOR) for name in file.arrays):
        raise CheckpointError(f"{path}: {LIGHTLY_REASON}")
    tensors, raw = split_ema(file.arrays)
    naming = _naming_of(tensors)
    notes = [f"the weights were found under {file.wrapper!r}"] if file.wrapper else []
    if raw and weight_set != "raw":
        notes.append("the EMA weights were used; --weight-set raw selects the raw ones")
    if naming == "mmdet":
        notes.append(
            "the mmdet port resizes images linearly (--interp 1); the output has ppdet's interp 2"
        )
    if naming == "libreyolo":
        notes.append(LIBREYOLO_NOTE)
    if weight_set not in (("ema", "raw", None) if raw else (file.wrapper, None)):
        _refuse_weight_set(path, weight_set)
    return StateDictSource(
        Origin(path, FORMS[naming], tuple(notes)),
        naming,
        raw if weight_set == "raw" else tensors,
        FileHints(path.stem, input_size=file.input_size, classes=file.classes),
        dropped=file.dropped,
    )


def _config(path: Path, meta: Mapping[str, Any]) -> ModelConfig:
    try:
        return config_from_meta(meta)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{path}: invalid picodet meta: {type(error).__name__} {error}; convert it again"
        ) from error


def _naming_of(names: Iterable[str]) -> NamingScheme:
    """The naming scheme, from the names alone; ppdet's if nothing indicates another."""
    names = list(names)
    if any(name.startswith("bbox_head.") for name in names):
        return "mmdet"
    if any(name.startswith(PREDICTOR) for name in names):
        return "libreyolo"
    if any(name.endswith((".running_mean", ".running_var")) for name in names):
        return "picodet"
    return "ppdet"


def _refuse_weight_set(path: Path, weight_set: WeightSet | None) -> None:
    if weight_set is not None:
        raise CheckpointError(
            f"{path}: has no weight set {weight_set}; --weight-set ema and --weight-set raw are "
            "for training checkpoints that hold EMA and raw weights"
        )
