"""Reads `.safetensors`, one file or several with an index, and verifies checksums."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from picodet.errors import CheckpointError
from picodet.files import regular_file
from picodet.formats.meta import META_KEY
from picodet.formats.safetensors_writer import Checksums
from picodet.formats.shards import check_names, read_index

MAX_TENSORS = 10_000


def check_count(path: Path, count: int) -> None:
    """Raise CheckpointError for more tensors than any detector has."""
    if count > MAX_TENSORS:
        raise CheckpointError(f"{path}: holds {count:,} tensors; expected at most {MAX_TENSORS:,}")


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Tensors by name, and the meta in the header of a file that picodet wrote.

    Raises CheckpointError for too many tensors, and what the library and JSON raise for damage.
    """
    with safe_open(regular_file(path), "pt") as file:
        header = json.loads((file.metadata() or {}).get(META_KEY, "null"))
        names = file.keys()
        check_count(path, len(names))
        content = {name: file.get_tensor(name) for name in names}
        checksums = Checksums(path)
    for name, tensor in content.items():
        checksums.check(name, _bits(tensor))
    return content, header if isinstance(header, dict) else None


def read_parts(index: Path) -> dict[str, Tensor]:
    """The tensors of all files that an index names. Raises CheckpointError."""
    content: dict[str, Tensor] = {}
    for part, expected in read_index(index).items():
        try:
            tensors, _ = read_safetensors(part)
        except (SafetensorError, OSError, ValueError, RecursionError) as error:
            raise CheckpointError(
                f"{part}: missing or damaged ({error!s:.200}); expected by {index.name}; copy or "
                "download it again"
            ) from error
        check_names(index, part, expected, frozenset(tensors))
        content |= tensors
    check_count(index, len(content))
    return content


def _bits(tensor: Tensor) -> np.ndarray:
    """The bytes of a tensor of any dtype: [N] uint8."""
    return np.asarray(tensor.reshape(-1).view(torch.uint8))
