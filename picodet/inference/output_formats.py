"""What files say in different forms, read as one: arrays -> candidates or detections.

The forms (ppdet/modeling/heads/pico_head.py:344-440 makes all three):

heads       four scores [B, h * w, C] after the sigmoid, finest level first, then four
            distributions [B, h * w, 4 * bins] before the softmax
boxes       boxes [B, A, 4] xyxy in pixels of the network's input, and scores [B, C, A]
detections  rows [N, 6] of class, score and xyxy in pixels of the picture, one picture's after
            another's, and how many rows are of each picture [B]
"""

from collections.abc import Sequence

import numpy as np

from picodet.config import STRIDES
from picodet.errors import CheckpointError, PicoDetError
from picodet.inference.backend import Form
from picodet.ops.anchor_points import feature_map_sizes, make_anchor_points
from picodet.ops.postprocess import Candidates, Detections

Shape = tuple[int | None, ...]  # None for what is not fixed
LEVELS = len(STRIDES)


def recognise(file: str, shapes: Sequence[Shape]) -> Form:
    """The form of outputs of these shapes. Raises CheckpointError where it is none of the three."""
    ranks = [len(shape) for shape in shapes]
    if ranks == [3] * (2 * LEVELS):
        return "heads"
    if ranks == [3, 3] and 4 in (shapes[0][2], shapes[1][2]):
        return "boxes"
    if ranks in ([2], [2, 1]) and shapes[0][1] in (6, None):
        return "detections"
    raise CheckpointError(
        f"{file}: its outputs are {[list(shape) for shape in shapes]}; of a PicoDet are expected "
        f"{LEVELS} scores and {LEVELS} distributions (heads), or boxes [B, A, 4] and scores "
        "[B, C, A], or rows [N, 6] and their numbers (with NMS)"
    )


def count_classes(form: Form, shapes: Sequence[Shape]) -> int | None:
    """How many classes the scores have; None where the shapes do not tell."""
    if form == "heads":
        return shapes[0][2]
    return shapes[1 - _position_of_boxes(shapes)][1] if form == "boxes" else None


def read_heads(
    outputs: Sequence[np.ndarray], input_size: tuple[int, int], project: np.ndarray
) -> list[Candidates]:
    """project [bins]: the distance that each bin stands for, in strides."""
    scores, sides = outputs[:LEVELS], outputs[LEVELS:]
    levels = feature_map_sizes(input_size)
    cells = [height * width for height, width in levels]
    expected = [(count, scores[0].shape[2]) for count in cells]
    expected += [(count, 4 * len(project)) for count in cells]
    found = [array.shape[1:] for array in outputs]
    if found != expected:
        raise PicoDetError(
            f"the network's outputs have the shapes {found} for a picture of "
            f"{input_size[0]}x{input_size[1]}; expected are {expected}"
        )
    centres, strides = make_anchor_points(levels)
    bins = np.concatenate(sides, axis=1).reshape(len(sides[0]), -1, 4, len(project))
    with np.errstate(invalid="ignore"):  # infinity less infinity; what comes of it is refused
        weights = np.exp(bins - bins.max(axis=3, keepdims=True))
    distances = weights @ project.astype(bins.dtype) / weights.sum(axis=3)
    boxes = np.concatenate([centres - distances[..., :2], centres + distances[..., 2:]], axis=2)
    joined = np.concatenate([of_level.transpose(0, 2, 1) for of_level in scores], axis=2)
    return finite(boxes * strides, joined)


def read_boxes(outputs: Sequence[np.ndarray]) -> list[Candidates]:
    """Boxes and scores, in either order."""
    position = _position_of_boxes([array.shape for array in outputs])
    return finite(outputs[position], outputs[1 - position])


def read_detections(outputs: Sequence[np.ndarray], batch: int) -> list[Detections]:
    """In ppdet's order, whatever the runtime's NMS has; Paddle says "nothing" with class -1."""
    rows = outputs[0]
    if not np.isfinite(rows).all():
        raise PicoDetError(NOT_FINITE)
    counts = outputs[1] if len(outputs) == 2 else np.array([len(rows)])
    if len(counts) != batch or counts.sum() != len(rows):
        raise PicoDetError(
            f"the network gave {len(rows)} rows and says that {counts.tolist()} of them are of the "
            f"{batch} pictures it was given"
        )
    return [_in_order(part) for part in np.split(rows, np.cumsum(counts)[:-1])]


NOT_FINITE = "the model's output is not finite: a weight is NaN, Inf or too large"


def finite(boxes: np.ndarray, scores: np.ndarray) -> list[Candidates]:
    """boxes [B, A, 4] and scores [B, C, A], a picture at a time; PicoDetError for NaN or Inf."""
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise PicoDetError(NOT_FINITE)
    return [Candidates(*pair) for pair in zip(boxes, scores, strict=True)]


def _in_order(rows: np.ndarray) -> Detections:
    rows = rows[rows[:, 0] >= 0]
    rows = rows[np.lexsort((-rows[:, 1], rows[:, 0]))]
    return Detections(rows[:, 2:], rows[:, 1], rows[:, 0].astype(np.int64))


def _position_of_boxes(shapes: Sequence[Shape]) -> int:
    return 0 if shapes[0][2] == 4 else 1
