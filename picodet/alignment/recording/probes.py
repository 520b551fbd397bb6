"""Synthetic edge cases for both sides: ties, values at thresholds, degenerate boxes.

One image rarely has a score of exactly 0.025 or two boxes with an IoU between 0.60 and 0.61, so
its detections cannot reveal `>` in place of `>=`. These inputs can. ppdet's answers are recorded
with every run of ppdet; references without decoding, NMS or preprocessing (an ONNX file of raw
heads) are compared by the answers in the package, probes.npz.

NumPy only; np.random.RandomState, whose streams never change.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import numpy as np

from picodet.config import Head, feature_map_sizes
from picodet.data.resize_kernels import INTERP_NAMES

IMAGE = Path(__file__).with_name("astronaut.png")  # NASA, public domain
# Made by scripts/record/golden.py; of preprocessed images it holds the keys (index.content_key).
RECORDED_ANSWERS = Path(__file__).with_name("probes.npz")

VERSION_KEY = "probes"  # the key of `questions_digest` in Index.versions
IMAGE_PREFIX = "preprocessing/"  # prefix of the answers that are compared by their keys
NMS_CASES = ("random", "ties", "thresholds", "degenerate", "top_k", "dense", "none")
INTERPS = range(len(INTERP_NAMES))
IMAGE_SIZE = (64, 96)  # height and width that the image is resized to
HEAD_SIZE = (64, 96)  # height and width of the network's input for the head outputs below
NUM_CLASSES = 3
NUM_BINS = 8
HEAD_PREFIXES: Mapping[Head, str] = {
    "pico_head": "decoding",
    "pico_head_v2": "aligned decoding",
}  # prefixes of the answers

# per level [1, classes + 4 * bins, h, w], the outputs of the 2021 predictors
HeadOutputs = list[np.ndarray]
# per level class logits [1, classes, h, w], alignment [1, 1, h, w] and box distribution
# [1, 4 * bins, h, w], the outputs of the 2022 predictors
HeadV2Outputs = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def nms_inputs(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [A, 4] xyxy and scores [C, A] of one of NMS_CASES, each testing one convention."""
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
    elif case == "dense":  # few boxes survive among many: the best few hundred are not enough
        boxes = np.resize(boxes[:9], boxes.shape) + boxes % np.float32(0.5)
    return boxes, scores


def _threshold_cases() -> tuple[np.ndarray, np.ndarray]:
    """Pairs of boxes, far from other pairs, with an IoU of 0.6 or just above or below.

    Class 0 keeps one or both of a pair; the scores of class 1 are 0.025 or just above or below.
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
    """1,500 equal boxes, except some around the 1000th of a class, which are moved away."""
    boxes = np.tile(np.array([0, 0, 50, 50], np.float32), (1500, 1))
    separated = [50, 150, 250, 350, 450, 998, 999, 1000, 1001, 1400]
    boxes[separated, ::2] += 100 * np.arange(1, 11, dtype=np.float32)[:, None]
    scores = np.linspace(1, 0.1, 1500, dtype=np.float32)[None].repeat(2, axis=0)
    return boxes, scores


def questions_digest() -> str:
    """A hash of all probe inputs: recorded answers are valid only for the same inputs."""
    questions = [array for case in NMS_CASES for array in nms_inputs(case)]
    questions += [*head_outputs(), *(part for level in head_v2_outputs() for part in level)]
    joined = b"".join(array.tobytes() for array in questions) + IMAGE.read_bytes()
    return sha256(joined + repr((IMAGE_SIZE, HEAD_SIZE)).encode()).hexdigest()[:16]


def head_outputs() -> HeadOutputs:
    """Synthetic outputs of the four 2021 predictors, for HEAD_SIZE."""
    random = np.random.RandomState(2021)
    channels = NUM_CLASSES + 4 * NUM_BINS
    return [
        random.normal(0, 2, (1, channels, h, w)).astype("f4")
        for h, w in feature_map_sizes(HEAD_SIZE)
    ]


def head_v2_outputs() -> HeadV2Outputs:
    """Synthetic outputs of the 2022 predictors, for HEAD_SIZE.

    Logits range from a probability of 1 to a product of two below any epsilon.
    """
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
    """One side's answers to the preprocessing probes; `preprocess` as in `collect_answers`."""
    return {f"{IMAGE_PREFIX}{interp}": preprocess(IMAGE, IMAGE_SIZE, interp) for interp in INTERPS}


def collect_answers(
    preprocess: Callable[[Path, tuple[int, int], int], np.ndarray],
    decode: Callable[[Head], tuple[np.ndarray, np.ndarray]],
    nms: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> dict[str, np.ndarray]:
    """One side's answers to all probes, by name.

    preprocess(image path, (height, width), interp) -> [3, H, W]; decode(head) of `head_outputs` or
    `head_v2_outputs` -> boxes [A, 4] xyxy in pixels of the input and scores [C, A];
    nms(boxes, scores) -> [N, 6] of class, score, xyxy.
    """
    answers = collect_preprocessing(preprocess)
    for head, name in HEAD_PREFIXES.items():
        answers[f"{name}/boxes"], answers[f"{name}/scores"] = decode(head)
    return answers | {f"NMS/{case}": nms(*nms_inputs(case)) for case in NMS_CASES}
