"""Reads the files of weights that PyTorch's users have, as data: nothing of them is run.

`.pth` in both of its forms through torch.load with weights_only, and `.safetensors`; the file's
first bytes say which, not its name. Claims are held against the file's size, so that memory
follows what is there.
"""

import json
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from picodet.errors import CheckpointError
from picodet.files import unreadable_reason
from picodet.formats.safetensors_reader import check_count, read_parts, read_safetensors
from picodet.formats.shards import is_index, weights_size
from picodet.formats.torch_pickles import ForbiddenGlobalError, check_pickle

# what programs of training keep a state_dict under, one inside another at most
WRAPPERS = (
    *("state_dict", "model", "model_state_dict", "module", "params", "net"),
    *("ema", "model_ema", "state_dict_ema", "ema_state_dict", "params_ema"),
)
PREFIXES = ("module.", "model.", "_orig_mod.")  # DataParallel, Lightning, torch.compile
COUNTERS = {"n_averaged", "steps"}  # of the averaging of weights, beside them

DTYPES = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32),  # batch norm counts batches
}
MAX_DIMENSIONS = 32
OLD_PICKLES = 5  # of a file in the old form: three numbers of its own, the content, the order
OLD_PTH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # before PyTorch 1.6, and mmdet for longer


@dataclass(frozen=True)
class TorchFile:
    """Weights by their names in the file, and what was found around them."""

    arrays: dict[str, np.ndarray] = field(repr=False)  # as stored; bfloat16 as Paddle's, in uint16
    wrapper: str | None  # the keys that led to them: "state_dict", "ema.module"
    prefix: str  # that was taken off every name: "module."
    meta: dict[str, Any] | None  # of a file of our own
    classes: tuple[str, ...] | None  # their names, as mmdet writes them beside
    dropped: tuple[str, ...]  # what else the file holds: "optimizer"


def read_torch(path: Path, weights: str | None = None) -> TorchFile:
    """The weights of a file; where it holds several sets, and only there, those under `weights`.

    Raises CheckpointError where the file is damaged, no file of weights, or asks for a choice.
    """
    content, meta = _read(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__} in place of named tensors")
    weight_sets = _weight_sets(content)
    if weights is None and len(weight_sets) > 1:
        raise CheckpointError(
            f"{path}: holds {len(weight_sets)} sets of weights, {', '.join(weight_sets)}; say "
            "which with "
            f"--weight-set, such as --weight-set {list(weight_sets)[-1]}"
        )
    wrapper = weights if len(weight_sets) > 1 else next(iter(weight_sets), None)
    if wrapper not in weight_sets:
        found = (
            f"it has {', '.join(filter(None, weight_sets))}" if any(weight_sets) else _keys(content)
        )
        raise CheckpointError(f"{path}: no weights under {weights or WRAPPERS[0]!r}; {found}")
    keys, state_dict = weight_sets[wrapper]
    tensors = {name: value for name, value in state_dict.items() if name not in COUNTERS}
    arrays = _arrays(path, tensors)
    prefix = _prefix(arrays)
    classes = None
    if meta is None and isinstance(beside := content.get("meta"), dict):
        meta = _as_json(path, beside) if "picodet_version" in beside else None
        classes = _classes(beside)
    return TorchFile(
        arrays={name.removeprefix(prefix): array for name, array in arrays.items()},
        wrapper=wrapper or None,
        prefix=prefix,
        meta=meta,
        classes=classes,
        dropped=tuple(_leftover_keys(content, keys, leave="" if meta is None else "meta")),
    )


def _read(path: Path) -> tuple[Any, dict[str, Any] | None]:
    """What a file holds, and the meta in the header of a `.safetensors` of ours."""
    try:
        if reason := unreadable_reason(path):
            raise CheckpointError(f"{path}: {reason}")
        with path.open("rb") as file:
            first_bytes = file.read(16)
        if is_index(path):
            return read_parts(path), None
        if first_bytes.startswith(b"PK"):
            _check_zip(path)
            return _load(path, mapped=True), None
        if first_bytes.startswith(OLD_PTH):
            _check_old_format(path)
            return _load(path, mapped=False), None
        if first_bytes[8:9] == b"{":
            return read_safetensors(path)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ForbiddenGlobalError as forbidden:
        raise CheckpointError(_refusal(path, str(forbidden))) from forbidden
    except Exception as error:  # whatever damaged bytes make of three strangers' readers
        raise CheckpointError(f"{path}: {_reason(path, error)}") from error
    raise CheckpointError(
        f"{path}: neither a .pth nor a .safetensors; it begins with the bytes "
        f"{first_bytes[:4].hex(' ') or 'of an empty file'}"
    )


