"""Reads weight files of PyTorch as data: nothing of them is executed.

`.pth` in both of its forms through torch.load with weights_only, and `.safetensors`; the format is
detected from the first bytes, not from the name. Claimed sizes are checked against the file's size
before anything is allocated.
"""

import json
import mmap
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from picodet.errors import CheckpointError
from picodet.files import unreadable_reason
from picodet.formats.other_meta import mmdet_class_names, yolo_class_names, yolo_input_size
from picodet.formats.pickle_opcodes import ForbiddenGlobalError
from picodet.formats.safetensors_reader import check_count, read_parts, read_safetensors
from picodet.formats.shards import is_index, weights_size
from picodet.formats.torch_pickles import check_pickle

# keys under which training programs store a state_dict, nested at most once
WRAPPERS = (
    *("state_dict", "model", "model_state_dict", "module", "params", "net", "train_model"),
    *("ema", "model_ema", "state_dict_ema", "ema_state_dict", "params_ema"),
)
PREFIXES = ("module.", "model.", "_orig_mod.")  # DataParallel, Lightning, torch.compile
COUNTERS = {"n_averaged", "steps"}  # that EMA implementations store beside the weights

DTYPES = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32),  # batch counters of batch norm
}
MAX_DIMENSIONS = 32
OLD_PICKLES = 5  # in the old form: magic number, version, system, content, storage keys
OLD_PTH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # before PyTorch 1.6; mmdet used it longer


@dataclass(frozen=True)
class TorchFile:
    """Weights by name, and what else was found in the file."""

    arrays: dict[str, np.ndarray] = field(repr=False)  # as stored; bfloat16 as uint16
    wrapper: str | None  # the keys of the weights: "state_dict", "ema.module"
    prefix: str  # that was removed from every name: "module."
    meta: dict[str, Any] | None  # of a file that picodet wrote
    classes: tuple[str, ...] | None  # class names that mmdet or LibreYOLO stored
    input_size: tuple[int, int] | None  # height, width, that LibreYOLO stored
    dropped: tuple[str, ...]  # other content: "optimizer"


