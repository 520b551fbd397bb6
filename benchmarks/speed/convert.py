"""Compares picodet-convert with a script (paddle.load, rename, torch.save) and `import torch`.

    python -m benchmarks.speed.convert CHECKPOINT.pdparams [--paddle-python PYTHON] [--runs 7]

Measures whole processes in turn, so that a busy machine affects all alike: the medians of wall time
and peak memory. PYTHON needs paddlepaddle and torch.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.speed.processes import compare

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


def main() -> None:
    """Measure and print the table."""
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
        compare(commands, arguments.runs)


if __name__ == "__main__":
    main()
