"""Reads annotation files in COCO's format: images, categories and boxes."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from picodet.data.json_columns import JsonColumns, read_json
from picodet.errors import PicoDetError
from picodet.files import sha256

Split = Literal["train", "val"]
MAX_NAMED = 5  # ids in an error
# what annotations may lack, and what is taken for it
FILLED = {
    "iscrowd": "and count as 0: no crowd",
    "area": "and get that of their box",
    "id": "and get numbers that are free",
}


@dataclass(frozen=True)
class ImageInfo:
    """One image of the dataset, with or without boxes."""

    id: int
    file: str  # below the folder of the images
    size: tuple[int, int]  # height, width


@dataclass(frozen=True)
class Category:
    """One class of the dataset."""

    id: int
    name: str


@dataclass(frozen=True)
class GroundTruthBoxes:
    """The boxes of all images: row i of each array is one of them."""

    ids: np.ndarray  # [G] int64
    image_ids: np.ndarray  # [G] int64
    category_ids: np.ndarray  # [G] int64
    boxes: np.ndarray  # [G, 4] float64, x, y, width, height in pixels
    areas: np.ndarray  # [G] float64, of the object, not of its box
    crowds: np.ndarray  # [G] bool

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: np.ndarray) -> "GroundTruthBoxes":
        """The boxes of these rows, [G] bool."""
        return GroundTruthBoxes(*(array[rows] for array in vars(self).values()))


@dataclass(frozen=True)
class Annotations:
    """A dataset. Images and categories are in the order of their ids, as in COCO's evaluation."""

    path: Path
    images: tuple[ImageInfo, ...]
    categories: tuple[Category, ...]
    ground_truth: GroundTruthBoxes
    notes: tuple[str, ...] = ()  # what was assumed in reading it
    digest: str = ""  # SHA-256 of what was read

    def image_indices(self, ids: np.ndarray) -> np.ndarray:
        """Indices [N] into `images` of image ids. Raises PicoDetError for an unknown id."""
        known = np.array([image.id for image in self.images], np.int64)
        return _indices(ids, known, f"image_id not among the images of {self.path}")

    def category_indices(self, ids: np.ndarray) -> np.ndarray:
        """Indices [N] into `categories` of category ids. Raises PicoDetError for an unknown id."""
        known = np.array([category.id for category in self.categories], np.int64)
        return _indices(ids, known, f"category_id not among the categories of {self.path}")

    def with_first_note(self, note: str) -> "Annotations":
        """The dataset with a note before the others."""
        return replace(self, notes=(note, *self.notes))

    def select_images(self, ids: Collection[int]) -> "Annotations":
        """The dataset reduced to the images with these ids."""
        kept = set(ids)
        return replace(
            self,
            images=tuple(image for image in self.images if image.id in kept),
            ground_truth=self.ground_truth.select(
                np.isin(self.ground_truth.image_ids, sorted(kept))
            ),
        )

    def select_categories(self, ids: Collection[int]) -> "Annotations":
        """The dataset reduced to the categories with these ids; all images stay."""
        kept = set(ids)
        return replace(
            self,
            categories=tuple(category for category in self.categories if category.id in kept),
            ground_truth=self.ground_truth.select(
                np.isin(self.ground_truth.category_ids, sorted(kept))
            ),
        )


AnnotationSource = Path | Annotations  # a file in COCO's format, or what was read of any form


def read_annotations(source: AnnotationSource) -> Annotations:
    """Read an annotation file, plain or .gz, and check all that an evaluation relies on.

    Annotations that were read already are returned as they are. Raises PicoDetError for the first
    entry that is wrong.
    """
    if isinstance(source, Annotations):
        return source
    path, content = source, read_json(source)
    expected = ("images", "categories", "annotations")
    if not isinstance(content, dict) or not all(name in content for name in expected):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else "no object"
        raise PicoDetError(
            f"{path}: not a COCO annotation file: found {found or 'nothing'}; expected "
            f"{', '.join(expected)}"
        )
    images = _images(JsonColumns(content["images"], f"{path}: images"))
    categories = _categories(JsonColumns(content["categories"], f"{path}: categories"))
    if not (images and categories):
        raise PicoDetError(
            f"{path}: has {len(images)} images and {len(categories)} categories; "
            "at least one of each is expected"
        )
    rows = JsonColumns(content["annotations"], f"{path}: annotations")
    ground_truth = _ground_truth(rows, images, categories)
    counts = {key: rows.count_missing(key) for key in FILLED}
    notes = tuple(
        f"{path}: {count:,} of {len(ground_truth):,} annotations have no {key} {FILLED[key]}"
        for key, count in counts.items()
        if count
    )
    return Annotations(path, images, categories, ground_truth, notes)


