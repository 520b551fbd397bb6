"""Compares the time of picodet's training step with ppdet's, on the same images.

    python -m benchmarks.speed.train --paddle-python .venv-paddle/bin/python [--rounds 7] [--json
    FILE]

A step is forward, assignment, losses, backward, update and EMA. Both sides start from the same
weights, with the same 16 images of 416x416, with as many boxes as COCO's have, and two threads.
They take turns within one run, a few steps each, so that other load on the machine affects both;
medians are compared. The losses of the first step must be equal.

The bar: picodet is MIN_RATIO times as fast. The exit code is 1 where it is missed. Where there is a
GPU, picodet's images per second there follow; the time that training waits for images depends on
the disk and the workers, and is `data_wait` in the log.jsonl of a training.

assigner.py measures the assigners alone, loader.py the data loaders.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from picodet.distributed import SingleProcess
from picodet.models.picodet import PicoDet
from picodet.training.criterion import criterion
from picodet.training.data.batch import Batch, Targets
from picodet.training.ema import ModelEMA
from picodet.training.optimizer import optimizer
from picodet.training.pretrained import init_model
from picodet.training.recipes.official import RECIPES
from picodet.training.step import Stepper
from scripts.fixtures import seeded

ROOT = Path(__file__).parents[2]
BASELINES = Path(__file__).parents[1] / "baselines"
CASES = {"picodet_s_416_coco": 0, "picodet_xs_416_coco_lcnet": 100}  # at epoch 100: task-aligned
IMAGES, SIDE = 16, 416
BOXES = 7.3  # per image of COCO, on average
LR = 1e-4  # so small that the seeded weights hardly change
THREADS = 2
STEPS_PER_TURN = 2  # steps of one side before the other has its turn
PAUSE = 0.2  # s, in which the other side's threads go to sleep
MIN_RATIO = 1.5
TERMS = {"varifocal": "vfl", "boxes": "giou", "sides": "dfl"}  # in ppdet_train.py -> picodet's
MAX_LOSS_DIFFERENCE = 1e-4  # relative; measured: 1e-6 to 1e-5, float32 sums of random networks

Steps = Callable[[int], dict[str, Any]]  # seconds of each step, losses of the first


@dataclass(frozen=True)
class Timing:
    """Medians of one case."""

    name: str
    ours: float  # s
    theirs: float
    difference: float  # of the losses of the first step, relative

    @property
    def ratio(self) -> float:
        """ppdet's time over picodet's."""
        return self.theirs / self.ours

    @property
    def passed(self) -> bool:
        """Whether picodet is fast enough and the losses are equal."""
        return self.ratio >= MIN_RATIO and self.difference <= MAX_LOSS_DIFFERENCE


def random_batch(classes: int, random: np.random.RandomState) -> dict[str, np.ndarray]:
    """A batch of noise images, with as many boxes as COCO has and of similar sizes."""
    counts = np.clip(random.geometric(1 / BOXES, IMAGES), 1, 40)
    valid = np.arange(counts.max()) < counts[:, None]
    sides = np.exp(random.uniform(np.log(8), np.log(350), (*valid.shape, 2)))
    corners = random.uniform(0, 1, sides.shape) * (SIDE - sides)
    boxes = np.concatenate([corners, corners + sides], axis=2) * valid[..., None]
    return {
        "images": random.normal(0, 1, (IMAGES, 3, SIDE, SIDE)).astype(np.float32),
        "boxes": boxes.astype(np.float32),
        "classes": random.randint(0, classes, valid.shape) * valid,
        "valid": valid,
    }


def ours(model: PicoDet, epoch: int, arrays: dict[str, np.ndarray], device: str) -> Steps:
    """Steps as picodet-train makes them."""
    recipe = RECIPES[model.config.name]
    model = model.to(device).train()
    targets = Targets(*(torch.from_numpy(arrays[name]) for name in Targets._fields))
    batch = Batch(torch.from_numpy(arrays["images"]), targets, tuple(range(IMAGES)))
    batch = batch.to(torch.device(device))
    sgd, ema = optimizer(model, recipe.optimizer), ModelEMA(model, recipe.ema)
    stepper = Stepper(model, sgd, ema, SingleProcess())
    epoch_criterion = criterion(
        recipe.assignment, recipe.losses, model.head.integral, lambda own: own, 1, epoch
    )

    def steps(number: int) -> dict[str, Any]:
        seconds, losses = [], []
        for i in range(number):
            started = time.perf_counter()
            losses.append(stepper([batch], epoch_criterion, i, LR).losses)
            seconds.append(time.perf_counter() - started)
        return {"seconds": seconds, "losses": losses[0]}

    return steps


def in_paddle(process: "subprocess.Popen[str]") -> Steps:
    """Steps of ppdet_train.py in another process."""

    def steps(number: int) -> dict[str, Any]:
        if process.stdin is None or process.stdout is None:
            raise TypeError("the process has no pipes; start it with stdin and stdout as PIPE")
        print(number, file=process.stdin, flush=True)
        for line in process.stdout:
            if line.startswith("{"):  # other lines are printed by Paddle itself
                return json.loads(line)
        return sys.exit("ppdet_train.py has died")

    return steps


def measure(name: str, epoch: int, python: str, rounds: int, folder: Path) -> Timing:
    """Time both in turn, after a warm-up step of each."""
    config = RECIPES[name].model
    arrays = seeded.checkpoint(seeded.shapes(config))
    given = random_batch(len(config.classes), np.random.RandomState(0))
    weights, batch, checkpoint = (
        folder / f"{name}{end}" for end in (".npz", "_in.npz", ".pdparams")
    )
    np.savez(weights, allow_pickle=False, **arrays)
    np.savez(batch, allow_pickle=False, **given)
    seeded.write(arrays, checkpoint)
    script = str(BASELINES / "ppdet_train.py")
    command = [
        python,
        "-W",
        "ignore",
        script,
        name,
        str(epoch),
        str(weights),
        str(batch),
        str(LR),
    ]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(THREADS)},
    ) as process:
        sides = {
            "ours": ours(init_model(config, 0, checkpoint).model, epoch, given, "cpu"),
            "ppdet": in_paddle(process),
        }
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        first = {side: steps(1)["losses"] for side, steps in sides.items()}
        for _ in range(rounds):
            for side, steps in sides.items():
                time.sleep(PAUSE)
                seconds[side] += steps(STEPS_PER_TURN)["seconds"]
        process.stdin.close() if process.stdin else None
    difference = max(
        abs(first["ours"][TERMS[term]] / value - 1) for term, value in first["ppdet"].items()
    )
    medians = {side: statistics.median(each) for side, each in seconds.items()}
    return Timing(name, medians["ours"], medians["ppdet"], difference)


def on_gpu(name: str, epoch: int) -> float:
    """picodet's images per second on the GPU."""
    config = RECIPES[name].model
    arrays = random_batch(len(config.classes), np.random.RandomState(0))
    steps = ours(init_model(config, 0).model, epoch, arrays, "cuda")
    steps(5)
    return IMAGES / statistics.median(steps(30)["seconds"])


