"""Reads the index of weights in several `.safetensors`, as Hugging Face writes large models.

    model.safetensors.index.json   {"weight_map": {"backbone.conv.weight": "model-00001-of-2..."}}

Every tensor has to be in the file that the index names for it, and in no other. All files are in
the folder of the index.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from picodet.errors import CheckpointError
from picodet.files import regular_file, sha256
from picodet.formats.strict_json import unique_keys

SUFFIX = ".safetensors.index.json"
MAX_BYTES = 10_000_000  # of an index
MAX_PARTS = 1000

Shards = Mapping[Path, frozenset[str]]  # the names of the tensors in each file


def is_index(path: Path) -> bool:
    """Whether the name is that of an index."""
    return path.name.endswith(SUFFIX)


def find_index(folder: Path) -> Path | None:
    """The index in a folder; None if there is none, or several."""
    found = sorted(folder.glob(f"*{SUFFIX}"))
    return found[0] if len(found) == 1 else None


def read_index(path: Path) -> Shards:
    """The files that an index names, with their tensors' names.

    Raises CheckpointError where it is not an index, or names files in other folders.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        content = json.loads(
            regular_file(path).read_text(encoding="utf-8"), object_pairs_hook=unique_keys
        )
        places = content["weight_map"]
        if not isinstance(places, dict) or not places:
            raise ValueError("its weight_map is empty")
        parts: dict[str, set[str]] = {}
        for name, part in places.items():
            _check_part(part)
            parts.setdefault(part, set()).add(name)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: invalid index of weights: {type(error).__name__} {error}"
        ) from error
    if len(parts) > MAX_PARTS:
        raise CheckpointError(f"{path}: names {len(parts):,} files; expected at most {MAX_PARTS:,}")
    return {path.with_name(part): frozenset(names) for part, names in sorted(parts.items())}


def check_names(index: Path, part: Path, expected: frozenset[str], found: frozenset[str]) -> None:
    """Raise CheckpointError where a file does not hold exactly the tensors of the index."""
    if odd := sorted(expected ^ found):
        where = "is missing" if odd[0] in expected else f"is not listed in {index.name}"
        raise CheckpointError(f"{part}: {odd[0]!r:.80} {where}; copy or download both again")


def weights_sha256(path: Path) -> str:
    """SHA-256 of a file of weights; of an index, of all its parts."""
    if not is_index(path):
        return sha256(path)
    joined = hashlib.sha256()
    for part in read_index(path):
        joined.update(f"{part.name} {sha256(part)}\n".encode())
    return joined.hexdigest()


def weights_size(path: Path) -> int:
    """Bytes of a file of weights; of an index, those of all its parts."""
    return sum(part.stat().st_size for part in (read_index(path) if is_index(path) else [path]))


def _check_part(part: object) -> None:
    """Raise ValueError unless it is a plain file name without a folder."""
    if not isinstance(part, str) or not part.endswith(".safetensors") or not part.isprintable():
        raise ValueError(f"found {part!r:.80}; expected the name of a .safetensors")
    if {PurePosixPath(part).name, PureWindowsPath(part).name} != {part}:
        raise ValueError(f"{part!r:.80} is not in the same folder")
