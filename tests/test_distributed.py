"""Communication of processes, which are threads that share a store here."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
from gated_image import PATIENCE

from picodet import distributed
from picodet.distributed import SingleProcess, local_device, local_processes, process_group, shard
from picodet.errors import ProcessesError

ROOT = Path(__file__).parents[2]


def test_alone():
    rows = np.ones((2, 7))
    with process_group("cpu") as group:
        assert (group.rank, group.size) == (0, 1)
        group.check()
        (same,) = group.gather(rows)
    assert same is rows


@pytest.mark.parametrize("size", [1, 2, 3, 20])
def test_each_piece_belongs_to_exactly_one(size):
    class Rank(SingleProcess):
        pass

    shares = []
    for rank in range(size):
        of_many = Rank()
        of_many.rank, of_many.size = rank, size
        shares.append(shard(of_many, range(10)))
    assert sorted(piece for each in shares for piece in each) == list(range(10))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_what_torchrun_says(monkeypatch):
    assert (local_processes(), local_device("cuda")) == (1, "cuda")
    for name, value in (("WORLD_SIZE", "8"), ("LOCAL_WORLD_SIZE", "4"), ("LOCAL_RANK", "3")):
        monkeypatch.setenv(name, value)
    assert local_processes() == 4
    assert [local_device(name) for name in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda:3", "cuda:1"]


def test_processes_that_cannot_meet(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    message = r"cannot connect: .*RANK.*\. Start them with"
    with pytest.raises(ProcessesError, match=message), process_group("cpu"):
        pass


class Clock:
    """Replaces `time`: it stands still while a test waits, however long."""

    now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        time.sleep(seconds)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(distributed, "time", clock)
    return clock


@pytest.fixture
def meet(clock, monkeypatch):
    """Ranks that share a store, with short intervals."""
    monkeypatch.setattr(distributed, "HEARTBEAT_INTERVAL", 0.02)
    met = []

    def meet(size):
        store = dist.HashStore()
        met.extend(distributed._TorchrunGroup(rank, size, store, "cpu") for rank in range(size))
        return met

    yield meet
    for group in met:
        group.close()


def wait_for_failure(group):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        group.check()
        time.sleep(0.01)


def test_an_error_of_one_is_everybodys(meet):
    first, second, third = meet(3)
    for each in (first, second, third):
        each.check()
    second.broadcast_error(ProcessesError("7.png: not an image"))
    for each in (first, third):
        with pytest.raises(ProcessesError, match=r"^process 1 of 3 failed: 7\.png: not an image$"):
            wait_for_failure(each)


def test_the_first_error_counts(meet):
    first, second, third = meet(3)
    second.broadcast_error(ProcessesError("the first"))
    third.broadcast_error(KeyboardInterrupt())
    with pytest.raises(ProcessesError, match="process 1 of 3 failed: the first"):
        wait_for_failure(first)
    first.broadcast_error(ProcessesError("the consequence"))
    with pytest.raises(ProcessesError, match="process 1 of 3 failed: the first"):
        wait_for_failure(third)


def test_of_two_errors_at_once_too(meet, monkeypatch):
    """Two errors at once: neither rank knows the other's."""
    monkeypatch.setattr(distributed, "ERROR_TIMEOUT", 0)
    first, second, third = meet(3)
    for each in (first, second, third):
        each.close()
    second.broadcast_error(ProcessesError("the first"))
    third.broadcast_error(ProcessesError("the second"))
    assert third.store.get("failure") == b"process 1 of 3 failed: the first"


def test_nobody_leaves_before_all_know_why(meet, clock, monkeypatch):
    """The store ends with the process that hosts it; dead processes are not waited for long."""
    first, second = meet(2)
    second.broadcast_error(ProcessesError("7.png"))
    assert first.failure == "process 1 of 2 failed: 7.png"
    third, fourth = meet(2)[2:]
    third.close()

    def sleep(seconds):
        clock.now += seconds

    monkeypatch.setattr(clock, "sleep", sleep)
    fourth.broadcast_error(ProcessesError("7.png"))
    assert (
        distributed.ERROR_TIMEOUT
        <= clock.now
        < distributed.ERROR_TIMEOUT + 2 * distributed.HEARTBEAT_INTERVAL
    )
    assert third.failure is None


