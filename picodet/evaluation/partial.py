"""Saves the progress of an evaluation every minute and when it is interrupted."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from picodet.data.image_checksums import ImageChecksum
from picodet.distributed import ProcessGroup
from picodet.errors import EvaluationError, OutputError
from picodet.evaluation.inference_loop import ROW_LENGTH
from picodet.evaluation.resume import SUFFIX, find_parts, part_path, write_progress
from picodet.system import locks
from picodet.system.intervals import Clock, IntervalTimer
from picodet.system.locks import Lock

MIN_INTERVAL = 60.0  # seconds between two writes
MIN_WORK_RATIO = 20  # at least this many times the duration of a write lies between two


class PartialResults:
    """The progress of one process, in a file that is locked by its evaluation.

    A new run never overwrites another's file but takes the next free name; a file that another run
    is resuming is refused with EvaluationError.
    """

    def __init__(
        self,
        path: Path,
        resumed: bool,
        run_settings: Mapping[str, str],
        checksums: Mapping[int, ImageChecksum],
        ranks: ProcessGroup,
        clock: Clock = time.monotonic,
    ) -> None:
        self.run_settings, self.checksums, self.clock, self.resumed = (
            run_settings,
            checksums,
            clock,
            resumed,
        )
        self.write_timer = IntervalTimer(MIN_INTERVAL, clock)
        self.notes: tuple[str, ...] = ()
        self.lock: Lock | None = None
        number = 0
        if ranks.rank == 0:
            number, self.lock = _claim_path(path, resumed)
        number = int(ranks.gather(np.array([[number]], np.float64))[0][0, 0])
        self.base_path = _numbered_path(path, number)  # the file to give to --resume
        self.path = part_path(self.base_path, ranks.rank)
        self.written = False

    def __enter__(self) -> "PartialResults":
        return self

    def __exit__(self, *_: object) -> None:
        if self.lock:
            self.lock.release()

    def write_if_due(self, done: Sequence[int], rows: Sequence[Sequence[np.ndarray]]) -> None:
        """Write the progress if it is due. A failure becomes a note, and the evaluation goes on."""
        if self.notes or not self.write_timer():
            return
        start = self.clock()
        try:
            self.write(done, rows)
        except OutputError as error:
            self.notes = (f"the progress was not saved for --resume: {error}",)
        self.write_timer.seconds = max(MIN_INTERVAL, MIN_WORK_RATIO * (self.clock() - start))

    def write(self, done: Sequence[int], rows: Sequence[Sequence[np.ndarray]]) -> None:
        """Write the progress; rows: for each setting, arrays [N, 7]. Raises OutputError."""
        checksums = [self.checksums[image_id] for image_id in done]
        write_progress(
            self.path,
            self.run_settings,
            done,
            [concatenate_rows(setting_rows) for setting_rows in rows],
            checksums,
        )
        self.written = True


def concatenate_rows(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Join arrays of rows to [N, 7]; none give [0, 7]."""
    return np.concatenate([np.empty((0, ROW_LENGTH)), *rows])


def _claim_path(path: Path, resumed: bool) -> tuple[int, Lock]:
    if resumed:
        lock = locks.acquire(path)
        if lock is None:
            raise EvaluationError(
                f"{path}: {locks.lock_holder(path)} is resuming it; wait until that has ended"
            )
        return 1, lock
    number = 1
    while find_parts(_numbered_path(path, number)) or not (
        lock := locks.acquire(_numbered_path(path, number))
    ):
        number += 1
    return number, lock


def _numbered_path(path: Path, number: int) -> Path:
    """x.partial.npz, x-2.partial.npz and so on."""
    if number == 1:
        return path
    return path.with_name(f"{path.name.removesuffix(SUFFIX)}-{number}{SUFFIX}")
