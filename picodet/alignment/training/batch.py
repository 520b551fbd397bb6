"""The batch of a recorded training: images and their boxes. NumPy only."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from picodet.config import Preprocessing, check_input_size
from picodet.errors import RecordingError
from picodet.formats.npz_files import ArrayFileError, read_npz

# box sizes of each synthetic image, as a part of the image's size
BOX_SCALES = ((0.06, 0.18, 0.45), (0.06, 0.18, 0.45, 0.3, 0.8))
NEAR_DUPLICATE_SHIFT = np.array([6, -5, 9, 4])  # pixels, xyxy, from the last image's third box
GRAY_STEP = 16  # gray levels of synthetic images are multiples, so that their recording is small


class GroundTruth(NamedTuple):
    """The boxes of a batch, padded; as picodet.training.data.batch.Targets, in NumPy."""

    boxes: np.ndarray  # [B, G, 4] xyxy in pixels of the network's input, float32; padding is 0
    classes: np.ndarray  # [B, G] int64
    valid: np.ndarray  # [B, G] bool; in each image padding comes last


class TrainingBatch(NamedTuple):
    """Images and their boxes."""

    images: np.ndarray  # [B, 3, H, W] float32, normalized
    boxes: GroundTruth

    def without_last_boxes(self) -> GroundTruth:
        """The ground truth without the boxes of the last image."""
        keeps_boxes = np.arange(len(self.images)) < len(self.images) - 1
        return GroundTruth(
            self.boxes.boxes * keeps_boxes[:, None, None].astype(np.float32),
            self.boxes.classes * keeps_boxes[:, None],
            self.boxes.valid & keeps_boxes[:, None],
        )


def synthetic_batch(
    size: tuple[int, int], num_classes: int, preprocessing: Preprocessing
) -> TrainingBatch:
    """Two synthetic images with three and five boxes, two of which nearly coincide.

    size: height, width. Deterministic: the same arguments give the same batch.
    """
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
    """Read an .npz of images, boxes, classes and valid. Raises RecordingError for anything else."""
    try:
        return check_batch(path, read_npz(path), num_classes)
    except ArrayFileError as error:
        raise RecordingError(f"{path}: not a readable .npz: {error}") from error


def check_batch(path: Path, stored: Mapping[str, np.ndarray], num_classes: int) -> TrainingBatch:
    """The batch in the arrays of the file `path`, in shapes and dtypes as TrainingBatch states.

    Raises RecordingError where arrays are missing or do not fit.
    """
    names = ("images", *GroundTruth._fields)
    missing = [name for name in names if name not in stored]
    if missing:
        raise RecordingError(
            f"{path}: no array {missing[0]}; expected the arrays {', '.join(names)}"
        )
    images, boxes, classes, valid = (stored[name] for name in names)
    found = ", ".join(f"{name} {list(stored[name].shape)}" for name in names)
    if not (
        (images.ndim == 4 and images.shape[1] == 3 and boxes.ndim == 3)
        and boxes.shape == (len(images), *boxes.shape[1:2], 4)
        and classes.shape == valid.shape == boxes.shape[:2]
        and 0 not in boxes.shape
    ):
        raise RecordingError(
            f"{path}: {found}; expected images [B, 3, H, W], boxes [B, G, 4], classes [B, G] and "
            "valid [B, G]"
        )
    dtype_kinds = "".join(stored[name].dtype.kind for name in names)
    if not all(kind in "fiub" for kind in dtype_kinds):
        dtypes = ", ".join(f"{name} {stored[name].dtype}" for name in names)
        raise RecordingError(f"{path}: {dtypes}; expected numbers")
    try:
        check_input_size((images.shape[2], images.shape[3]))
    except ValueError as error:
        raise RecordingError(f"{path}: {error}") from error
    valid = valid.astype(bool)
    with np.errstate(over="ignore"):  # what overflows float32 becomes Inf and is rejected below
        images, boxes = images.astype(np.float32), boxes.astype(np.float32)
    if not (np.isfinite(images).all() and np.isfinite(boxes).all()):
        raise RecordingError(f"{path}: values that are NaN or Inf in float32; expected finite ones")
    classes = classes.astype(np.int64)
    if (valid & ((classes < 0) | (classes >= num_classes))).any():
        raise RecordingError(
            f"{path}: classes {classes[valid].min()} .. {classes[valid].max()}; the model has "
            f"0 .. {num_classes - 1}"
        )
    if (valid[:, 1:] & ~valid[:, :-1]).any():
        raise RecordingError(
            f"{path}: a valid box after an invalid one; put the valid boxes of each image first"
        )
    return TrainingBatch(images, GroundTruth(boxes * valid[..., None], classes * valid, valid))
