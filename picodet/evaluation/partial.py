"""What an evaluation leaves of itself while it runs: every minute, and where it is interrupted."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from picodet.data.image_checksums import ImageSum
from picodet.distributed import ProcessGroup
from picodet.errors import EvaluationError, OutputError
from picodet.evaluation.inference_loop import ROW
from picodet.evaluation.resume import SUFFIX, part_of, parts_of, write_progress
from picodet.system import locks
from picodet.system.intervals import Clock, IntervalTimer
from picodet.system.locks import Lock

OFTEN = 60.0  # seconds between two times that it is written
SHARE = 20  # times that writing took, at least, in between


class Partial:
    """The part of one process. One evaluation alone writes a file, and none writes over what
    another has left: it takes the next name that is free, or refuses to go on with a file that
    another goes on with.
    """

    def __init__(
        self,
        path: Path,
        resumed: bool,
        depends_on: Mapping[str, str],
        sums: Mapping[int, ImageSum],
        ranks: ProcessGroup,
        clock: Clock = time.monotonic,
    ) -> None:
        self.depends_on, self.sums, self.clock, self.resumed = depends_on, sums, clock, resumed
        self.due = IntervalTimer(OFTEN, clock)
        self.notes: tuple[str, ...] = ()
        self.lock: Lock | None = None
        number = 0
        if ranks.rank == 0:
            number, self.lock = _own(path, resumed)
        number = int(ranks.gather(np.array([[number]], np.float64))[0][0, 0])
        self.whole = _numbered(path, number)  # what is to be resumed
        self.path = part_of(self.whole, ranks.rank)
        self.written = False

    def __enter__(self) -> "Partial":
        return self

    def __exit__(self, *_: object) -> None:
        if self.lock:
            self.lock.release()

    def keep(self, done: Sequence[int], rows: Sequence[Sequence[np.ndarray]]) -> None:
        """Write it if it is time. Where it cannot be written, the evaluation goes on: a note."""
        if self.notes or not self.due():
            return
        start = self.clock()
        try:
            self.write(done, rows)
        except OutputError as error:
            self.notes = (f"the results so far were not kept for --resume: {error}",)
        self.due.seconds = max(OFTEN, SHARE * (self.clock() - start))

    def write(self, done: Sequence[int], rows: Sequence[Sequence[np.ndarray]]) -> None:
        """rows: of each setting, any number of arrays [N, 7]. Raises OutputError."""
        sums = [self.sums[picture] for picture in done]
        write_progress(self.path, self.depends_on, done, [joined(kept) for kept in rows], sums)
        self.written = True


def joined(rows: Sequence[np.ndarray]) -> np.ndarray:
    """[N, 7], of none as well."""
    return np.concatenate([np.empty((0, ROW)), *rows])


def _own(path: Path, resumed: bool) -> tuple[int, Lock]:
    if resumed:
        lock = locks.acquire(path)
        if lock is None:
            raise EvaluationError(
                f"{path}: {locks.lock_holder(path)} goes on with it at this moment; wait for its end"
            )
        return 1, lock
    number = 1
    while parts_of(_numbered(path, number)) or not (lock := locks.acquire(_numbered(path, number))):
        number += 1
    return number, lock


def _numbered(path: Path, number: int) -> Path:
    """x.partial.npz, x-2.partial.npz and so on."""
    if number == 1:
        return path
    return path.with_name(f"{path.name.removesuffix(SUFFIX)}-{number}{SUFFIX}")
