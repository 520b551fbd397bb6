"""The results so far of a run that was interrupted, to go on with.

A `.npz` without objects: reading one runs no code. It knows what it is part of, and is refused
where anything that the numbers depend on has changed.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from picodet.errors import EvaluationError, OutputError
from picodet.evaluation.run import ROW
from picodet.files import replacing

SUFFIX = ".partial.npz"
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError)


def part_of(path: Path, rank: int) -> Path:
    """Where process number `rank` of several leaves its part."""
    return path if rank == 0 else path.with_name(f"{path.name}.rank{rank}")


def write_progress(
    path: Path,
    asked: Mapping[str, str],
    picture_ids: Sequence[int],
    rows: Sequence[np.ndarray],
) -> None:
    """asked: what the rows [N, 7], one array for each setting, depend on."""
    arrays: dict[str, Any] = {f"rows_{i}": array for i, array in enumerate(rows)}
    asked_bytes = np.frombuffer(json.dumps(dict(asked)).encode(), np.uint8)
    done = np.array(picture_ids, np.int64)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, asked=asked_bytes, done=done, **arrays)


def read_progress(path: Path, asked: Mapping[str, str]) -> tuple[list[int], list[np.ndarray]]:
    """Picture ids that are done, and their rows for each setting; of all processes' parts."""
    if not path.is_file():
        raise EvaluationError(f"{path}: there is no such file to go on with")
    parts = [path, *sorted(path.parent.glob(f"{path.name}.rank*"))]
    done: list[int] = []
    rows: list[list[np.ndarray]] = []
    for part in parts:
        ids, arrays = _read(part, asked)
        new = ~np.isin(ids, done)
        done += ids[new].tolist()
        fresh = [array[np.isin(array[:, 0], ids[new])] for array in arrays]
        rows = [
            [*old, array] for old, array in zip(rows or [[] for _ in fresh], fresh, strict=True)
        ]
    return done, [np.concatenate(arrays) for arrays in rows]


def _read(path: Path, asked: Mapping[str, str]) -> tuple[np.ndarray, list[np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as content:
            was = json.loads(content["asked"].tobytes())
            ids = content["done"]
            rows = [content[f"rows_{i}"] for i in range(len(content.files) - 2)]
        shaped = all(array.ndim == 2 and array.shape[1] == ROW for array in rows)
        if not (shaped and rows and ids.ndim == 1 and ids.dtype == np.int64):
            raise ValueError("arrays of another form")
        if not isinstance(was, dict):
            raise TypeError("no dictionary of what was asked")
    except (*UNREADABLE, TypeError) as error:
        raise EvaluationError(
            f"{path}: not the progress of an evaluation that was interrupted: {error}"
        ) from error
    changed = [key for key in {**was, **asked} if was.get(key) != asked.get(key)]
    if changed:
        listed = "; ".join(f"{key} was {was.get(key)}, is {asked.get(key)}" for key in changed)
        raise EvaluationError(
            f"{path}: is of another evaluation: {listed}. Ask for the same, or start anew without "
            "--resume"
        )
    return ids, rows


def check_progress_writable(path: Path) -> None:
    """Raise OutputError now, not when the work is lost."""
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no directory {path.parent}")
