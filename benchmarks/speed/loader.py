"""Pictures a second, from the file to the batch: ours beside ppdet's TrainReader.

    python -m benchmarks.speed.loader --images DIR --annotations FILE.json --paddle-python PYTHON
        [--workers 2] [--batch 16] [--batches 60] [--runs 5]

The transforms of the 416 models of 2021; the same number of worker processes; the two in turn, each
in a process of its own, so that what else the machine does meets both. The bar: twice as many.
Exit code 1 where it is missed.
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

BAR = 2.0  # times as many pictures a second as ppdet
UNCOUNTED = 6  # batches, as in ppdet_loader.py
SIZES = (352, 384, 416, 448, 480)


def ours(images: Path, annotations: Path, batches: int, batch: int, workers: int) -> float:
    """Pictures a second."""
    augmentation = Augmentation(sizes=tuple((side, side) for side in SIZES))
    dataset = read_dataset(annotations, images)
    loader = Loader(dataset, augmentation, Preprocessing(), batch, workers=workers)
    number, epoch, start = 0, 0, 0.0
    while True:
        for _ in loader.epoch(epoch):
            number += 1
            if number == UNCOUNTED:
                start = time.perf_counter()
            if number == UNCOUNTED + batches:
                return batches * batch / (time.perf_counter() - start)
        epoch += 1


def measured(command: list[str], settings: list[str]) -> float:
    """The last line that a process prints."""
    process = subprocess.run([*command, *settings], check=True, capture_output=True, text=True)
    return float(process.stdout.split()[-1])


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--paddle-python")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--runs", type=int, default=5)
    a = parser.parse_args()
    settings = [str(each) for each in (a.batches, a.batch, a.workers)]
    if a.paddle_python is None:  # this is the process that is measured
        print(ours(a.images, a.annotations, a.batches, a.batch, a.workers))
        return
    places = [str(a.images.resolve()), str(a.annotations.resolve())]
    theirs = [a.paddle_python, "-W", "ignore", str(BASELINES / "ppdet_loader.py")]
    own = [sys.executable, __file__, "--images", places[0], "--annotations", places[1]]
    named = [f"--{name}={each}" for name, each in zip(NAMES, settings, strict=True)]
    rates: dict[str, list[float]] = {"ours": [], "ppdet": []}
    for _ in range(a.runs):
        rates["ours"].append(measured(own, named))
        rates["ppdet"].append(measured(theirs, [*places, *settings]))
    print(f"{a.workers} workers, batches of {a.batch}; pictures a second, {a.runs} runs in turn")
    for name, each in rates.items():
        print(f"{name:6}{statistics.median(each):8.1f}   {min(each):.1f} to {max(each):.1f}")
    ratio = statistics.median(rates["ours"]) / statistics.median(rates["ppdet"])
    print(f"ratio {ratio:8.2f}   the bar is {BAR}")
    sys.exit(ratio < BAR)


NAMES = ("batches", "batch", "workers")

if __name__ == "__main__":
    main()
