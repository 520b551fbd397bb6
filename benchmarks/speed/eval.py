"""Compares picodet-eval with ppdet's evaluation: the metrics, time and memory.

    python -m benchmarks.speed.eval MODEL.pth MODEL.onnx --coco DIR --pdparams CHECKPOINT.pdparams
        --paddle-python PYTHON [--runs 3]

Measures whole processes in turn. ppdet runs with the batch size and the six workers of its config
(ppdet_eval.py). The bars: 4 times as fast as ppdet on the fastest backend, 2.5 times in torch; less
than half the memory of ppdet's greatest process, its workers not counted; and the twelve metrics
equal to the fifth decimal. Exit code 1 where one is missed.
"""

import argparse
import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from benchmarks.speed.processes import Cost, compare
from picodet.data.coco import find_coco

BASELINES = Path(__file__).parents[1] / "baselines"

MIN_RATIO, MIN_TORCH_RATIO = 4.0, 2.5  # times as fast as ppdet
MAX_MEMORY_RATIO = 0.5  # of ppdet's
DECIMALS = 5  # to which the twelve metrics have to be equal
BACKENDS = ("onnxruntime", "openvino")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("onnx", type=Path)
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--pdparams", type=Path, required=True)
    parser.add_argument("--paddle-python", required=True)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    images, annotations = find_coco(arguments.coco)
    ours = [sys.executable, "-m", "picodet", "eval", "--coco", str(arguments.coco)]
    ppdet = [
        arguments.paddle_python,
        "-W",
        "ignore",
        str(BASELINES / "ppdet_eval.py"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            backend: [*ours, str(arguments.onnx), "--backend", backend]
            for backend in BACKENDS
            if find_spec(backend)
        }
        commands["torch"] = [*ours, str(arguments.model)]
        commands["ppdet"] = [*ppdet, *map(str, (arguments.pdparams, images, annotations))]
        files = {name: Path(folder, f"{name}.json") for name in commands}
        costs = compare(
            {name: [*command, "--json", str(files[name])] for name, command in commands.items()},
            arguments.runs,
        )
        reports = {name: json.loads(file.read_text()) for name, file in files.items()}
    passed = [_check_stats(reports), *_check_costs(costs)]
    sys.exit(0 if all(passed) else 1)


def _check_stats(reports: dict[str, dict[str, list[float]]]) -> bool:
    print(f"\n{'':14}{'boxes':>7}  the twelve numbers, in COCO's order")
    for name, content in reports.items():
        numbers = " ".join(f"{value:.{DECIMALS}f}" for value in content["stats"])
        print(f"{name:14}{content['detections']:7}  {numbers}")
    reference = reports["ppdet"]["stats"]
    worst = max(
        abs(found - expected)
        for content in reports.values()
        for found, expected in zip(content["stats"], reference, strict=True)
    )
    return _verdict(
        worst < 0.5 * 10**-DECIMALS, f"the greatest difference from ppdet's numbers is {worst:.1e}"
    )


def _check_costs(costs: dict[str, Cost]) -> list[bool]:
    ppdet = costs["ppdet"]
    times = {name: ppdet.seconds / cost.seconds for name, cost in costs.items() if name != "ppdet"}
    torch = times.pop("torch")
    best = max(times, key=lambda name: times[name])
    max_memory = max(cost.total_memory for name, cost in costs.items() if name != "ppdet")
    share = max_memory / ppdet.peak_memory
    return [
        _verdict(
            times[best] >= MIN_RATIO, f"{best}: {times[best]:.2f} times ppdet, bar {MIN_RATIO:g}"
        ),
        _verdict(
            torch >= MIN_TORCH_RATIO, f"torch: {torch:.2f} times ppdet, bar {MIN_TORCH_RATIO:g}"
        ),
        _verdict(
            share < MAX_MEMORY_RATIO,
            f"memory: at most {share:.2f} of ppdet's, bar {MAX_MEMORY_RATIO:g}",
        ),
    ]


def _verdict(passed: bool, text: str) -> bool:
    print(f"{'met   ' if passed else 'MISSED'} {text}")
    return passed


if __name__ == "__main__":
    main()
