"""The training dataset: the images of a COCO annotation file that have a box.

As COCODataSet for training (ppdet/data/source/coco.py:143-178): no crowds, no boxes without area,
no images without boxes; images in the order of their ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from picodet.data.coco import Annotations, AnnotationSource, Category, read_annotations
from picodet.errors import TrainingError

SMALLEST = 1e-5  # least side of a box, pixels, exclusive
DECIMALS = 3  # that coordinates are rounded to, pixels
MAX_NAMED = 5  # in an error


@dataclass(frozen=True)
class TrainDataset:
    """N images and their G boxes; those of image i are rows starts[i] to starts[i + 1] - 1."""

    folder: Path
    files: tuple[str, ...]  # relative to the folder
    image_ids: np.ndarray  # [N] int64, ascending
    starts: np.ndarray  # [N + 1] int64
    boxes: np.ndarray  # [G, 4] float32 xyxy, pixels of the image
    classes: np.ndarray  # [G] int64, index into class_names
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()  # assumptions made while reading

    def __len__(self) -> int:
        return len(self.files)

    def boxes_of(self, index: int) -> np.ndarray:
        """[n, 4] float32 xyxy: a copy of the boxes of an image."""
        return self.boxes[self.starts[index] : self.starts[index + 1]].copy()

    def classes_of(self, index: int) -> np.ndarray:
        """[n] int64: a copy of the classes of an image."""
        return self.classes[self.starts[index] : self.starts[index + 1]].copy()


def read_dataset(
    source: AnnotationSource, folder: Path, class_names: Sequence[str] | None = None
) -> TrainDataset:
    """Read the annotations, and check that the image files exist (without opening them).

    class_names: the model's classes; None: all categories, in the order of their ids. Raises
    TrainingError for a class that is no category, for no boxes, or for missing images, and what
    `read_annotations` raises.
    """
    annotations = read_annotations(source)
    classes = _classes(annotations, class_names)
    ground_truth = annotations.ground_truth
    corners = ground_truth.boxes.copy()
    corners[:, 2:] += corners[:, :2]
    kept = (
        ~ground_truth.crowds
        & (ground_truth.areas > 0)
        & (corners[:, 2:] - corners[:, :2] > SMALLEST).all(axis=1)
        & np.isin(ground_truth.category_ids, list(classes.values()))
    )
    rows = np.flatnonzero(kept)
    if not len(rows):
        raise TrainingError(
            f"{annotations.path}: none of its {len(ground_truth):,} boxes can be trained on: all "
            f"are crowds, have no area, or belong to other classes than {_list(list(classes))}"
        )
    image_indices = annotations.image_indices(ground_truth.image_ids[rows])
    rows = rows[np.argsort(image_indices, kind="stable")]
    present, counts = np.unique(image_indices, return_counts=True)
    images = [annotations.images[i] for i in present]
    files = tuple(image.file for image in images)
    _check_files(folder, files)
    # as Python rounds, in decimal; NumPy rounds a product
    rounded = [round(value, DECIMALS) for value in corners[rows].ravel().tolist()]
    order = {category_id: index for index, category_id in enumerate(classes.values())}
    return TrainDataset(
        folder=folder,
        files=files,
        image_ids=np.array([image.id for image in images], np.int64),
        starts=np.concatenate([[0], np.cumsum(counts)]),
        boxes=np.array(rounded, np.float32).reshape(-1, 4),
        classes=np.array([order[i] for i in ground_truth.category_ids[rows].tolist()], np.int64),
        class_names=tuple(classes),
        notes=annotations.notes + _notes(annotations, classes, len(images)),
    )


def _notes(annotations: Annotations, classes: dict[str, int], used: int) -> tuple[str, ...]:
    """What of the dataset is not trained on."""
    notes, total = [], len(annotations.images)
    if used < total:
        notes.append(
            f"{annotations.path}: {total - used:,} of {total:,} images have no box to train on and "
            "are left out, as ppdet does"
        )
    others = [c for c in annotations.categories if c.id not in classes.values()]
    if others:
        ids = annotations.ground_truth.category_ids
        count = np.isin(ids, [category.id for category in others]).sum()
        notes.append(
            f"{annotations.path}: {count:,} of {len(ids):,} boxes are of other categories and "
            f"ignored: {_list([category.name for category in others])}"
        )
    return tuple(notes)


def _classes(annotations: Annotations, class_names: Sequence[str] | None) -> dict[str, int]:
    """Name -> category id, in the order of the model's classes."""
    ids: dict[str, int] = {}
    for category in annotations.categories:
        _check_name(annotations.path, category, ids)
        ids[category.name] = category.id
    if class_names is None:
        return ids
    missing = [name for name in class_names if name not in ids]
    if missing:
        raise TrainingError(
            f"{annotations.path}: no category named {_list(missing)}; it has "
            f"{_list(list(ids))}. Give --classes FILE with the names to train, one per line"
        )
    return {name: ids[name] for name in class_names}


def _check_name(path: Path, category: Category, ids: dict[str, int]) -> None:
    if category.name in ids:
        raise TrainingError(
            f"{path}: categories {ids[category.name]} and {category.id} are both named "
            f"{category.name!r}; rename one of them"
        )


def _check_files(folder: Path, files: Sequence[str]) -> None:
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise TrainingError(
            f"{folder}: {len(missing):,} of {len(files):,} images of the annotations are missing: "
            f"{_list(missing)}. Copy them here, or remove them from the annotations (ppdet skips "
            "them silently)"
        )


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
