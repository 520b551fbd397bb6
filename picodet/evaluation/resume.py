"""Progress files of interrupted evaluations: written, read, checked and removed.

A `.npz` without objects: reading one runs no code. It records the settings and images of its run,
and is refused if anything that the numbers depend on has changed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from glob import escape
from pathlib import Path

import numpy as np

from picodet.data.image_checksums import ImageChecksum, describe_change
from picodet.errors import EvaluationError
from picodet.evaluation.inference_loop import ROW_LENGTH
from picodet.files import atomic_write
from picodet.formats.npz_files import ArrayFileError, read_npz

SUFFIX = ".partial.npz"
READ_ERRORS = (ArrayFileError, KeyError, TypeError, ValueError, RecursionError)
ImageChecksums = Mapping[int, tuple[str, ImageChecksum]]  # file and checksum by image id


def part_path(path: Path, rank: int) -> Path:
    """The progress file of process number `rank` of several."""
    return path if rank == 0 else path.with_name(f"{path.name}.rank{rank}")


def find_parts(path: Path) -> list[Path]:
    """The existing progress files of all processes of a run."""
    others = sorted(path.parent.glob(f"{escape(path.name)}.rank*"))
    return [path, *others] if path.is_file() else others  # the first may have done nothing yet


def remove_progress(path: Path) -> None:
    """Remove the progress files of all processes."""
    for part in find_parts(path):
        part.unlink(missing_ok=True)


def write_progress(
    path: Path,
    run_settings: Mapping[str, str],
    image_ids: Sequence[int],
    rows: Sequence[np.ndarray],
    checksums: Sequence[ImageChecksum],
) -> None:
    """Write a progress file; rows: an array [N, 7] for each setting. Raises OutputError.

    run_settings and checksums (of each image done) are what the rows depend on.
    """
    settings_bytes = np.frombuffer(json.dumps(dict(run_settings)).encode(), np.uint8)
    done = np.array(image_ids, np.int64)
    counts = np.array([len(array) for array in rows], np.int64)
    joined = np.concatenate(rows)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            run_settings=settings_bytes,
            done=done,
            counts=counts,
            rows=joined,
            checksums=np.array(checksums, np.int64).reshape(-1, 2),
        )


def read_progress(
    path: Path, run_settings: Mapping[str, str], images: ImageChecksums
) -> tuple[list[int], list[np.ndarray]]:
    """The ids of finished images, and their rows for each setting, from all processes' files.

    images: the files and checksums of the dataset now. Raises EvaluationError for a file of another
    evaluation, or of other images.
    """
    parts = find_parts(path)
    if not parts:
        raise EvaluationError(f"{path}: no such progress file; start again without --resume")
    done: list[int] = []
    rows: list[list[np.ndarray]] = []
    for part in parts:
        ids, arrays = _read(part, run_settings, images)
        new = ~np.isin(ids, done)
        done += ids[new].tolist()
        new_rows = [array[np.isin(array[:, 0], ids[new])] for array in arrays]
        rows = [
            [*old, array]
            for old, array in zip(rows or [[] for _ in new_rows], new_rows, strict=True)
        ]
    return done, [np.concatenate(arrays) for arrays in rows]


def _read(
    path: Path, run_settings: Mapping[str, str], images: ImageChecksums
) -> tuple[np.ndarray, list[np.ndarray]]:
    try:
        content = read_npz(path)
        saved_settings = json.loads(content["run_settings"].tobytes())
        ids, counts, rows, checksums = (
            content[name] for name in ("done", "counts", "rows", "checksums")
        )
        integers = all(array.ndim == 1 and array.dtype == np.int64 for array in (ids, counts))
        integers = integers and checksums.shape == (len(ids), 2) and checksums.dtype == np.int64
        floats = rows.ndim == 2 and rows.shape[1] == ROW_LENGTH and rows.dtype == np.float64
        if not (integers and floats and np.isfinite(rows).all()):
            raise ValueError("arrays of an unexpected shape or dtype")
        if not len(counts) or counts.min() < 0 or counts.sum() != len(rows):
            raise ValueError(f"{len(rows)} rows in parts of {counts.tolist()!r:.60}")
        if not isinstance(saved_settings, dict):
            raise TypeError("its settings are not a dictionary")
    except READ_ERRORS as error:
        raise EvaluationError(
            f"{path}: not the progress file of an interrupted evaluation: {error}"
        ) from error
    changed = [
        key
        for key in {**saved_settings, **run_settings}
        if saved_settings.get(key) != run_settings.get(key)
    ]
    if changed:
        listed = "; ".join(
            f"{key} was {saved_settings.get(key)}, is {run_settings.get(key)}" for key in changed
        )
        raise EvaluationError(
            f"{path}: belongs to another evaluation: {listed}. Use the same settings, or start "
            "again without --resume"
        )
    _check_images(path, zip(ids.tolist(), checksums.tolist(), strict=True), images)
    return ids, np.split(rows, np.cumsum(counts)[:-1])


def _check_images(
    path: Path, before: Iterable[tuple[int, Sequence[int]]], images: ImageChecksums
) -> None:
    """Raise EvaluationError if an image has changed since it was processed."""
    changed = [
        (images[i][0], text)
        for i, checksum in before
        if i in images and (text := describe_change(ImageChecksum(*checksum), images[i][1]))
    ]
    if changed:
        (file, text), *others = changed
        more = f", and {len(others)} more have changed" if others else ""
        raise EvaluationError(
            f"{path}: belongs to other images: {file} {text}{more}. Put back the original "
            "images, or start again without --resume"
        )
