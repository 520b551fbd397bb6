"""Reads the three formats of a network's outputs: arrays -> candidates or detections.

The formats (ppdet/modeling/heads/pico_head.py:344-440 writes all three):

heads       four scores [B, h * w, C] after the sigmoid, finest level first, then four
            distributions [B, h * w, 4 * bins] before the softmax
boxes       boxes [B, A, 4] xyxy in pixels of the network's input, and scores [B, C, A]
detections  rows [N, 6] of class, score and xyxy in pixels of the image, image after image,
            and the number of rows of each image [B]
"""

from collections.abc import Sequence

import numpy as np

from picodet.config import STRIDES, feature_map_sizes
from picodet.errors import CheckpointError, PicoDetError
from picodet.inference.backend import OutputFormat
from picodet.ops.anchor_points import make_anchor_points
from picodet.ops.postprocess import Candidates, Detections

Shape = tuple[int | None, ...]  # None for a dynamic dimension
NUM_LEVELS = len(STRIDES)


def recognize_format(file: str, shapes: Sequence[Shape]) -> OutputFormat:
    """The format of outputs of these shapes. Raises CheckpointError for none of the three."""
    ranks = [len(shape) for shape in shapes]
    if ranks == [3] * (2 * NUM_LEVELS):
        return "heads"
    if ranks == [3, 3] and 4 in (shapes[0][2], shapes[1][2]):
        return "boxes"
    if ranks in ([2], [2, 1]) and shapes[0][1] in (6, None):
        return "detections"
    raise CheckpointError(
        f"{file}: its outputs are {[list(shape) for shape in shapes]}; of a PicoDet are expected "
        f"{NUM_LEVELS} scores and {NUM_LEVELS} distributions (heads), or boxes [B, A, 4] and "
        "scores "
        "[B, C, A], or rows [N, 6] and their numbers (with NMS)"
    )


def count_classes(output_format: OutputFormat, shapes: Sequence[Shape]) -> int | None:
    """The number of classes by the shape of the scores; None if the shapes do not show it."""
    if output_format == "heads":
        return shapes[0][2]
    return shapes[1 - _boxes_index(shapes)][1] if output_format == "boxes" else None


def read_heads(
    outputs: Sequence[np.ndarray], input_size: tuple[int, int], project: np.ndarray
) -> list[Candidates]:
    """Decode outputs of format "heads"; project [bins]: the value of each bin, in strides.

    Raises PicoDetError for wrong shapes and for outputs that are not finite.
    """
    scores, reg = outputs[:NUM_LEVELS], outputs[NUM_LEVELS:]
    levels = feature_map_sizes(input_size)
    anchor_counts = [height * width for height, width in levels]
    expected = [(count, scores[0].shape[2]) for count in anchor_counts]
    expected += [(count, 4 * len(project)) for count in anchor_counts]
    found = [array.shape[1:] for array in outputs]
    if found != expected:
        raise PicoDetError(
            f"the network's outputs have the shapes {found} for an image of "
            f"{input_size[0]}x{input_size[1]}; expected are {expected}"
        )
    centers, strides = make_anchor_points(levels)
    bins = np.concatenate(reg, axis=1).reshape(len(reg[0]), -1, 4, len(project))
    with np.errstate(invalid="ignore"):  # inf - inf gives NaN, which to_candidates refuses
        weights = np.exp(bins - bins.max(axis=3, keepdims=True))
    distances = weights @ project.astype(bins.dtype) / weights.sum(axis=3)
    boxes = np.concatenate([centers - distances[..., :2], centers + distances[..., 2:]], axis=2)
    all_scores = np.concatenate(
        [level_scores.transpose(0, 2, 1) for level_scores in scores], axis=2
    )
    return to_candidates(boxes * strides, all_scores)


def read_boxes(outputs: Sequence[np.ndarray]) -> list[Candidates]:
    """Candidates of format "boxes"; boxes and scores may come in either order."""
    boxes_index = _boxes_index([array.shape for array in outputs])
    return to_candidates(outputs[boxes_index], outputs[1 - boxes_index])


def read_detections(outputs: Sequence[np.ndarray], batch: int) -> list[Detections]:
    """Detections of each image of a batch in ppdet's order, whatever order the runtime has.

    Raises PicoDetError for counts that do not match the rows, and for values that are not finite.
    """
    rows = outputs[0]
    if not np.isfinite(rows).all():
        raise PicoDetError(NOT_FINITE)
    counts = outputs[1] if len(outputs) == 2 else np.array([len(rows)])
    if len(counts) != batch or counts.sum() != len(rows):
        raise PicoDetError(
            f"the network returned {len(rows)} rows and the counts {counts.tolist()} for {batch} "
            "images; expected a count for each image, and as many rows as their sum"
        )
    return [_sort_detections(part) for part in np.split(rows, np.cumsum(counts)[:-1])]


NOT_FINITE = "the model's output is not finite: a weight is NaN, Inf or too large"


def to_candidates(boxes: np.ndarray, scores: np.ndarray) -> list[Candidates]:
    """boxes [B, A, 4], scores [B, C, A] -> Candidates per image; PicoDetError for NaN or Inf."""
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise PicoDetError(NOT_FINITE)
    return [Candidates(*pair) for pair in zip(boxes, scores, strict=True)]


def _sort_detections(rows: np.ndarray) -> Detections:
    rows = rows[rows[:, 0] >= 0]
    rows = rows[np.lexsort((-rows[:, 1], rows[:, 0]))]
    return Detections(rows[:, 2:], rows[:, 1], rows[:, 0].astype(np.int64))


def _boxes_index(shapes: Sequence[Shape]) -> int:
    return 0 if shapes[0][2] == 4 else 1
