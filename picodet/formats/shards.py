"""Weights in several `.safetensors`, as Hugging Face writes large ones: an index names the parts.

    model.safetensors.index.json   {"weight_map": {"backbone.conv.weight": "model-00001-of-2..."}}

Every tensor has to be in the part that is named for it, and in no other. The parts lie beside.
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
    """Told from the name alone."""
    return path.name.endswith(SUFFIX)


def find_index(folder: Path) -> Path | None:
    """The only one in a folder."""
    found = sorted(folder.glob(f"*{SUFFIX}"))
    return found[0] if len(found) == 1 else None


def read_index(path: Path) -> Shards:
    """Raises CheckpointError where it is no index, or names files that lie elsewhere."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        content = json.loads(
            regular_file(path).read_text(encoding="utf-8"), object_pairs_hook=unique_keys
        )
        places = content["weight_map"]
        if not isinstance(places, dict) or not places:
            raise ValueError("no tensor in its weight_map")
        parts: dict[str, set[str]] = {}
        for name, part in places.items():
            _check_part(part)
            parts.setdefault(part, set()).add(name)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: no index of weights in several files: {type(error).__name__} {error}"
        ) from error
    if len(parts) > MAX_PARTS:
        raise CheckpointError(f"{path}: names {len(parts):,} files; up to {MAX_PARTS:,} are read")
    return {path.with_name(part): frozenset(names) for part, names in sorted(parts.items())}


def check_names(index: Path, part: Path, expected: frozenset[str], found: frozenset[str]) -> None:
    """Raise CheckpointError where a part does not hold what the index says, and nothing else."""
    if odd := sorted(expected ^ found):
        where = "is not in it" if odd[0] in expected else f"is there without {index.name} saying so"
        raise CheckpointError(f"{part}: {odd[0]!r:.80} {where}. Copy or download both again")


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
    """A name, and no way to anywhere."""
    if not isinstance(part, str) or not part.endswith(".safetensors") or not part.isprintable():
        raise ValueError(f"{part!r:.80} in the place of a .safetensors")
    if {PurePosixPath(part).name, PureWindowsPath(part).name} != {part}:
        raise ValueError(f"{part!r:.80} does not lie beside it")
