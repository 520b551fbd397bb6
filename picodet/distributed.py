"""Several processes that share one job, started by torchrun, on one machine or many.

No process waits for a dead one: each sends heartbeats, and watches those of the others while it
works and while it waits. Data goes over gloo, or over NCCL where the model is on a GPU.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from picodet.errors import ProcessesError

HEARTBEAT_INTERVAL = 0.5  # seconds between two heartbeats
HEARTBEAT_TIMEOUT = 15.0  # seconds without one, after which a process counts as dead
RENDEZVOUS_TIMEOUT = 300.0  # seconds that the first processes wait for the others to start
ERROR_TIMEOUT = 3.0  # seconds that a failed process waits until the others know its error
MAX_TEXT = 500  # characters of an error

if TYPE_CHECKING:
    from torch.distributed import Store

T = TypeVar("T")


class ProcessGroup(Protocol):
    """The processes of this run, seen from one of them."""

    rank: int  # this one; 0 is the one that reports the result
    size: int

    def check(self) -> None:
        """Raise ProcessesError where another process has failed."""

    def gather(self, rows: np.ndarray) -> list[np.ndarray]:
        """The rows [N, columns] float64 of every rank, in their order; N may differ between them.

        Raises ProcessesError where another process has failed.
        """


class SingleProcess:
    """The group of a run with one process."""

    rank, size = 0, 1

    def check(self) -> None:
        pass

    def gather(self, rows: np.ndarray) -> list[np.ndarray]:
        return [rows]


def shard(ranks: ProcessGroup, work: Sequence[T]) -> Sequence[T]:
    """The items that this process works on; each belongs to exactly one process."""
    return work[ranks.rank :: ranks.size]


def local_processes() -> int:
    """The number of torchrun's processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def local_device(device: str) -> str:
    """For "cuda" the GPU of this process's LOCAL_RANK; any other device is returned unchanged."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" and is_distributed() else device


def is_distributed() -> bool:
    """Whether torchrun has started more than one process."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this is rank 0, the process that reports the result."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def process_group(device: str) -> Iterator[ProcessGroup]:
    """Context manager: the processes that torchrun has started, or just this one.

    Initializes torch.distributed and destroys its group in the end; a thread sends heartbeats.
    Raises ProcessesError where the processes do not connect or the device is unusable.
    """
    if not is_distributed():
        yield SingleProcess()
        return
    import torch
    import torch.distributed as dist

    on_gpu = device.startswith("cuda")
    if on_gpu:
        try:
            torch.cuda.set_device(device)
        except Exception as error:  # each way of having no GPU has an error of its own
            reason = str(error).strip().split("\n")[0]
            raise ProcessesError(
                f"device {device}: torch cannot use it here: {reason}. Each process of a machine "
                "needs a GPU of its own"
            ) from error
    try:
        store, rank, size = next(dist.rendezvous("env://"))
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            store=store,
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=RENDEZVOUS_TIMEOUT),
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ProcessesError(
            f"the processes cannot connect: {reason}. Start them with torchrun"
        ) from error
    group = _TorchrunGroup(rank, size, dist.PrefixStore("picodet", store), device)
    try:
        yield group
    except BaseException as error:
        group.broadcast_error(error)
        raise
    else:
        dist.destroy_process_group()
    finally:
        group.close()


class _TorchrunGroup:
    """A group whose heartbeats and errors go through torchrun's rendezvous store."""

    def __init__(self, rank: int, size: int, store: "Store", device: str) -> None:
        self.rank, self.size, self.store, self.device = rank, size, store, device
        self.failure: str | None = None
        self.arrivals = 0
        self.stopped = threading.Event()
        self.watch = threading.Thread(target=self._watch, daemon=True)
        self.watch.start()

    def check(self) -> None:
        if self.failure:
            raise ProcessesError(self.failure)

    def gather(self, rows: np.ndarray) -> list[np.ndarray]:
        try:
            self._barrier()
            return self._all_gather(rows)
        except RuntimeError as error:
            self.check()
            raise ProcessesError(
                f"another process of the {self.size} has ended; see its output"
            ) from error

    def _all_gather(self, rows: np.ndarray) -> list[np.ndarray]:
        import torch
        import torch.distributed as dist

        shape = torch.tensor(rows.shape, device=self.device)
        shapes = [torch.empty_like(shape) for _ in range(self.size)]
        dist.all_gather(shapes, shape)
        longest = int(max(int(each[0]) for each in shapes))
        padded = torch.zeros(longest, rows.shape[1], dtype=torch.float64, device=self.device)
        padded[: len(rows)] = torch.from_numpy(rows)
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return [
            part[: int(each[0])].cpu().numpy() for part, each in zip(parts, shapes, strict=True)
        ]

    def broadcast_error(self, error: BaseException) -> None:
        """Make the other processes stop with this error; only the first error counts.

        Waits until all know it: the store ends with the process that hosts it.
        """
        with suppress(RuntimeError):  # the store is gone
            if self.failure is None:
                text = str(error) or type(error).__name__
                message = f"process {self.rank} of {self.size} failed: {text[:MAX_TEXT]}"
                self.store.compare_set("failure", "", message)
            deadline = time.monotonic() + ERROR_TIMEOUT
            while self.store.add("heard", 0) < self.size and time.monotonic() < deadline:
                time.sleep(HEARTBEAT_INTERVAL / 10)

    def close(self) -> None:
        self.stopped.set()
        self.watch.join()

    def _barrier(self) -> None:
        """Wait until all ranks are here; a collective operation would wait for dead ones too."""
        self.arrivals += 1
        self.store.add(f"arrived/{self.arrivals}", 1)
        while self.store.add(f"arrived/{self.arrivals}", 0) < self.size:
            self.check()
            time.sleep(HEARTBEAT_INTERVAL / 10)

    def _watch(self) -> None:
        """Send and watch heartbeats, in a thread, until close() or a failure."""
        heard = {rank: (0, time.monotonic()) for rank in range(self.size) if rank != self.rank}
        while not self.stopped.wait(HEARTBEAT_INTERVAL) and self.failure is None:
            try:
                self.store.add(f"beat/{self.rank}", 1)
                if self.store.check(["failure"]):
                    self.failure = self.store.get("failure").decode()
                    self.store.add("heard", 1)
                for rank, (count, since) in heard.items():
                    now = self.store.add(f"beat/{rank}", 0)
                    if now != count:
                        heard[rank] = now, time.monotonic()
                    elif time.monotonic() - since > HEARTBEAT_TIMEOUT:
                        self.failure = f"process {rank} of {self.size} is silent; is it dead?"
            except RuntimeError as error:
                self.failure = f"the process that hosts the store has ended: {error!s:.{MAX_TEXT}}"