def print_table(rows: list[Timing]) -> None:
    """Print seconds, images per second and ratio of each case."""
    table = Table(title=f"a step of {IMAGES} images of {SIDE}x{SIDE}, {THREADS} threads, median")
    for heading in ("", "ours s", "ppdet s", "ours images/s", "ppdet", "ratio", "losses differ"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        images_per_second = [f"{IMAGES / seconds:.1f}" for seconds in (row.ours, row.theirs)]
        seconds = [f"{row.ours:.3f}", f"{row.theirs:.3f}"]
        table.add_row(
            row.name, *seconds, *images_per_second, f"{row.ratio:.2f}", f"{row.difference:.1e}"
        )
    console = Console()
    if not console.is_terminal:  # nothing is cut off in a file
        console.width = console.measure(table, options=console.options.update(width=1000)).maximum
    console.print(table)
    print(
        f"the bars: a ratio of {MIN_RATIO} or more, losses that differ by "
        f"{MAX_LOSS_DIFFERENCE:.0e} or less"
    )


def main() -> None:
    """Measure and print the table; exit with 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--paddle-python", default=str(ROOT / ".venv-paddle" / "bin" / "python"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    with TemporaryDirectory() as folder:
        rows = [
            measure(name, epoch, arguments.paddle_python, arguments.rounds, Path(folder))
            for name, epoch in CASES.items()
        ]
    print_table(rows)
    found: dict[str, Any] = {row.name: {**vars(row), "ratio": row.ratio} for row in rows}
    if torch.cuda.is_available():
        images_per_second = {name: on_gpu(name, epoch) for name, epoch in CASES.items()}
        found["gpu"] = {
            "device": torch.cuda.get_device_name(),
            "images a second": images_per_second,
        }
        for name, speed in images_per_second.items():
            print(f"{torch.cuda.get_device_name()}: {name} {speed:.0f} images a second")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    sys.exit(not all(row.passed for row in rows))


if __name__ == "__main__":
    main()