def _load(path: Path, mapped: bool) -> Any:
    """Mapped, a storage cannot be longer than what the file has for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts of torch that a file has used
        # torch 2.1 maps no path that is not text
        return _plain(torch.load(str(path), map_location="cpu", weights_only=True, mmap=mapped))


def _plain(value: Any, depth: int = 3) -> Any:
    """Dictionaries without what a file can make of one: it may give an OrderedDict attributes."""
    if not isinstance(value, dict) or depth == 0:
        return value
    for key in dict.__iter__(value):
        if type(key) not in (str, int):
            raise ValueError(f"something is named by a {type(key).__name__}")
    return {key: _plain(dict.__getitem__(value, key), depth - 1) for key in dict.__iter__(value)}


def _as_json(path: Path, meta: dict[Any, Any]) -> dict[str, Any]:
    """What ours is: numbers, text and lists of them, and no object of any depth."""
    try:
        return dict(json.loads(json.dumps(meta)))
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its meta is not picodet's: {error}") from error


def _reason(path: Path, error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"a damaged file of weights ({lines[0]:.200}). Copy or download it again"


def _refusal(path: Path, forbidden: str) -> str:
    return (
        f"{path}: refused, and nothing of it was run: it asks for {forbidden}, and may hold "
        "tensors by "
        f"name only. Where it was made, save its weights alone: torch.save(torch.load("
        f"{path.name!r}, weights_only=False)['state_dict'], 'weights.pth')"
    )


def _check_old_format(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(len(OLD_PTH))
        for _ in range(OLD_PICKLES - 1):
            check_pickle(file)


def _check_zip(path: Path) -> None:
    """PyTorch packs nothing, so that what is packed takes memory; mapped, it checks no sums."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise CheckpointError(f"{path}: a compressed zip archive, as torch.save writes none")
        _check_claim(path, sum(member.file_size for member in members))
        if damaged := archive.testzip():
            raise CheckpointError(
                f"{path}: the checksum of {damaged} in it is wrong. Copy or download it again"
            )
        for member in members:
            if member.filename.endswith(".pkl"):
                with archive.open(member) as file:
                    check_pickle(BytesIO(file.read()))


def _check_claim(path: Path, claimed: int) -> None:
    if claimed > (available := weights_size(path)):
        raise CheckpointError(
            f"{path}: claims to hold {claimed:,} bytes of weights in a file of {available:,}"
        )


Keys = tuple[str, ...]


def _weight_sets(
    content: dict[Any, Any], keys: Keys = ()
) -> dict[str, tuple[Keys, dict[Any, Any]]]:
    """Every state_dict, and the keys that lead to it, by these keys."""
    inner = [key for key in WRAPPERS if isinstance(content.get(key), dict)]
    if inner and len(keys) < 2:
        found = (_weight_sets(content[key], (*keys, key)) for key in inner)
        return {name: entry for found_sets in found for name, entry in found_sets.items()}
    if any(isinstance(value, Tensor) for value in content.values()):
        return {".".join(keys): (keys, content)}
    return {}


def _classes(meta: dict[Any, Any]) -> tuple[str, ...] | None:
    """Their names in the meta of mmdet 2 or 3."""
    dataset = meta.get("dataset_meta")
    names = (dataset if isinstance(dataset, dict) else {}).get("classes", meta.get("CLASSES"))
    listed = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return tuple(names) if listed and names else None


def _leftover_keys(content: dict[Any, Any], keys: Keys, leave: str) -> list[str]:
    """What stands beside the weights, on the way to them."""
    found = []
    for depth, key in enumerate(keys):
        beside = (str(other) for other in content if other not in (key, leave))
        found += [".".join((*keys[:depth], other)) for other in beside]
        content = content[key]
    return found + [".".join((*keys, other)) for other in sorted(COUNTERS & content.keys())]


def _keys(content: dict[Any, Any]) -> str:
    names = [str(key) for key in content]
    return f"its {len(names)} keys are {', '.join(names[:8])}{' ...' * (len(names) > 8)}"


def _prefix(names: Mapping[str, Any]) -> str:
    """What every name begins with, of what is put before them on the way."""
    prefix = ""
    while names:
        more = next((p for p in PREFIXES if all(n.startswith(prefix + p) for n in names)), None)
        if more is None:
            break
        prefix += more
    return prefix


def _arrays(path: Path, tensors: dict[Any, Any]) -> dict[str, np.ndarray]:
    arrays, storages = {}, {}
    check_count(path, len(tensors))
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise CheckpointError(f"{path}: {name!s:.80} is a {kind}; tensors by name are expected")
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            what = "quantized" if tensor.is_quantized else f"{tensor.layout} on {tensor.device}"
            raise CheckpointError(f"{path}: {name} is {what}; plain tensors are expected")
        if tensor.dtype not in DTYPES:
            raise CheckpointError(f"{path}: {name} is of {tensor.dtype}; floats are expected")
        storage = tensor.untyped_storage()
        if tensor.nbytes > storage.nbytes():
            raise CheckpointError(
                f"{path}: {name} of shape {list(tensor.shape)} repeats what it has for it, "
                f"{storage.nbytes():,} bytes"
            )
        storages[storage.data_ptr()] = storage.nbytes()
        if tensor.ndim > MAX_DIMENSIONS or tensor.numel() == 0:
            raise CheckpointError(
                f"{path}: {name} has {tensor.ndim:,} dimensions and {tensor.numel():,} values"
            )
        plain = tensor.detach().resolve_neg()
        arrays[name] = (
            plain.view(torch.int16).numpy().view(np.uint16)
            if plain.dtype == torch.bfloat16
            else plain.numpy()
        )
    _check_claim(path, sum(storages.values()))
    return arrays
