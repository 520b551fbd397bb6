"""Questions with hard edges that both sides are asked: ties, thresholds, degenerate boxes.

One picture seldom has a score of exactly 0.025 or two boxes with an IoU between 0.60 and 0.61, so
that its detections cannot show `>` where `>=` belongs. These inputs do. ppdet's answers are
recorded with every run of it; for references without decoding, NMS or preprocessing (an ONNX that
ends at the heads) those that came with the package count, probes.npz.

NumPy only; np.random.RandomState, whose streams are frozen for good.
"""

from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import numpy as np

from picodet.cells import grids

PICTURE = Path(__file__).with_name("astronaut.png")  # NASA, public domain
# Made by tools/record_golden.py; of the pictures it holds the keys (index.content_key).
RECORDED = Path(__file__).with_name("probes.npz")

PICTURES = "preprocessing/"  # prefix of the answers of which the key is enough
NMS_CASES = ("random", "ties", "thresholds", "degenerate", "top_k", "dense", "none")
INTERPS = range(5)
PICTURE_SIZE = (64, 96)  # that the picture is resized to
HEAD_SIZE = (64, 96)  # input size that the heads below belong to
HEAD_CLASSES = 3
BINS = 8

Heads = list[np.ndarray]  # [1, classes + 4 * bins, h, w] of each level, as the predictors make them


def candidates(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [A, 4] xyxy and scores [C, A] that try one convention of the NMS each."""
    random = np.random.RandomState(crc32(case.encode()))
    count, num_classes = (3000, 2) if case == "top_k" else (400, 5)
    centre, size = random.uniform(0, 300, (count, 2)), random.uniform(5, 120, (count, 2))
    boxes = np.hstack([centre - size / 2, centre + size / 2]).astype(np.float32)
    scores = (random.uniform(0, 1, (num_classes, count)) ** 3).astype(np.float32)
    if case == "ties":  # equal scores within and across classes, equal boxes
        scores = (np.round(scores * 8) / 8).astype(np.float32)
        boxes[::3] = boxes[0]
    elif case == "thresholds":  # scores at 0.025, IoUs at 0.6 exactly
        scores[:, ::2] = np.float32(0.025)
        boxes[::2] = (0, 0, 10, 10)
        boxes[::4] = (0, 0, 10, 6)
    elif case == "degenerate":  # boxes without area, and inside out
        boxes[::2, 2:] = boxes[::2, :2]
        boxes[::6] = boxes[0]
        boxes[1::6] = boxes[1::6][:, [2, 3, 0, 1]]
    elif case == "none":
        scores *= 0.02
    elif case == "dense":  # few survivors among many: the best few hundred are not enough
        boxes = np.resize(boxes[:9], boxes.shape) + boxes % np.float32(0.5)
    return boxes, scores


def heads() -> Heads:
    """What four predictors might put out."""
    random = np.random.RandomState(2021)
    channels = HEAD_CLASSES + 4 * BINS
    return [random.normal(0, 2, (1, channels, h, w)).astype("f4") for h, w in grids(HEAD_SIZE)]


def ask(
    preprocess: Callable[[Path, tuple[int, int], int], np.ndarray],
    decode: Callable[[Heads], tuple[np.ndarray, np.ndarray]],
    nms: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> dict[str, np.ndarray]:
    """One side's answers.

    preprocess(picture, (height, width), interp) -> [3, H, W]; decode(heads) -> boxes [A, 4] xyxy
    in pixels of the input and scores [C, A]; nms(boxes, scores) -> [N, 6] of class, score, xyxy.
    """
    answers = {
        f"{PICTURES}{interp}": preprocess(PICTURE, PICTURE_SIZE, interp) for interp in INTERPS
    }
    answers["decoding/boxes"], answers["decoding/scores"] = decode(heads())
    return answers | {f"NMS/{case}": nms(*candidates(case)) for case in NMS_CASES}
