"""What a recorded training is fed with: pictures, and the boxes in them. NumPy only."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from picodet.config import Preprocessing, check_input_size
from picodet.errors import RecordingError
from picodet.formats.npz_files import ArrayFileError, read_npz

# of a drawn picture: sides of its boxes, as a part of the picture's
BOX_SCALES = ((0.06, 0.18, 0.45), (0.06, 0.18, 0.45, 0.3, 0.8))
NEAR_DUPLICATE_SHIFT = np.array([6, -5, 9, 4])  # pixels, from the third box of the last picture on
GRAY_STEP = 16  # of grey, few, so that a recording of a drawn picture is small


class GroundTruth(NamedTuple):
    """What there is to find in each picture; as picodet.training.data.batch, in NumPy."""

    boxes: np.ndarray  # [B, G, 4] xyxy in pixels of the network's input, float32; 0 where none is
    classes: np.ndarray  # [B, G] int64
    valid: np.ndarray  # [B, G] bool, the first of each picture


class TrainingBatch(NamedTuple):
    """A batch."""

    images: np.ndarray  # [B, 3, H, W] float32, normalised
    boxes: GroundTruth

    def without_last_boxes(self) -> GroundTruth:
        """The boxes without those of the last picture."""
        keeps_boxes = np.arange(len(self.images)) < len(self.images) - 1
        return GroundTruth(
            self.boxes.boxes * keeps_boxes[:, None, None].astype(np.float32),
            self.boxes.classes * keeps_boxes[:, None],
            self.boxes.valid & keeps_boxes[:, None],
        )


def synthetic_batch(
    size: tuple[int, int], num_classes: int, preprocessing: Preprocessing
) -> TrainingBatch:
    """Two pictures of boxes, three and five, two of which nearly coincide; always the same."""
    height, width = size
    random = np.random.RandomState(height * width)
    pixels = np.empty((len(BOX_SCALES), height, width, 3))
    max_boxes = max(map(len, BOX_SCALES))
    boxes = np.zeros((len(BOX_SCALES), max_boxes, 4))
    for canvas, image_boxes, box_scales in zip(pixels, boxes, BOX_SCALES, strict=True):
        slope = np.add.outer(np.linspace(0, 90, height), np.linspace(0, 110, width))
        canvas[:] = slope[..., None] * random.uniform(0.2, 1, 3)
        for box, box_scale in zip(image_boxes, box_scales, strict=False):
            extent = np.array([width, height]) * box_scale * random.uniform(0.7, 1.3, 2)
            extent = np.minimum(extent, (width - 2, height - 2))
            corner = random.uniform(0, 1, 2) * ((width, height) - extent)
            box[:] = *corner, *(corner + extent)
            x1, y1, x2, y2 = box.round().astype(int)
            part = canvas[y1:y2, x1:x2]
            part += random.uniform(-90, 90, 3) + random.uniform(-40, 40, (len(part), 1, 1))
    boxes[-1, 3] = (boxes[-1, 2] + NEAR_DUPLICATE_SHIFT).clip(0, (width, height, width, height))
    coarse = (pixels.clip(0, 255) // GRAY_STEP * GRAY_STEP).astype(np.float32) / np.float32(255)
    mean, std = (np.array(n, np.float32) for n in (preprocessing.mean, preprocessing.std))
    images = ((coarse - mean) / std).transpose(0, 3, 1, 2)
    valid = np.arange(max_boxes) < np.array([len(box_scales) for box_scales in BOX_SCALES])[:, None]
    classes = random.randint(0, num_classes, valid.shape) * valid
    return TrainingBatch(
        np.ascontiguousarray(images), GroundTruth(boxes.astype(np.float32), classes, valid)
    )


def read_batch(path: Path, num_classes: int) -> TrainingBatch:
    """An .npz of images, boxes, classes and valid. Raises RecordingError for anything else."""
    try:
        return check_batch(path, read_npz(path), num_classes)
    except ArrayFileError as error:
        raise RecordingError(f"{path}: not a readable .npz: {error}") from error


def check_batch(path: Path, stored: Mapping[str, np.ndarray], num_classes: int) -> TrainingBatch:
    """Raises RecordingError where arrays are missing or do not fit."""
    names = ("images", *GroundTruth._fields)
    missing = [name for name in names if name not in stored]
    if missing:
        raise RecordingError(f"{path}: expected are the arrays {', '.join(names)}; no {missing[0]}")
    images, boxes, classes, valid = (stored[name] for name in names)
    found = ", ".join(f"{name} {list(stored[name].shape)}" for name in names)
    if not (
        (images.ndim == 4 and images.shape[1] == 3 and boxes.ndim == 3)
        and boxes.shape == (len(images), *boxes.shape[1:2], 4)
        and classes.shape == valid.shape == boxes.shape[:2]
        and 0 not in boxes.shape
    ):
        raise RecordingError(
            f"{path}: expected are images [B, 3, H, W], boxes [B, G, 4], classes and valid "
            f"[B, G], found {found}"
        )
    dtype_kinds = "".join(stored[name].dtype.kind for name in names)
    if not all(kind in "fiub" for kind in dtype_kinds):
        raise RecordingError(f"{path}: holds arrays that are no numbers, but {dtype_kinds}")
    try:
        check_input_size((images.shape[2], images.shape[3]))
    except ValueError as error:
        raise RecordingError(f"{path}: {error}") from error
    valid = valid.astype(bool)
    with np.errstate(over="ignore"):  # beyond float32 is Inf, and refused as that
        images, boxes = images.astype(np.float32), boxes.astype(np.float32)
    if not (np.isfinite(images).all() and np.isfinite(boxes).all()):
        raise RecordingError(f"{path}: holds values that are NaN or Inf in float32")
    classes = classes.astype(np.int64)
    if (valid & ((classes < 0) | (classes >= num_classes))).any():
        raise RecordingError(
            f"{path}: classes {classes[valid].min()} .. {classes[valid].max()}, the model has "
            f"0 .. {num_classes - 1}"
        )
    if (valid[:, 1:] & ~valid[:, :-1]).any():
        raise RecordingError(f"{path}: valid boxes come first in each picture")
    return TrainingBatch(images, GroundTruth(boxes * valid[..., None], classes * valid, valid))