def read_torch(path: Path, weights: str | None = None) -> TorchFile:
    """The weights of a file; `weights` selects one where it holds several sets.

    Raises CheckpointError where the file is damaged or not a file of weights, or where a selection
    is needed.
    """
    content, meta = _read(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}; expected tensors by name")
    weight_sets = _weight_sets(content)
    if weights is None and len(weight_sets) > 1:
        raise CheckpointError(
            f"{path}: holds {len(weight_sets)} weight sets, {', '.join(weight_sets)}; select one, "
            f"such as --weight-set {list(weight_sets)[-1]}"
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
        classes = mmdet_class_names(beside)
    return TorchFile(
        arrays={name.removeprefix(prefix): array for name, array in arrays.items()},
        wrapper=wrapper or None,
        prefix=prefix,
        meta=meta,
        classes=classes or yolo_class_names(content.get("names")),
        input_size=yolo_input_size(content.get("imgsz")),
        dropped=tuple(_leftover_keys(content, keys, leave="" if meta is None else "meta")),
    )


def _read(path: Path) -> tuple[Any, dict[str, Any] | None]:
    """The content of a file, and the meta in the header of a `.safetensors` of picodet."""
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
    except Exception as error:  # whatever the libraries raise for damaged bytes
        raise CheckpointError(f"{path}: {_reason(path, error)}") from error
    raise CheckpointError(
        f"{path}: begins with the bytes {first_bytes[:4].hex(' ') or 'of an empty file'}"
        "; expected a .pth or a .safetensors"
    )


def _load(path: Path, mapped: bool) -> Any:
    """Load a .pth; if memory-mapped, no storage can exceed the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated parts of torch that the file uses
        return _plain(torch.load(path, map_location="cpu", weights_only=True, mmap=mapped))


def _plain(value: Any, depth: int = 3) -> Any:
    """Plain dictionaries: a file may give an OrderedDict attributes that override its methods."""
    if not isinstance(value, dict) or depth == 0:
        return value
    for key in dict.__iter__(value):
        if type(key) not in (str, int):
            raise ValueError(f"a key of type {type(key).__name__}")
    return {key: _plain(dict.__getitem__(value, key), depth - 1) for key in dict.__iter__(value)}


def _as_json(path: Path, meta: dict[Any, Any]) -> dict[str, Any]:
    """A picodet meta as plain JSON: numbers, text, lists and dictionaries."""
    try:
        return dict(json.loads(json.dumps(meta)))
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: invalid picodet meta: {error}; convert it again") from error


def _reason(path: Path, error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"damaged file of weights ({lines[0]:.200}); copy or download it again"


def _refusal(path: Path, forbidden: str) -> str:
    return (
        f"{path}: refused, nothing of it was executed: it contains {forbidden}; expected only "
        "tensors by name. If you trust it, save its weights alone: torch.save(torch.load("
        f"{path.name!r}, weights_only=False)['state_dict'], 'weights.pth')"
    )


def _check_old_format(path: Path) -> None:
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        position = len(OLD_PTH)
        for _ in range(OLD_PICKLES - 1):
            position = check_pickle(mapped, position)


def _check_zip(path: Path) -> None:
    """Verify checksums, which a mapped load skips, and refuse compression, which hides sizes."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.filename.endswith("/constants.pkl") for member in members):
            raise CheckpointError(
                f"{path}: a TorchScript archive, a program with weights; expected weights alone. "
                f"If you trust it, save them: torch.save(torch.jit.load('{path.name}')"
                ".state_dict(), 'weights.pth')"
            )
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise CheckpointError(f"{path}: a compressed zip archive; torch.save does not compress")
        _check_claim(path, sum(member.file_size for member in members))
        if damaged := archive.testzip():
            raise CheckpointError(
                f"{path}: the checksum of {damaged} in it is wrong; copy or download it again"
            )
        for member in members:
            if member.filename.endswith(".pkl"):
                check_pickle(archive.read(member))


def _check_claim(path: Path, claimed: int) -> None:
    if claimed > (available := weights_size(path)):
        raise CheckpointError(
            f"{path}: claims {claimed:,} bytes of weights in a file of {available:,}"
        )


Keys = tuple[str, ...]


def _weight_sets(
    content: dict[Any, Any], keys: Keys = ()
) -> dict[str, tuple[Keys, dict[Any, Any]]]:
    """Every state_dict with its keys, by the keys joined with dots."""
    inner = [key for key in WRAPPERS if isinstance(content.get(key), dict)]
    if inner and len(keys) < 2:
        found = (_weight_sets(content[key], (*keys, key)) for key in inner)
        return {name: entry for found_sets in found for name, entry in found_sets.items()}
    if any(isinstance(value, Tensor) for value in content.values()):
        return {".".join(keys): (keys, content)}
    return {}


def _leftover_keys(content: dict[Any, Any], keys: Keys, leave: str) -> list[str]:
    """Keys of everything that is stored besides the weights."""
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
    """The wrappers' prefix that every name begins with."""
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
            raise CheckpointError(f"{path}: {name!s:.80} is a {kind}; expected tensors by name")
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            what = "quantized" if tensor.is_quantized else f"{tensor.layout} on {tensor.device}"
            raise CheckpointError(f"{path}: {name} is {what}; expected plain tensors")
        if tensor.dtype not in DTYPES:
            raise CheckpointError(f"{path}: {name} has dtype {tensor.dtype}; expected floats")
        storage = tensor.untyped_storage()
        if tensor.nbytes > storage.nbytes():
            raise CheckpointError(
                f"{path}: {name} of shape {list(tensor.shape)} exceeds its storage of "
                f"{storage.nbytes():,} bytes"
            )
        storages[storage.data_ptr()] = storage.nbytes()
        if tensor.ndim > MAX_DIMENSIONS or tensor.numel() == 0:
            raise CheckpointError(
                f"{path}: {name} has {tensor.ndim:,} dimensions and {tensor.numel():,} values; "
                f"expected at most {MAX_DIMENSIONS} and at least 1"
            )
        plain = tensor.detach().resolve_neg()
        arrays[name] = (
            plain.view(torch.int16).numpy().view(np.uint16)
            if plain.dtype == torch.bfloat16
            else plain.numpy()
        )
    _check_claim(path, sum(storages.values()))
    return arrays
