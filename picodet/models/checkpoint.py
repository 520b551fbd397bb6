"""Our own files: weights together with everything that has to be known to use them.

`.pth` is a dictionary of `state_dict` and `meta` (torch.load with weights_only=True reads it),
`.safetensors` holds the same, meta as JSON in its header, and a directory has Hugging Face's form
(hub_folder.py). Loading any of them runs no code.
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
    """Write weights and meta in the format that the suffix names; whole or not at all.

    Without a suffix it is a directory in Hugging Face's form, which holds a detector.
    """
    if path.suffix not in (*FORMATS, ""):
        raise OutputError(f"{path}: the suffix must be one of {', '.join(FORMATS)}, or none")
    try:
        if path.suffix == "":
            huggingface_folder.write(path, weights, meta)
            return
        # torch.save names the inside of a file after it, unless it is given one that is open
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            if path.suffix == ".pth":
                state_dict = {name: torch.from_numpy(array) for name, array in weights.items()}
                torch.save({"state_dict": state_dict, "meta": dict(meta)}, file)
            else:
                metadata = {"format": "pt", META_KEY: json.dumps(meta)}
                safetensors_writer.write(file, weights, metadata)
    except RuntimeError as error:  # what torch makes of an OSError
        raise OutputError(f"{path}: cannot be written; is the disk full? ({error})") from error


def load(path: str | Path) -> PicoDet:
    """A detector that picodet-convert has written, in eval mode, in float32 on the CPU.

    Raises CheckpointError where the file is not that.
    """
    return load_with_meta(path)[0]


def load_with_meta(path: str | Path) -> tuple[PicoDet, dict[str, Any]]:
    """A detector, and the meta of its file: where it came from."""
    path = _as_path(path)
    file, meta = _read(path, kind="detector")
    return model_with_weights(path, file.arrays, lambda: PicoDet(config_from_meta(meta))), meta


def load_backbone(path: str | Path) -> Backbone:
    """A backbone that picodet-convert has written, in eval mode, on the CPU.

    Raises CheckpointError where the file is not that.
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
    """A model in eval mode with these weights, strictly; `path` is for errors.

    In float32 on the CPU, whatever torch makes by default in the caller's program.
    """
    try:
        with torch.device("meta"):  # takes no memory, whatever sizes a file claims
            shapes = build().state_dict()
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{path}: its meta is not picodet's: {type(error).__name__} {error}. Convert it again"
        ) from error
    for name in [*shapes, *weights]:
        expected, found = (list(x[name].shape) if name in x else "none" for x in (shapes, weights))
        if expected != found:
            raise CheckpointError(
                f"{path}: weights and meta do not agree: of {name} {expected} is expected, found "
                f"{found}"
            )
    # loading leaves the caller's random numbers alone
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        model = build().float()
    model.load_state_dict({name: torch.from_numpy(x) for name, x in weights.items()})
    return model.eval()


def _read(path: Path, kind: Kind) -> tuple[TorchFile, dict[str, Any]]:
    is_folder = huggingface_folder.is_hub_folder(path)
    if not is_folder and path.suffix not in FORMATS:
        raise CheckpointError(
            f"{path}: a {' or '.join(FORMATS)} of picodet-convert is expected; convert it first"
        )
    file = read_torch(huggingface_folder.weights_of(path) if is_folder else path)
    meta = huggingface_folder.read_meta(path) if is_folder else file.meta
    if meta is None:
        raise CheckpointError(f"{path}: has no picodet meta; was it made by picodet-convert?")
    found = meta.get("kind"), meta.get("architecture")
    if found != (kind, ARCHITECTURES[kind]):
        raise CheckpointError(
            f"{path}: holds a {found[0]!s:.40} of architecture {found[1]!s:.40}; expected is a "
            f"{kind} of architecture {ARCHITECTURES[kind]}. Was it made by another version? "
            "Convert it again"
        )
    return file, meta