def test_errors_without_words_and_with_many(meet):
    first, second = meet(2)
    second.broadcast_error(KeyboardInterrupt())
    with pytest.raises(ProcessesError, match=r"process 1 of 2 failed: KeyboardInterrupt$"):
        wait_for_failure(first)
    third, fourth = meet(2)[2:]
    fourth.broadcast_error(ProcessesError("x" * 900))
    with pytest.raises(ProcessesError, match=f"failed: x{{{distributed.MAX_TEXT}}}$"):
        wait_for_failure(third)


def wait_for_beats(group, rank, count):
    seen = group.store.add(f"beat/{rank}", 0)
    while group.store.add(f"beat/{rank}", 0) < seen + count:
        time.sleep(0.01)


def test_who_is_silent_is_taken_for_dead(meet, clock):
    first, second = meet(2)
    for _ in range(2):  # together longer than anybody may be silent
        clock.now += 0.9 * distributed.HEARTBEAT_TIMEOUT
        wait_for_beats(first, 1, 2)
        wait_for_beats(first, 0, 2)  # so that the first has heard the second's
        first.check()
    second.close()
    wait_for_beats(first, 0, 2)  # whatever it was it has been heard
    clock.now += 1.1 * distributed.HEARTBEAT_TIMEOUT
    with pytest.raises(ProcessesError, match=r"process 1 of 2 is silent; is it dead\?"):
        wait_for_failure(first)


def test_nobody_waits_for_the_dead(meet, clock):
    first, second = meet(2)
    second.close()
    wait_for_beats(first, 0, 2)  # whatever it was it has been heard
    clock.now += 1.1 * distributed.HEARTBEAT_TIMEOUT
    with pytest.raises(ProcessesError, match="process 1 of 2 is silent"):
        first._barrier()


def test_all_wait_for_the_last(meet):
    group = meet(3)
    arrived = []

    def arrive(each):
        for turn in range(3):
            time.sleep(0.02 * each.rank)
            arrived.append((turn, "before"))
            each._barrier()
            arrived.append((turn, "past"))

    threads = [threading.Thread(target=arrive, args=(each,)) for each in group]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for turn in range(3):
        first_past = arrived.index((turn, "past"))
        assert arrived[:first_past].count((turn, "before")) == 3


def test_everybody_has_the_rows_of_all(meet, monkeypatch):
    """Ranks may have different numbers of rows; threads exchange them here."""
    group = meet(3)
    barrier, shown = threading.Barrier(3, timeout=PATIENCE), {}

    def all_gather(parts, own):
        shown[threading.current_thread().name] = own
        barrier.wait()
        for rank, part in enumerate(parts):
            part.copy_(shown[str(rank)])
        barrier.wait()

    monkeypatch.setattr(dist, "all_gather", all_gather)
    rows = [np.random.default_rng(count).normal(size=(count, 7)) for count in (2, 0, 5)]
    found = {}

    def gather(each):
        found[each.rank] = each.gather(rows[each.rank])

    threads = [threading.Thread(target=gather, args=[e], name=str(e.rank)) for e in group]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for parts in found.values():
        assert all(np.array_equal(a, b) for a, b in zip(parts, rows, strict=True))
    assert len(found) == 3


def test_a_store_that_is_gone_is_noticed(meet, monkeypatch):
    (first, _) = meet(2)

    def gone(*_):
        raise RuntimeError("connection reset")

    monkeypatch.setattr(first, "store", type("Gone", (), {"add": gone, "compare_set": gone})())
    with pytest.raises(ProcessesError, match="hosts the store has ended: connection reset"):
        wait_for_failure(first)
    first.broadcast_error(ProcessesError("what follows"))
