"""picodet-convert beside what people do today (paddle.load, rename, torch.save) and `import torch`.

    python benchmarks/convert.py CHECKPOINT.pdparams [--paddle-python PYTHON] [--runs 7]

Whole processes, one after the other in turn, so that a busy machine troubles all alike; the
median of the wall time and of the peak memory. PYTHON needs paddlepaddle and torch.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PADDLE_SCRIPT = """
import sys, paddle, torch
renamed = {}
for name, value in paddle.load(sys.argv[1]).items():
    if name == "StructuredToParameterName@@":
        continue
    name = name.replace("._mean", ".running_mean").replace("._variance", ".running_var")
    renamed[name] = torch.from_numpy(value.numpy() if hasattr(value, "numpy") else value)
torch.save(renamed, sys.argv[2])
"""


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds and MiB of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    stderr = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command[:2])} failed:\n{stderr.decode()}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--paddle-python", default=sys.executable)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        source = str(arguments.checkpoint)
        convert = str(Path(sys.executable).with_name("picodet-convert"))
        commands = {
            "picodet-convert": [convert, source, f"{folder}/ours.pth", "--overwrite"],
            "paddle.load script": [
                *(arguments.paddle_python, "-W", "ignore", "-c", PADDLE_SCRIPT),
                *(source, f"{folder}/paddle.pth"),
            ],
            "import torch": [sys.executable, "-c", "import torch"],
        }
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(arguments.runs + 1):
            for name, command in commands.items():
                runs[name].append(measure(command))
    medians = {  # the first run of each fills the file cache
        name: [statistics.median(column) for column in zip(*values[1:], strict=True)]
        for name, values in runs.items()
    }
    ours = medians["picodet-convert"]
    print(f"{'':20}{'seconds':>9}{'MiB':>7}   ours / this: time, memory")
    for name, (seconds, memory) in medians.items():
        ratios = f"{ours[0] / seconds:.2f}, {ours[1] / memory:.2f}"
        print(f"{name:20}{seconds:9.2f}{memory:7.0f}   {ratios}")


if __name__ == "__main__":
    main()