def annotations_path(source: AnnotationSource) -> Path:
    """The file that the annotations are in, for messages."""
    return source.path if isinstance(source, Annotations) else source


def annotations_digest(source: AnnotationSource) -> str:
    """SHA-256 of the annotations: of the file, or of what was read in another form."""
    return source.digest if isinstance(source, Annotations) else sha256(source)


def find_coco(folder: Path, split: Split = "val") -> tuple[Path, Path]:
    """(image folder, annotation file) of a split of COCO 2017 below a folder.

    Both layouts are known: images in val2017/ or in images/val2017/, the annotation file in
    annotations/ or in the folder itself. Raises PicoDetError if either is not found.
    """
    name, annotation_file = f"{split}2017", f"annotations/instances_{split}2017.json"
    annotation_paths = [folder / annotation_file, folder / Path(annotation_file).name]
    images = next(
        (path for path in (folder / name, folder / "images" / name) if path.is_dir()), None
    )
    annotations = next((path for path in annotation_paths if path.is_file()), None)
    if annotations is None:  # a subset has another name; taken if it is the only one
        subsets = [
            file
            for path in annotation_paths
            for file in path.parent.glob(f"instances_{split}*.json")
        ]
        annotations = subsets[0] if len(subsets) == 1 else None
    if images is None or annotations is None:
        raise PicoDetError(
            f"{folder}: no {split} split of COCO: looked for images in {name} and images/{name} "
            f"({_outcome(images)}), and for {annotation_file} or a single instances_{split}*.json "
            f"there or above ({_outcome(annotations)}). Give the image folder and the annotation "
            "file instead of --coco"
        )
    return images, annotations


def has_split(folder: Path, split: Split) -> bool:
    """Whether anything of a split of COCO 2017 lies below a folder, so that find_coco is needed."""
    name = f"{split}2017"
    return any((folder / path).is_dir() for path in (name, f"images/{name}")) or any(
        any(path.glob(f"instances_{split}*.json")) for path in (folder / "annotations", folder)
    )


def _outcome(path: Path | None) -> str:
    return f"found {path}" if path else "not found"


def _images(rows: JsonColumns) -> tuple[ImageInfo, ...]:
    ids, files = rows.ids(), rows.strings("file_name")
    heights, widths = rows.integers("height"), rows.integers("width")
    rows.require(
        (heights > 0) & (widths > 0),
        lambda i: f"the size is {widths[i]}x{heights[i]}; an image has at least one pixel",
    )
    sizes = zip(heights.tolist(), widths.tolist(), strict=True)
    images = zip(ids.tolist(), files, sizes, strict=True)
    return tuple(sorted((ImageInfo(*each) for each in images), key=lambda image: image.id))


def _categories(rows: JsonColumns) -> tuple[Category, ...]:
    named = zip(rows.ids().tolist(), rows.strings("name"), strict=True)
    return tuple(sorted((Category(*each) for each in named), key=lambda category: category.id))


def _ground_truth(
    rows: JsonColumns, images: tuple[ImageInfo, ...], categories: tuple[Category, ...]
) -> GroundTruthBoxes:
    ids, image_ids = rows.ids_or_free(), rows.integers("image_id")
    category_ids, boxes = rows.integers("category_id"), rows.boxes()
    ground_truth = GroundTruthBoxes(
        ids=ids,
        image_ids=image_ids,
        category_ids=category_ids,
        boxes=boxes,
        areas=rows.numbers("area", otherwise=boxes[:, 2] * boxes[:, 3]),
        crowds=rows.flags("iscrowd"),
    )
    rows.require(
        np.isin(ground_truth.image_ids, [image.id for image in images]),
        lambda i: f"image_id {ground_truth.image_ids[i]} is none of the file's images",
    )
    rows.require(
        np.isin(ground_truth.category_ids, [category.id for category in categories]),
        lambda i: f"category_id {ground_truth.category_ids[i]} is none of the file's categories",
    )
    rows.require(
        ground_truth.boxes[:, 2:].min(axis=1) >= 0,
        lambda i: f"bbox is {ground_truth.boxes[i].tolist()}; width and height are 0 or more",
    )
    rows.require(
        ground_truth.areas >= 0,
        lambda i: f"area is {ground_truth.areas[i]}; 0 or more is expected",
    )
    return ground_truth


def _indices(ids: np.ndarray, known: np.ndarray, problem: str) -> np.ndarray:
    """Indices of ids [N] in known [M], which is sorted; PicoDetError for others."""
    unknown = np.setdiff1d(ids, known)
    if len(unknown):
        named = ", ".join(map(str, unknown[:MAX_NAMED].tolist()))
        more = f" and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
        raise PicoDetError(f"{problem}: {named}{more}")
    return np.searchsorted(known, ids)
