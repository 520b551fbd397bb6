"""Checksums of the images of a training, so that it resumes with the same ones.

Sizes and checksums count: a copy of a dataset is as good as the original. They are written to
images.json with the times of the last change; files with the same times are not read again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from picodet.data.image_checksums import (
    UNKNOWN_CHECKSUM,
    ImageChecksum,
    describe_change,
    image_checksum,
)
from picodet.distributed import ProcessGroup, local_processes, shard
from picodet.errors import TrainingError
from picodet.files import write_text
from picodet.system.machine import available_cores

FILE = "images.json"
COLUMNS = 4  # of a row: size, checksum, mtime and ctime in ns
NO_ROWS = np.empty((0, COLUMNS), np.int64)  # of no images
ProgressCallback = Callable[[int, int], None]


def scan(
    paths: Sequence[Path], known: np.ndarray, ranks: ProcessGroup, progress: ProgressCallback
) -> np.ndarray:
    """[N, COLUMNS] int64 of N images; equal in all processes except for the times.

    Reads the files in threads, shared among the processes. known: [N, COLUMNS] of before, or empty.
    progress: called with (done, total).
    """
    times = np.array([_times(path) for path in paths], np.int64).reshape(-1, 3)
    same = np.zeros(len(paths), bool)
    if len(known) == len(paths):
        same = (times == known[:, [0, 2, 3]]).all(axis=1)
    mine = shard(ranks, range(len(paths)))
    found = []
    pool = ThreadPoolExecutor(max(1, available_cores() // local_processes()))
    try:
        to_read = (None if same[i] else paths[i] for i in mine)
        for i, each in zip(mine, pool.map(_unless_known, to_read), strict=True):
            size, crc = each or known[i, :2]
            found.append((i, size, crc))
            progress(min(len(found) * ranks.size, len(paths)), len(paths))
            ranks.check()
    finally:
        pool.shutdown(cancel_futures=True)
    gathered = np.concatenate(ranks.gather(np.array(found, np.float64).reshape(-1, 3)))
    sums = np.empty((len(paths), 2), np.int64)
    sums[gathered[:, 0].astype(int)] = gathered[:, 1:]
    return np.concatenate([sums, times[:, 1:]], axis=1)


def digest(rows: np.ndarray) -> str:
    """SHA-256 of sizes and checksums, without the times."""
    return hashlib.sha256(np.ascontiguousarray(rows[:, :2], "<i8").tobytes()).hexdigest()


def write(folder: Path, **rows: np.ndarray) -> None:
    """Write images.json into a folder: an array for each name."""
    lists = {name: array.tolist() for name, array in rows.items()}
    write_text(folder / FILE, json.dumps(lists, separators=(",", ":")) + "\n")


def read(folder: Path, name: str) -> np.ndarray:
    """[N, COLUMNS] int64; empty if images.json is missing or damaged: all files are read then."""
    try:
        rows = json.loads((folder / FILE).read_bytes())[name]
        array = np.array(rows, np.int64)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return NO_ROWS
    return array if array.ndim == 2 and array.shape[1] == COLUMNS else NO_ROWS


def refuse_others(
    paths: Sequence[Path], before: np.ndarray, now: np.ndarray, checkpoint: Path, what: str
) -> None:
    """Raise TrainingError, as the digests differ; names the first changed image if it can."""
    if len(before) == len(now):
        changed = np.flatnonzero((before[:, :2] != now[:, :2]).any(axis=1))
        if len(changed):
            first = int(changed[0])
            was, found = (ImageChecksum(*map(int, rows[first, :2])) for rows in (before, now))
            gone = "cannot be read" if found == UNKNOWN_CHECKSUM else "could not be read"
            more = f", and so did {len(changed) - 1:,} more of" if len(changed) > 1 else ", of"
            raise TrainingError(
                f"{paths[first]}: changed since the training of {checkpoint} began: "
                f"it {describe_change(was, found) or gone}{more} {len(now):,} images to {what}. "
                "Restore the original images, or start a new training in another --out"
            )
    raise TrainingError(
        f"{checkpoint}: the {len(now):,} images to {what} differ from those it began with (which "
        f"ones is unknown without {FILE}). Restore the original images, or give another --out"
    )


def _times(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return -1, 0, 0
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _unless_known(path: Path | None) -> ImageChecksum | None:
    return None if path is None else image_checksum(path)
