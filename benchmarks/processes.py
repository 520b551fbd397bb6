"""Whole processes beside each other: wall time and peak memory.

They take turns, so that a busy machine troubles all alike, and the median counts.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence


def compare(commands: Mapping[str, Sequence[str]], runs: int) -> dict[str, tuple[float, float]]:
    """Seconds and MiB of each command; prints them, and the first's ratio to the others."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, command in commands.items():
            measured[name].append(_measure(command))
    medians = {}
    for name, values in measured.items():  # the first run of each fills the file cache
        seconds, memory = zip(*values[1:], strict=True)
        medians[name] = statistics.median(seconds), statistics.median(memory)
    ours = next(iter(medians.values()))
    print(f"{'':24}{'seconds':>9}{'MiB':>7}   ours / this: time, memory")
    for name, (time_taken, peak) in medians.items():
        ratios = f"{ours[0] / time_taken:.2f}, {ours[1] / peak:.2f}"
        print(f"{name:24}{time_taken:9.2f}{peak:7.0f}   {ratios}")
    return medians


def _measure(command: Sequence[str]) -> tuple[float, float]:
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    stderr = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command[:2])} failed:\n{stderr.decode()}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024
