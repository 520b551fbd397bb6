"""Puts the images and boxes of any form together as the annotations that COCO's reader gives."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from picodet.data.coco import Annotations, Category, GroundTruthBoxes, ImageInfo


@dataclass
class Rows:
    """Images in their order, and the boxes of each."""

    images: list[tuple[str, tuple[int, int]]] = field(default_factory=list)  # file; height, width
    boxes: list[tuple[int, str, tuple[float, ...], bool]] = field(
        default_factory=list
    )  # index of the image, class, (x, y, width, height) in pixels, crowd


def make_annotations(
    path: Path, names: Sequence[str], rows: Rows, notes: tuple[str, ...]
) -> Annotations:
    """The annotations: images, categories and boxes are numbered from 1, in their order."""
    boxes = np.array([box for _, _, box, _ in rows.boxes], np.float64).reshape(-1, 4)
    ids = {name: i for i, name in enumerate(names, 1)}
    ground_truth = GroundTruthBoxes(
        ids=np.arange(1, len(boxes) + 1),
        image_ids=np.array([index + 1 for index, *_ in rows.boxes], np.int64),
        category_ids=np.array([ids[name] for _, name, *_ in rows.boxes], np.int64),
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        crowds=np.array([crowd for *_, crowd in rows.boxes], bool),
    )
    images = tuple(ImageInfo(i, *each) for i, each in enumerate(rows.images, 1))
    categories = tuple(Category(i, name) for name, i in ids.items())
    return Annotations(
        path, images, categories, ground_truth, notes, _digest(images, categories, ground_truth)
    )


def describe(annotations: Annotations, form: str, where: str) -> str:
    """A note on what was read."""
    ground_truth = annotations.ground_truth
    images, boxes = len(annotations.images), len(ground_truth)
    empty = images - len(np.unique(ground_truth.image_ids))
    names = ", ".join(category.name for category in annotations.categories[:5])
    more = ", .." if len(annotations.categories) > 5 else ""
    return (
        f"{annotations.path}: {form}, {where}: {images:,} images ({empty:,} without boxes), "
        f"{boxes:,} boxes, {len(annotations.categories):,} classes ({names}{more})"
    )


def _digest(
    images: tuple[ImageInfo, ...], categories: tuple[Category, ...], boxes: GroundTruthBoxes
) -> str:
    """SHA-256 of all content, wherever the dataset lies."""
    made = hashlib.sha256(repr((images, categories)).encode(errors="surrogatepass"))
    for array in vars(boxes).values():
        made.update(np.ascontiguousarray(array).tobytes())
    return made.hexdigest()
