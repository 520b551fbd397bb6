"""Evaluations that are run, interrupted, distributed and compared."""

import threading
import time

import numpy as np
from gated_image import PATIENCE

from picodet.distributed import SingleProcess
from picodet.errors import EvaluationError, PicoDetError
from picodet.evaluation.evaluator import detect_dataset

NUM_IMAGES = 10


def no_progress(done, total):
    pass


def detect(
    request,
    ranks=None,
    check_progress=no_progress,
    detect_progress=no_progress,
    clock=time.monotonic,
):
    return detect_dataset(request, ranks or SingleProcess(), check_progress, detect_progress, clock)


def same_output(one, other):
    """Assert that two outcomes are equal bit for bit."""
    assert len(one.predictions) == len(other.predictions)
    return all(
        same_predictions(a, b) for a, b in zip(one.predictions, other.predictions, strict=True)
    )


def same_predictions(a, b):
    return all(np.array_equal(vars(a)[name], vars(b)[name]) for name in vars(a))


def fail_on_progress(done, total):
    raise AssertionError("started to detect")


def interrupt_after(after, error=KeyboardInterrupt):
    """Raise an error, such as Ctrl-C's, after a number of images."""

    def progress(done, total):
        if done >= after:
            raise error

    return progress


class ThreadGroup:
    """Run the processes of an evaluation as threads of one process."""

    def __init__(self, size):
        self.size, self.parts = size, [None] * size
        self.barrier = threading.Barrier(size, timeout=PATIENCE)

    def rank(self, rank):
        return ThreadRank(self, rank)


class ThreadRank:
    def __init__(self, group, rank):
        self.group, self.rank, self.size = group, rank, group.size

    def check(self):
        pass

    def gather(self, rows):
        self.group.parts[self.rank] = rows
        try:
            self.group.barrier.wait()
            parts = list(self.group.parts)
            self.group.barrier.wait()
        except threading.BrokenBarrierError as error:
            raise EvaluationError("another has failed") from error
        return parts


def detect_with_threads(size, request, progress=lambda rank: no_progress):
    """The outcome or error of every rank."""
    group, outcomes = ThreadGroup(size), [None] * size

    def one(rank):
        try:
            outcomes[rank] = detect(request, group.rank(rank), detect_progress=progress(rank))
        except (KeyboardInterrupt, PicoDetError) as error:
            group.barrier.abort()
            outcomes[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
