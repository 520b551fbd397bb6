"""picodet's own files: weights together with everything that is needed to use them.

`.pth` is a dictionary of `state_dict` and `meta` (torch.load with weights_only=True reads it),
`.safetensors` holds the same, meta as JSON in its header, and a directory has Hugging Face's form
(picodet.formats.huggingface_folder). Loading any of them runs no code.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from picodet.errors import CheckpointError, OutputError
from picodet.files import atomic_write
from picodet.formats import huggingface_folder, safetensors_writer
from picodet.formats.meta import ARCHITECTURES, META_KEY, Kind, backbone_from_meta, config_from_meta
from picodet.formats.torch_files import TorchFile, read_torch
from picodet.models.picodet import BACKBONES, Backbone, PicoDet

FORMATS = (".pth", ".safetensors")


def save(path: Path, weights: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write weights and meta atomically in the format of the suffix.

    Without a suffix it is a directory in Hugging Face's form, which holds a detector. Raises
    OutputError where it cannot be written.
    """
    if path.suffix not in (*FORMATS, ""):
        raise OutputError(f"{path}: the suffix must be one of {', '.join(FORMATS)}, or none")
    try:
        if path.suffix == "":
            huggingface_folder.write(path, weights, meta)
            return
        # torch.save stores the file's name in it, unless it is given an open file
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            if path.suffix == ".pth":
                state_dict = {name: torch.from_numpy(array) for name, array in weights.items()}
                torch.save({"state_dict": state_dict, "meta": dict(meta)}, file)
            else:
                metadata = {"format": "pt", META_KEY: json.dumps(meta)}
                safetensors_writer.write(file, weights, metadata)
    except RuntimeError as error:  # torch's form of an OSError
        raise OutputError(f"{path}: cannot be written; is the disk full? ({error})") from error


def load(path: str | Path) -> PicoDet:
    """A detector that picodet-convert has written, in eval mode, in float32 on the CPU.

    Raises CheckpointError for any other file.
    """
    return load_with_meta(path)[0]


def load_with_meta(path: str | Path) -> tuple[PicoDet, dict[str, Any]]:
    """A detector as `load` gives it, and the meta of its file, which states its source."""
    path = _as_path(path)
    file, meta = _read(path, kind="detector")
    return model_with_weights(path, file.arrays, lambda: PicoDet(config_from_meta(meta))), meta


def load_backbone(path: str | Path) -> Backbone:
    """A backbone that picodet-convert has written, in eval mode, in float32 on the CPU.

    Raises CheckpointError for any other file.
    """
    path = _as_path(path)
    file, meta = _read(path, kind="backbone")

    def build() -> Backbone:
        config = backbone_from_meta(meta)
        return BACKBONES[type(config)](config)

    return model_with_weights(path, file.arrays, build)


def _as_path(path: object) -> Path:
    if not isinstance(path, str | Path):
        raise CheckpointError(
            f"load(path): a file's path is expected, found a {type(path).__name__}"
        )
    return Path(path)


Module = TypeVar("Module", bound=nn.Module)


def model_with_weights(
    path: Path, weights: Mapping[str, np.ndarray], build: Callable[[], Module]
) -> Module:
    """A model in eval mode with exactly these weights; `path` is for errors.

    In float32 on the CPU, whatever torch's defaults. Raises CheckpointError where they do not fit.
    """
    try:
        with torch.device("meta"):  # allocates no memory, whatever sizes a file claims
            shapes = build().state_dict()
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{path}: its meta is not picodet's: {type(error).__name__} {error}. Convert it again"
        ) from error
    for name in [*shapes, *weights]:
        expected, found = (list(x[name].shape) if name in x else "none" for x in (shapes, weights))
        if expected != found:
            raise CheckpointError(
                f"{path}: weights and meta do not agree: {name}: expected {expected}, found {found}"
            )
    # loading does not change the caller's random state
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        model = build().float()
    model.load_state_dict({name: torch.from_numpy(x) for name, x in weights.items()})
    return model.eval()


def _read(path: Path, kind: Kind) -> tuple[TorchFile, dict[str, Any]]:
    is_folder = huggingface_folder.is_hub_folder(path)
    if not is_folder and path.suffix not in FORMATS:
        raise CheckpointError(
            f"{path}: expected a {' or '.join(FORMATS)} of picodet-convert; convert it first"
        )
    file = read_torch(huggingface_folder.weights_of(path) if is_folder else path)
    meta = huggingface_folder.read_meta(path) if is_folder else file.meta
    if meta is None:
        raise CheckpointError(f"{path}: has no picodet meta; was it made by picodet-convert?")
    found = meta.get("kind"), meta.get("architecture")
    if found != (kind, ARCHITECTURES[kind]):
        raise CheckpointError(
            f"{path}: holds a {found[0]!s:.40} of architecture {found[1]!s:.40}; expected a "
            f"{kind} of architecture {ARCHITECTURES[kind]}. Was it made by another version? "
            "Convert it again"
        )
    return file, meta
