"""Compares post-processing of raw heads on one core with a plain NumPy loop over the classes.

python -m benchmarks.speed.postprocess MODEL.pth IMAGE [--runs 30]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

import picodet
from picodet.data.preprocess import preprocess, read_image
from picodet.models.head import HeadOutput
from picodet.models.picodet import PicoDet
from picodet.ops.decode import decode
from picodet.ops.postprocess import Candidates, Detections, apply_nms

STRIDES = (8, 16, 32, 64)


def ours(model: PicoDet, output: HeadOutput, scale_factor: np.ndarray) -> Detections:
    """The post-processing of picodet.detect."""
    boxes, scores = decode(output, model.head.integral)
    return apply_nms(Candidates(boxes[0].numpy(), scores[0].numpy()), scale_factor)


def plain_loop(_: PicoDet, output: HeadOutput, scale_factor: np.ndarray) -> Detections:
    """The post-processing of common ports: NumPy, by level, class and box."""
    all_boxes, all_scores = [], []
    for logits, sides, stride in zip(output.logits, output.reg, STRIDES, strict=True):
        height, width = logits.shape[2:]
        bins = sides[0].numpy().reshape(4, -1, height * width)
        exponents = np.exp(bins - bins.max(axis=1, keepdims=True))
        weights = exponents / exponents.sum(axis=1, keepdims=True)
        distances = (weights * np.arange(bins.shape[1])[None, :, None]).sum(axis=1) * stride
        y, x = np.divmod(np.arange(height * width), width)
        cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
        left, top, right, bottom = distances
        all_boxes.append(np.stack([cx - left, cy - top, cx + right, cy + bottom], axis=1))
        all_scores.append(1 / (1 + np.exp(-logits[0].numpy().reshape(-1, height * width))))
    scale = np.array([scale_factor[1], scale_factor[0]] * 2)
    boxes, scores = np.concatenate(all_boxes) / scale, np.concatenate(all_scores, axis=1)
    rows = []
    for label, of_class in enumerate(scores):
        (order,) = np.nonzero(of_class > 0.025)
        order = order[np.argsort(-of_class[order], kind="stable")][:1000]
        while len(order):
            best, others = order[0], order[1:]
            rows.append((label, of_class[best], *boxes[best]))
            shared = np.minimum(boxes[best, 2:], boxes[others, 2:])
            shared = (shared - np.maximum(boxes[best, :2], boxes[others, :2])).clip(min=0)
            both = shared.prod(axis=1)
            area = (boxes[best, 2:] - boxes[best, :2]).prod()
            areas = (boxes[others, 2:] - boxes[others, :2]).prod(axis=1)
            order = others[both / (area + areas - both) <= 0.6]
    kept = sorted(sorted(rows, key=lambda row: -row[1])[:100], key=lambda row: row[0])
    table = np.array(kept).reshape(-1, 6)
    return Detections(table[:, 2:], table[:, 1], table[:, 0].astype(int))


def milliseconds(function: Callable[[], object], runs: int) -> float:
    """The median time of `runs` calls."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def main() -> None:
    """Measure, check that both find the same boxes, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--runs", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = picodet.load(arguments.model)
    config = model.config
    array, scale_factor = preprocess(
        read_image(arguments.image), config.input_size, config.preprocessing
    )
    with torch.inference_mode():
        output = model(torch.from_numpy(array)[None])
        found = [f(model, output, scale_factor) for f in (ours, plain_loop)]
        times = [
            milliseconds(partial(f, model, output, scale_factor), arguments.runs)
            for f in (ours, plain_loop)
        ]
    same = np.array_equal(found[0].classes, found[1].classes)
    same = same and np.allclose(found[0].boxes, found[1].boxes, atol=0.02)
    print(f"{len(found[0])} boxes, {'the same' if same else 'DIFFERENT'} on both sides")
    print(f"picodet      {times[0]:6.1f} ms")
    print(f"plain loop   {times[1]:6.1f} ms   {times[1] / times[0]:.1f} times ours")


if __name__ == "__main__":
    main()
