"""The results so far of a run that was interrupted, to go on with.

A `.npz` without objects: reading one runs no code. It knows what it is part of, and is refused
where anything that the numbers depend on has changed.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from picodet.errors import EvaluationError
from picodet.evaluation.run import ROW
from picodet.files import replacing
from picodet.npz_files import ArrayFileError, read_npz

SUFFIX = ".partial.npz"
UNREADABLE = (ArrayFileError, KeyError, TypeError, ValueError, RecursionError)


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
    asked_bytes = np.frombuffer(json.dumps(dict(asked)).encode(), np.uint8)
    done = np.array(picture_ids, np.int64)
    counts = np.array([len(array) for array in rows], np.int64)
    joined = np.concatenate(rows)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, asked=asked_bytes, done=done, counts=counts, rows=joined)


def read_progress(path: Path, asked: Mapping[str, str]) -> tuple[list[int], list[np.ndarray]]:
    """Picture ids that are done, and their rows for each setting; of all processes' parts."""
    others = sorted(path.parent.glob(f"{path.name}.rank*"))
    parts = [path, *others] if path.is_file() else others  # the first may have done nothing yet
    if not parts:
        raise EvaluationError(f"{path}: there is no such file to go on with")
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
        content = read_npz(path)
        was = json.loads(content["asked"].tobytes())
        ids, counts, rows = (content[name] for name in ("done", "counts", "rows"))
        integers = all(array.ndim == 1 and array.dtype == np.int64 for array in (ids, counts))
        floats = rows.ndim == 2 and rows.shape[1] == ROW and rows.dtype == np.float64
        if not (integers and floats and np.isfinite(rows).all()):
            raise ValueError("arrays of another form")
        if not len(counts) or counts.min() < 0 or counts.sum() != len(rows):
            raise ValueError(f"{len(rows)} rows in parts of {counts.tolist()!r:.60}")
        if not isinstance(was, dict):
            raise TypeError("no dictionary of what was asked")
    except UNREADABLE as error:
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
    return ids, np.split(rows, np.cumsum(counts)[:-1])
