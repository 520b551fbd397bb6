"""Measures wall time and peak memory of whole processes.

They take turns, so that a busy machine affects all alike, and medians are compared. Memory is that
of the greatest process, and that of a process with its children, shared pages counted once.
"""

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SECONDS_BETWEEN_SAMPLES = 0.2


class Cost(NamedTuple):
    """The cost of a command."""

    seconds: float
    peak_memory: float  # MiB, of the greatest process
    total_memory: float  # MiB, of all its processes


def compare(commands: Mapping[str, Sequence[str]], runs: int) -> dict[str, Cost]:
    """The median cost of each command; prints them with the first's ratio to each."""
    measured: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, command in commands.items():
            measured[name].append(_measure(command))
    medians = {
        # the first run of each fills the file cache
        name: Cost(*map(statistics.median, zip(*costs[1:], strict=True)))
        for name, costs in measured.items()
    }
    ours = next(iter(medians.values()))
    print(f"{'':24}{'seconds':>9}{'MiB':>7}{'all MiB':>9}   ours / this: time, memory")
    for name, cost in medians.items():
        ratios = f"{ours.seconds / cost.seconds:.2f}, {ours.peak_memory / cost.peak_memory:.2f}"
        numbers = f"{cost.seconds:9.2f}{cost.peak_memory:7.0f}{cost.total_memory:9.0f}"
        print(f"{name:24}{numbers}   {ratios}")
    return medians


def _measure(command: Sequence[str]) -> Cost:
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with _MemorySampler(process.pid) as sampler:
        try:
            stderr = process.stderr.read() if process.stderr else b""
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(command[:2])} failed:\n{stderr.decode()}")
    return Cost(seconds, usage.ru_maxrss / 1024, max(usage.ru_maxrss, sampler.peak) / 1024)


class _MemorySampler(threading.Thread):
    """Samples the memory of a process with its children, shared pages counted once."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0  # KiB; 0 as long as there are no children
        self._pid = pid
        self._stopped = threading.Event()

    def __enter__(self) -> "_MemorySampler":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join()

    def run(self) -> None:
        while not self._stopped.wait(SECONDS_BETWEEN_SAMPLES):
            pids = list(_descendants(self._pid))
            if pids:  # without children the kernel knows the peak
                self.peak = max(self.peak, sum(map(_pss, [self._pid, *pids])))


def _descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:  # it has ended
            continue
        for child in children:
            yield child
            yield from _descendants(child)


def _pss(pid: int) -> int:
    """KiB; a page that n processes share counts 1/n in each."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in rollup.splitlines() if ":" in line[:20])
    return int(lines["Pss"].split()[0])
