"""Compares the cost of a layerwise comparison with `import torch` and three forward passes.

    python -m benchmarks.speed.align MODEL.pth RECORDING.safetensors [--runs 5]
        [--padiff-python PYTHON --pdparams CHECKPOINT.pdparams]

The bar is three times `import torch` with one float64 and two float32 forward passes of the same
model. PYTHON is an environment with PaDiff, PyTorch and Paddle (peers.py tells how to make one),
where PaDiff's auto_diff compares ppdet's model with picodet's.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.speed.processes import compare

BASELINES = Path(__file__).parents[1] / "baselines"
MAX_RATIO = 3.0
FORWARDS = """
import sys, torch, picodet

model = picodet.load(sys.argv[1])
images = torch.zeros(1, 3, *model.config.input_size)
with torch.inference_mode():
    model(images), model(images)
    model.double()(images.double())
"""


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--padiff-python")
    parser.add_argument("--pdparams", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    model, recording = str(arguments.model), str(arguments.recording)
    align = str(Path(sys.executable).with_name("picodet-align"))
    commands = {
        "picodet-align": [align, "--layerwise", recording, model],
        "import torch, 3 passes": [sys.executable, "-c", FORWARDS, model],
    }
    if arguments.padiff_python:
        script = str(BASELINES / "padiff_pair.py")
        pair = [str(arguments.pdparams), model]
        commands["PaDiff's auto_diff"] = [arguments.padiff_python, "-W", "ignore", script, *pair]
    medians = compare(commands, arguments.runs)
    ours, bare, *_ = medians.values()
    times = ours.seconds / bare.seconds
    print(f"{times:.2f} times import torch with three passes; the bar is {MAX_RATIO:g}")


if __name__ == "__main__":
    main()
