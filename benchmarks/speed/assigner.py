"""Compares picodet's assigners with ppdet's: the agreement of assignments, and the time.

    python -m benchmarks.speed.assigner --paddle-python PYTHON [--batch 16] [--runs 10] [--threads
    2]

Predictions are random, many of them near a box, for a batch of 416x416 with as many boxes as images
of COCO have. Both sides get the same arrays and number of threads. The bar: picodet's take a fifth
of ppdet's time, and agree. Exit code 1 where one is missed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from picodet.config import feature_map_sizes
from picodet.ops.anchor_points import make_anchor_points
from picodet.training.assigners.assignment import Assignment
from picodet.training.assigners.atss import atss
from picodet.training.assigners.simota import simota
from picodet.training.assigners.task_aligned import task_aligned
from picodet.training.data.batch import Targets
from picodet.training.recipes.schema import SimOTA, TaskAligned

BASELINES = Path(__file__).parents[1] / "baselines"

SIZE = 416
CLASSES = 80
BOXES = 7.3  # per image of COCO, on average
MIN_RATIO = 5.0  # times as fast as ppdet
# share of positive anchor points; ppdet's choice among far ones, which all cost 1e8, is arbitrary
MIN_AGREEMENT = 0.99


def random_inputs(batch: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Scores [B, C, A], boxes [B, A, 4], and ground truth, padded; lengths in pixels."""
    levels = feature_map_sizes((SIZE, SIZE))
    centers, strides = make_anchor_points(levels)
    points = centers * strides
    counts = np.clip(rng.geometric(1 / BOXES, batch), 1, 40)
    max_boxes = int(counts.max())
    sides = np.exp(rng.uniform(np.log(8), np.log(350), (batch, max_boxes, 2)))
    corners = rng.uniform(0, SIZE - sides)
    valid = np.arange(max_boxes) < counts[:, None]
    boxes = np.concatenate([corners, corners + sides], axis=2) * valid[..., None]
    classes = rng.integers(0, CLASSES, (batch, max_boxes)) * valid
    box_centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    distance = np.linalg.norm(points[None, :, None] - box_centers[:, None], axis=3)
    nearest = np.where(valid[:, None], distance, np.inf).argmin(axis=2)
    nearest_boxes = np.take_along_axis(boxes, nearest[..., None], axis=1)
    ltrb = (
        np.concatenate([points - nearest_boxes[..., :2], nearest_boxes[..., 2:] - points], axis=2)
        / strides
    )
    ltrb = np.clip(ltrb + rng.normal(0, 1, ltrb.shape), 0.01, 6.99) * strides
    predicted = np.concatenate([points - ltrb[..., :2], points + ltrb[..., 2:]], axis=2)
    logits = rng.normal(-4.6, 1, (batch, CLASSES, len(points)))
    image, anchor = np.indices(nearest.shape)
    logits[image, np.take_along_axis(classes, nearest, axis=1), anchor] += 2
    return {
        "scores": (1 / (1 + np.exp(-logits))).astype(np.float32),
        "predicted": predicted.astype(np.float32),
        "boxes": boxes.astype(np.float32),
        "classes": classes.astype(np.int64),
        "valid": valid,
        "points": points,
        "strides": strides,
        "levels": np.array(levels),
    }


def ours(inputs: dict[str, np.ndarray]) -> dict[str, Callable[[], Assignment]]:
    """The three assigners by name, as functions without arguments."""
    scores, predicted, boxes, classes, valid, points, strides = (
        torch.tensor(inputs[name])
        for name in ("scores", "predicted", "boxes", "classes", "valid", "points", "strides")
    )
    targets, levels = Targets(boxes, classes, valid), feature_map_sizes((SIZE, SIZE))
    aligned = TaskAligned()
    return {
        "SimOTA": lambda: simota(scores, predicted, points, strides, targets, SimOTA()),
        "ATSS": lambda: atss(predicted, points, strides, levels, targets, aligned),
        "task-aligned": lambda: task_aligned(scores, predicted, points, targets, aligned),
    }


def milliseconds(function: Callable[[], object], runs: int) -> float:
    """The median time of `runs` calls, after a warm-up call."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def main() -> None:
    """Measure, compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--paddle-python", required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    inputs = random_inputs(arguments.batch, np.random.default_rng(0))
    print(f"{arguments.batch} images of {SIZE}x{SIZE}, {int(inputs['valid'].sum())} boxes")
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given, allow_pickle=False, **inputs)
        script = BASELINES / "ppdet_assigner.py"
        command = [arguments.paddle_python, "-W", "ignore", script, given, found]
        subprocess.run(
            [*command, str(arguments.runs)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": str(arguments.threads)},
        )
        with np.load(found) as loaded:
            theirs = dict(loaded)
    print(f"{'':14}{'ppdet ms':>9}{'ours ms':>9}{'ratio':>7}   anchor points, alike")
    passed = True
    for name, assign in ours(inputs).items():
        our_ms = milliseconds(assign, arguments.runs)
        box, expected = assign().box.numpy(), theirs[f"{name} box"]
        counted = (box >= 0) | (expected >= 0)
        agreement = float((box == expected)[counted].mean())
        ratio = float(theirs[f"{name} ms"]) / our_ms
        print(
            f"{name:14}{float(theirs[f'{name} ms']):9.1f}{our_ms:9.1f}{ratio:7.1f}"
            f"   {int(counted.sum())}, {agreement:.2%}"
        )
        passed &= ratio >= MIN_RATIO and agreement >= MIN_AGREEMENT
    sys.exit(not passed)


if __name__ == "__main__":
    main()
