"""Batches one after another, read ahead by processes of their own.

The number of workers changes nothing but the speed: a batch is made from its number alone
(picodet.training.reading).
"""

import multiprocessing
import signal
from collections.abc import Iterator
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from picodet.config import Preprocessing
from picodet.errors import PicoDetError, TrainingError
from picodet.training.batch import Batch
from picodet.training.reading import Reader, reader
from picodet.training.recipe import Augmentation
from picodet.training.samples import Samples

Key = tuple[int, int]  # epoch, step
AHEAD = 2  # batches that each worker has under way


class Loader:
    """What one rank is fed with."""

    def __init__(
        self,
        samples: Samples,
        augmentation: Augmentation,
        preprocessing: Preprocessing,
        per_step: int,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 2,
    ) -> None:
        """per_step: pictures of this rank; workers: 0 reads in this process.

        Raises TrainingError where there are not enough pictures for a step.
        """
        self.reader = reader(samples, augmentation, preprocessing, per_step, seed, rank, ranks)
        self.workers = workers
        self._steps = _Steps(self.reader.steps_per_epoch)
        self._loader = _loader(_Batches(self.reader), self._steps, workers)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return self.reader.steps_per_epoch

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """From the batch of step `start` on; what comes before it is not read.

        Raises ImageError for a picture that cannot be read, TrainingError where a worker dies.
        """
        self._steps.epoch, self._steps.start = number, start
        try:
            for batch in self._loader:
                if isinstance(batch, PicoDetError):
                    raise batch
                yield batch
        except RuntimeError as error:
            if "exited unexpectedly" not in str(error):
                raise
            raise TrainingError(
                f"a process that reads pictures has died in epoch {number + 1}: {error}. Mostly "
                "memory was short: --workers with fewer, or more room in /dev/shm, where "
                f"{AHEAD * self.workers} batches are kept"
            ) from error


class _Steps(Sampler[Key]):
    """The steps of an epoch; lives in the main process."""

    def __init__(self, number: int) -> None:
        self.number, self.epoch, self.start = number, 0, 0

    def __iter__(self) -> Iterator[Key]:
        epoch = self.epoch
        return iter([(epoch, step) for step in range(self.start, self.number)])

    def __len__(self) -> int:
        return self.number - self.start


class _Batches(Dataset[Batch | PicoDetError]):
    """Lives in the workers. An error comes back as a value: raised, it would become a traceback."""

    def __init__(self, wrapped: Reader) -> None:
        self.reader = wrapped

    def __getitem__(self, key: Key) -> Batch | PicoDetError:
        try:
            return self.reader.batch(*key)
        except PicoDetError as error:
            return error


def _loader(batches: _Batches, steps: _Steps, workers: int) -> DataLoader[Any]:
    common: dict[str, Any] = {
        "batch_size": None,
        "sampler": steps,
        "collate_fn": _unchanged,
        "generator": torch.Generator(),  # what it draws is not ours, nor the training's
    }
    if not workers:
        return DataLoader(batches, **common)
    # a fork of a process with threads, as torch's are, may hang
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["picodet.training.reading"])
    return DataLoader(
        batches,
        **common,
        num_workers=workers,
        prefetch_factor=AHEAD,
        persistent_workers=True,
        multiprocessing_context=context,
        worker_init_fn=_begin,
    )


def _unchanged(batch: Any) -> Any:
    return batch


def _begin(_: int) -> None:
    """Ctrl-C is the main process's to answer; a worker keeps to its one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
