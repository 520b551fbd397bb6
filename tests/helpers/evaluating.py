"""Evaluations that are run, interrupted, shared and compared."""

import threading
import time

import numpy as np
from gated_image import PATIENCE

from picodet.distributed import SingleProcess
from picodet.errors import EvaluationError, PicoDetError
from picodet.evaluation.evaluator import detect_dataset

COUNT = 10  # pictures


def ignore(done, total):
    pass


def detect(asked, ranks=None, checking=ignore, detecting=ignore, clock=time.monotonic):
    return detect_dataset(asked, ranks or SingleProcess(), checking, detecting, clock)


def same(one, other):
    """Bit for bit."""
    assert len(one.results) == len(other.results)
    return all(same_results(a, b) for a, b in zip(one.results, other.results, strict=True))


def same_results(a, b):
    return all(np.array_equal(vars(a)[name], vars(b)[name]) for name in vars(a))


def not_yet(done, total):
    raise AssertionError("began to detect")


def interrupting(after, error=KeyboardInterrupt):
    """A user who presses Ctrl-C when so many pictures are done."""

    def progress(done, total):
        if done >= after:
            raise error

    return progress


class Neighbours:
    """Processes of one run as threads of one process."""

    def __init__(self, size):
        self.size, self.parts = size, [None] * size
        self.barrier = threading.Barrier(size, timeout=PATIENCE)

    def rank(self, rank):
        return Neighbour(self, rank)


class Neighbour:
    def __init__(self, all_of_them, rank):
        self.all_of_them, self.rank, self.size = all_of_them, rank, all_of_them.size

    def check(self):
        pass

    def gather(self, rows):
        self.all_of_them.parts[self.rank] = rows
        try:
            self.all_of_them.barrier.wait()
            parts = list(self.all_of_them.parts)
            self.all_of_them.barrier.wait()
        except threading.BrokenBarrierError as error:
            raise EvaluationError("another has failed") from error
        return parts


def detect_by(size, asked, progress=lambda rank: ignore):
    """Outcome, or error, of every rank."""
    together, outcomes = Neighbours(size), [None] * size

    def one(rank):
        try:
            outcomes[rank] = detect(asked, together.rank(rank), detecting=progress(rank))
        except (KeyboardInterrupt, PicoDetError) as error:
            together.barrier.abort()
            outcomes[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
