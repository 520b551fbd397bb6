"""Questions with hard edges that both sides are asked: ties, thresholds, degenerate boxes.

One picture seldom has a score of exactly 0.025 or two boxes with an IoU between 0.60 and 0.61, so
that its detections cannot show `>` where `>=` belongs. These inputs do. ppdet's answers are
recorded with every run of it; for references without decoding, NMS or preprocessing (an ONNX that
ends at the heads) those that came with the package count, probes.npz.

NumPy only; np.random.RandomState, whose streams are frozen for good.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import numpy as np

from picodet.config import Head
from picodet.data.resize_kernels import INTERP_NAMES
from picodet.ops.anchor_points import feature_map_sizes

IMAGE = Path(__file__).with_name("astronaut.png")  # NASA, public domain
# Made by scripts/record/golden.py; of the pictures it holds the keys (index.content_key).
RECORDED_ANSWERS = Path(__file__).with_name("probes.npz")

VERSION_KEY = "probes"  # under which the digest of the questions stands among an index's versions
IMAGE_PREFIX = "preprocessing/"  # prefix of the answers of which the key is enough
NMS_CASES = ("random", "ties", "thresholds", "degenerate", "top_k", "dense", "none")
INTERPS = range(len(INTERP_NAMES))
IMAGE_SIZE = (64, 96)  # that the picture is resized to
HEAD_SIZE = (64, 96)  # input size that the heads below belong to
NUM_CLASSES = 3
NUM_BINS = 8
HEAD_PREFIXES: Mapping[Head, str] = {
    "pico_head": "decoding",
    "pico_head_v2": "aligned decoding",
}  # prefix of the answers

# [1, classes + 4 * bins, h, w] of each level, as the predictors of 2021 make them
HeadOutputs = list[np.ndarray]
# of each level logits [1, classes, h, w], alignment [1, 1, h, w] and sides [1, 4 * bins, h, w],
# as those of 2022 make them
HeadV2Outputs = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def nms_inputs(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [A, 4] xyxy and scores [C, A] that try one convention of the NMS each."""
    if case == "thresholds":
        return _threshold_cases()
    if case == "top_k":
        return _top_k_cases()
    random = np.random.RandomState(crc32(case.encode()))
    center, size = random.uniform(0, 300, (400, 2)), random.uniform(5, 120, (400, 2))
    boxes = np.hstack([center - size / 2, center + size / 2]).astype(np.float32)
    scores = (random.uniform(0, 1, (5, 400)) ** 3).astype(np.float32)
    if case == "ties":  # equal scores within and across classes, equal boxes
        scores = (np.round(scores * 8) / 8).astype(np.float32)
        boxes[::3] = boxes[0]
    elif case == "degenerate":  # boxes without area, and inside out
        boxes[::2, 2:] = boxes[::2, :2]
        boxes[::6] = boxes[0]
        boxes[1::6] = boxes[1::6][:, [2, 3, 0, 1]]
    elif case == "none":
        scores *= 0.02
    elif case == "dense":  # few survivors among many: the best few hundred are not enough
        boxes = np.resize(boxes[:9], boxes.shape) + boxes % np.float32(0.5)
    return boxes, scores


def _threshold_cases() -> tuple[np.ndarray, np.ndarray]:
    """Pairs of boxes, each in a place of its own, with an IoU of 0.6 or just beside it.

    The first class keeps one or both of a pair; the scores of the second are 0.025 or beside it.
    """
    boxes, scores = np.zeros((60, 4), np.float32), np.zeros((2, 60), np.float32)
    boxes[:, 0] = 20 * (np.arange(60) // 2)
    boxes[:, 2] = boxes[:, 0] + 10
    boxes[:, 3] = 10
    boxes[1::2, 3] = np.resize([5, 5.5, 5.95, 6, 6.05, 6.5, 8], 30)  # of 10: the IoU
    scores[0] = np.resize([0.9, 0.8], 60)
    threshold = np.float32(0.025)
    neighbors = np.nextafter(threshold, np.array([0, 1], np.float32))
    scores[1] = np.resize([0.015, *neighbors, threshold, 0.0245, 0.0255, 0.035], 60)
    return boxes, scores


def _top_k_cases() -> tuple[np.ndarray, np.ndarray]:
    """1,500 boxes in one place, but for some on both sides of the thousandth of its class."""
    boxes = np.tile(np.array([0, 0, 50, 50], np.float32), (1500, 1))
    separated = [50, 150, 250, 350, 450, 998, 999, 1000, 1001, 1400]
    boxes[separated, ::2] += 100 * np.arange(1, 11, dtype=np.float32)[:, None]
    scores = np.linspace(1, 0.1, 1500, dtype=np.float32)[None].repeat(2, axis=0)
    return boxes, scores


def questions_digest() -> str:
    """Of all questions: answers to others are of no use."""
    questions = [array for case in NMS_CASES for array in nms_inputs(case)]
    questions += [*head_outputs(), *(part for level in head_v2_outputs() for part in level)]
    joined = b"".join(array.tobytes() for array in questions) + IMAGE.read_bytes()
    return sha256(joined + repr((IMAGE_SIZE, HEAD_SIZE)).encode()).hexdigest()[:16]


def head_outputs() -> HeadOutputs:
    """What four predictors might put out."""
    random = np.random.RandomState(2021)
    channels = NUM_CLASSES + 4 * NUM_BINS
    return [
        random.normal(0, 2, (1, channels, h, w)).astype("f4")
        for h, w in feature_map_sizes(HEAD_SIZE)
    ]


def head_v2_outputs() -> HeadV2Outputs:
    """Logits from where a probability is 1 to where a product of two is below any epsilon."""
    random = np.random.RandomState(2022)
    return [
        (
            random.uniform(-16, 6, (1, NUM_CLASSES, h, w)).astype("f4"),
            random.uniform(-16, 6, (1, 1, h, w)).astype("f4"),
            random.normal(0, 2, (1, 4 * NUM_BINS, h, w)).astype("f4"),
        )
        for h, w in feature_map_sizes(HEAD_SIZE)
    ]


def collect_preprocessing(
    preprocess: Callable[[Path, tuple[int, int], int], np.ndarray],
) -> dict[str, np.ndarray]:
    """The part of `ask` that is about pictures."""
    return {f"{IMAGE_PREFIX}{interp}": preprocess(IMAGE, IMAGE_SIZE, interp) for interp in INTERPS}


def collect_answers(
    preprocess: Callable[[Path, tuple[int, int], int], np.ndarray],
    decode: Callable[[Head], tuple[np.ndarray, np.ndarray]],
    nms: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> dict[str, np.ndarray]:
    """One side's answers.

    preprocess(picture, (height, width), interp) -> [3, H, W]; decode(which of HEADS), of what
    `heads` or `aligned_heads` says, -> boxes [A, 4] xyxy in pixels of the input and scores [C, A];
    nms(boxes, scores) -> [N, 6] of class, score, xyxy.
    """
    answers = collect_preprocessing(preprocess)
    for head, name in HEAD_PREFIXES.items():
        answers[f"{name}/boxes"], answers[f"{name}/scores"] = decode(head)
    return answers | {f"NMS/{case}": nms(*nms_inputs(case)) for case in NMS_CASES}
