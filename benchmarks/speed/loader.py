"""Compares the images per second of picodet's data loader with ppdet's TrainReader.

    python -m benchmarks.speed.loader --images DIR --annotations FILE.json --paddle-python PYTHON
        [--workers 2] [--batch 16] [--batches 60] [--runs 5]

Both read files, apply the transforms of the 416 models of 2021 and make batches, with the same
number of workers; they run in turn, each in its own process, so that other load on the machine
affects both. The bar: twice as many images. Exit code 1 where it is missed.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from picodet.config import Preprocessing
from picodet.training.data.dataloader import Loader
from picodet.training.data.dataset import read_dataset
from picodet.training.recipes.schema import Augmentation

BASELINES = Path(__file__).parents[1] / "baselines"

MIN_RATIO = 2.0  # times as many images per second as ppdet
WARMUP_BATCHES = 6  # batches, as in ppdet_loader.py
SIZES = (352, 384, 416, 448, 480)


def ours(images: Path, annotations: Path, batches: int, batch: int, workers: int) -> float:
    """picodet's images per second."""
    augmentation = Augmentation(sizes=tuple((side, side) for side in SIZES))
    dataset = read_dataset(annotations, images)
    loader = Loader(dataset, augmentation, Preprocessing(), batch, workers=workers)
    number, epoch, start = 0, 0, 0.0
    while True:
        for _ in loader.epoch(epoch):
            number += 1
            if number == WARMUP_BATCHES:
                start = time.perf_counter()
            if number == WARMUP_BATCHES + batches:
                return batches * batch / (time.perf_counter() - start)
        epoch += 1


def run_and_parse(command: list[str], settings: list[str]) -> float:
    """The number in the last line that a process prints."""
    process = subprocess.run([*command, *settings], check=True, capture_output=True, text=True)
    return float(process.stdout.split()[-1])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--paddle-python")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    settings = [str(each) for each in (arguments.batches, arguments.batch, arguments.workers)]
    if arguments.paddle_python is None:  # this is the process that is measured
        print(
            ours(
                arguments.images,
                arguments.annotations,
                arguments.batches,
                arguments.batch,
                arguments.workers,
            )
        )
        return
    dataset_args = [str(arguments.images.resolve()), str(arguments.annotations.resolve())]
    ppdet_command = [arguments.paddle_python, "-W", "ignore", str(BASELINES / "ppdet_loader.py")]
    ours_command = [
        sys.executable,
        __file__,
        "--images",
        dataset_args[0],
        "--annotations",
        dataset_args[1],
    ]
    options = [f"--{name}={each}" for name, each in zip(NAMES, settings, strict=True)]
    images_per_second: dict[str, list[float]] = {"ours": [], "ppdet": []}
    for _ in range(arguments.runs):
        images_per_second["ours"].append(run_and_parse(ours_command, options))
        images_per_second["ppdet"].append(run_and_parse(ppdet_command, [*dataset_args, *settings]))
    print(
        f"{arguments.workers} workers, batches of {arguments.batch}; images a second, "
        f"{arguments.runs} runs in turn"
    )
    for name, each in images_per_second.items():
        print(f"{name:6}{statistics.median(each):8.1f}   {min(each):.1f} to {max(each):.1f}")
    ratio = statistics.median(images_per_second["ours"]) / statistics.median(
        images_per_second["ppdet"]
    )
    print(f"ratio {ratio:8.2f}   the bar is {MIN_RATIO}")
    sys.exit(ratio < MIN_RATIO)


NAMES = ("batches", "batch", "workers")

if __name__ == "__main__":
    main()
