"""Our own files: weights together with everything that has to be known to use them.

`.pth` is a dictionary of `state_dict` and `meta` (torch.load with weights_only=True reads it),
`.safetensors` holds the same, meta as JSON in its header. Loading either runs no code.
"""

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor, nn

from picodet.errors import CheckpointError, OutputError
from picodet.files import replacing
from picodet.meta import ARCHITECTURES, HEADER, Kind, config_of, stages_of
from picodet.models.esnet import ESNet
from picodet.models.picodet import PicoDet

FORMATS = (".pth", ".safetensors")


def save(path: Path, weights: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write weights and meta in the format that the suffix names; whole or not at all."""
    if path.suffix not in FORMATS:
        raise OutputError(f"{path}: the suffix must be one of {', '.join(FORMATS)}")
    try:
        with replacing(path) as temporary:
            if path.suffix == ".pth":
                state_dict = {name: torch.from_numpy(array) for name, array in weights.items()}
                torch.save({"state_dict": state_dict, "meta": dict(meta)}, temporary)
            else:
                save_file(dict(weights), temporary, {"format": "pt", HEADER: json.dumps(meta)})
    except (RuntimeError, SafetensorError) as error:  # what both libraries make of an OSError
        raise OutputError(f"{path}: cannot be written; is the disk full? ({error})") from error


def load(path: str | Path) -> PicoDet:
    """A detector that picodet-convert has written, in eval mode, on the CPU.

    Raises CheckpointError where the file is not that.
    """
    return load_described(path)[0]


def load_described(path: str | Path) -> tuple[PicoDet, dict[str, Any]]:
    """A detector, and the meta of its file: where it came from."""
    path = Path(path)
    state_dict, meta = _read(path, kind="detector")
    return _filled(path, state_dict, lambda: PicoDet(config_of(meta))), meta


def load_backbone(path: str | Path) -> ESNet:
    """A backbone that picodet-convert has written, in eval mode, on the CPU.

    Raises CheckpointError where the file is not that.
    """
    path = Path(path)
    state_dict, meta = _read(path, kind="backbone")
    return _filled(path, state_dict, lambda: ESNet(stages_of(meta)))


Module = TypeVar("Module", bound=nn.Module)


def _filled(path: Path, state_dict: dict[str, Tensor], build: Callable[[], Module]) -> Module:
    try:
        with torch.random.fork_rng(devices=[]):  # loading leaves the caller's random numbers alone
            model = build()
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{path}: its meta is not picodet's: {type(error).__name__} {error}. Convert it again"
        ) from error
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: weights and meta do not agree: {error}") from error
    return model.eval()


def _read(path: Path, kind: Kind) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    if path.suffix == ".safetensors":
        state_dict, meta = _read_safetensors(path)
    elif path.suffix == ".pth":
        state_dict, meta = _read_pth(path)
    else:
        raise CheckpointError(
            f"{path}: a {' or '.join(FORMATS)} of picodet-convert is expected; convert it first"
        )
    found = meta.get("kind"), meta.get("architecture")
    if found != (kind, ARCHITECTURES[kind]):
        raise CheckpointError(
            f"{path}: holds a {found[0]} of architecture {found[1]!s:.40}; expected is a {kind} of "
            f"architecture {ARCHITECTURES[kind]}"
        )
    return state_dict, meta


# what torch.load raises for files that are cut off, changed or something else (found by fuzzing)
UNREADABLE = (
    *(RuntimeError, pickle.UnpicklingError, EOFError, OSError),
    *(AttributeError, LookupError, TypeError, ValueError),
)


def _read_pth(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(f"{path}: not a readable .pth: {reason:.200}") from error
    match content:
        case {"state_dict": dict() as state_dict, "meta": dict() as meta}:
            if all(isinstance(name, str) for name in state_dict):
                return state_dict, meta
    raise CheckpointError(f"{path}: has no state_dict and meta; was it made by picodet-convert?")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            meta = json.loads((file.metadata() or {}).get(HEADER, "null"))
            state_dict = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable .safetensors: {error}") from error
    if not isinstance(meta, dict):
        raise CheckpointError(f"{path}: has no picodet meta; was it made by picodet-convert?")
    return state_dict, meta
