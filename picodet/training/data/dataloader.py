"""Batches in order, read ahead by worker processes.

The number of workers changes only the speed: a batch follows from epoch and step alone
(picodet.training.data.batch_reader).

Allocating shared memory is slow, so it is done once, and each worker writes into its own slots in
turn. That is safe: DataLoader requests a batch only after the one PREFETCH batches before has
arrived, and an arrived batch is copied at once.
"""

import math
import signal
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from picodet.config import Preprocessing
from picodet.errors import PicoDetError, TrainingError
from picodet.system.machine import end_with_parent, worker_context
from picodet.training.data.batch import Batch, Targets
from picodet.training.data.batch_reader import BatchReader, reader
from picodet.training.data.dataset import TrainDataset
from picodet.training.recipes.schema import Augmentation

Key = tuple[int, int]  # epoch, step
PREFETCH = 2  # batches in flight per worker
SLOTS = PREFETCH + 1  # per worker; one more, for the batch being copied


class SharedBatch(NamedTuple):
    """A batch from a worker, with its images in shared memory."""

    worker: int
    slot: int
    shape: tuple[int, ...]  # of the images
    targets: tuple[np.ndarray, ...]  # as in Targets; each tensor would need a file descriptor
    image_ids: tuple[int, ...]


class Loader:
    """The data loader of one rank. Its workers end with this process."""

    def __init__(
        self,
        dataset: TrainDataset,
        augmentation: Augmentation,
        preprocessing: Preprocessing,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 2,
    ) -> None:
        """batch_size: images per batch of this rank; workers: processes, 0: read in this one.

        Raises TrainingError for too few images for a step, or too little shared memory.
        """
        self.reader = reader(dataset, augmentation, preprocessing, batch_size, seed, rank, ranks)
        self.workers = workers
        self._steps = _StepSampler(self.reader.steps_per_epoch)
        self._shared_buffers = _shared_buffers(workers, self.reader)
        self._loader = _loader(
            _BatchDataset(self.reader, self._shared_buffers), self._steps, workers
        )

    @property
    def steps_per_epoch(self) -> int:
        """Full batches of an epoch."""
        return self.reader.steps_per_epoch

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on (both counted from 0).

        Raises ImageError for an image that cannot be read, TrainingError if a worker dies.
        """
        self._steps.epoch, self._steps.start = number, start
        try:
            for item in self._loader:
                if isinstance(item, PicoDetError):
                    raise item
                yield item if isinstance(item, Batch) else self._received(item)
        except RuntimeError as error:
            if "exited unexpectedly" not in str(error):
                raise
            raise TrainingError(
                f"a data loader worker died in epoch {number + 1}: {error}. Memory may have run "
                "out: use fewer --workers or a smaller --batch"
            ) from error

    def _received(self, item: SharedBatch) -> Batch:
        flat = self._shared_buffers[item.worker, item.slot, : math.prod(item.shape)]
        targets = Targets(*map(torch.from_numpy, item.targets))
        return Batch(flat.view(item.shape).clone(), targets, item.image_ids)


class _StepSampler(Sampler[Key]):
    """The steps of an epoch, for the main process."""

    def __init__(self, number: int) -> None:
        self.number, self.epoch, self.start = number, 0, 0

    def __iter__(self) -> Iterator[Key]:
        epoch = self.epoch
        return iter([(epoch, step) for step in range(self.start, self.number)])

    def __len__(self) -> int:
        return self.number - self.start


class _BatchDataset(Dataset[Batch | SharedBatch | PicoDetError]):
    """Makes batches in the workers. Errors are returned: raised, they would become tracebacks."""

    def __init__(self, wrapped: BatchReader, buffers: Tensor) -> None:
        self.reader, self.buffers, self.made = wrapped, buffers, 0

    def __getitem__(self, key: Key) -> Batch | SharedBatch | PicoDetError:
        worker = get_worker_info()
        try:
            if worker is None:
                return self.reader.batch(*key)
            slot = self.made % SLOTS
            batch = self.reader.batch(*key, buffer=self.buffers[worker.id, slot])
        except PicoDetError as error:
            return error
        self.made += 1
        targets = tuple(tensor.numpy() for tensor in batch.targets)
        return SharedBatch(worker.id, slot, tuple(batch.images.shape), targets, batch.image_ids)


def _shared_buffers(workers: int, wrapped: BatchReader) -> Tensor:
    """[workers, SLOTS, max_values] float32 in shared memory."""
    shape = (workers, SLOTS, wrapped.max_values)
    try:
        return torch.empty(shape).share_memory_()
    except RuntimeError as error:
        raise TrainingError(
            f"{workers} workers need {math.prod(shape) * 4 / 1e9:.1f} GB of shared memory "
            f"(/dev/shm), and less is available: {error}. Use fewer --workers or a smaller --batch"
        ) from error


def _loader(batches: _BatchDataset, steps: _StepSampler, workers: int) -> DataLoader[Any]:
    common: dict[str, Any] = {
        "batch_size": None,
        "sampler": steps,
        "collate_fn": _identity,
        "generator": torch.Generator(),  # or it would draw from torch's global one
    }
    if not workers:
        return DataLoader(batches, **common)
    return DataLoader(
        batches,
        **common,
        num_workers=workers,
        prefetch_factor=PREFETCH,
        persistent_workers=True,
        multiprocessing_context=worker_context("picodet.training.data.batch_reader"),
        worker_init_fn=_init_worker,
    )


def _identity(batch: Any) -> Any:
    return batch


def _init_worker(_: int) -> None:
    """A worker ignores Ctrl-C, uses one core, and ends with the main process."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
