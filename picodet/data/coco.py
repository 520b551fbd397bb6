"""The annotation file of a COCO-format dataset: what there is to find, and in which pictures."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from picodet.data.json_columns import Rows, read_json
from picodet.errors import PicoDetError

PICTURE_FOLDERS = ("val2017", "images/val2017")
ANNOTATION_FILE = "annotations/instances_val2017.json"
NAMED = 5  # ids in an error


@dataclass(frozen=True)
class Picture:
    """One picture of the dataset, with or without anything to find in it."""

    id: int
    file: str  # below the folder of the pictures
    size: tuple[int, int]  # height, width


@dataclass(frozen=True)
class Category:
    """One class of the dataset."""

    id: int
    name: str


@dataclass(frozen=True)
class Truths:
    """The boxes of all pictures: row i of each array is one of them."""

    ids: np.ndarray  # [G] int64
    picture_ids: np.ndarray  # [G] int64
    category_ids: np.ndarray  # [G] int64
    boxes: np.ndarray  # [G, 4] float64, x, y, width, height in pixels
    areas: np.ndarray  # [G] float64, of the object, not of its box
    crowds: np.ndarray  # [G] bool

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Annotations:
    """A dataset. Pictures and categories are in the order of their ids, as in COCO's evaluation."""

    path: Path
    pictures: tuple[Picture, ...]
    categories: tuple[Category, ...]
    truths: Truths
    notes: tuple[str, ...] = ()  # what was assumed in reading it

    def picture_indices(self, ids: np.ndarray) -> np.ndarray:
        """Where in `pictures` the ids [N] are -> [N]."""
        known = np.array([picture.id for picture in self.pictures], np.int64)
        return _indices(ids, known, f"image_id not among the images of {self.path}")

    def category_indices(self, ids: np.ndarray) -> np.ndarray:
        """Where in `categories` the ids [N] are -> [N]."""
        known = np.array([category.id for category in self.categories], np.int64)
        return _indices(ids, known, f"category_id not among the categories of {self.path}")

    def of_pictures(self, ids: Collection[int]) -> "Annotations":
        """As if the dataset had no other pictures."""
        kept = set(ids)
        truths, rows = self.truths, np.isin(self.truths.picture_ids, sorted(kept))
        return replace(
            self,
            pictures=tuple(picture for picture in self.pictures if picture.id in kept),
            truths=Truths(
                truths.ids[rows],
                truths.picture_ids[rows],
                truths.category_ids[rows],
                truths.boxes[rows],
                truths.areas[rows],
                truths.crowds[rows],
            ),
        )


def read_annotations(path: Path) -> Annotations:
    """Read and check everything that an evaluation relies on."""
    content = read_json(path)
    expected = ("images", "categories", "annotations")
    if not isinstance(content, dict) or not all(name in content for name in expected):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else "no object"
        raise PicoDetError(
            f"{path}: is no COCO annotation file: {', '.join(expected)} are expected, "
            f"{found or 'nothing'} is found"
        )
    pictures = _pictures(Rows(content["images"], f"{path}: images"))
    categories = _categories(Rows(content["categories"], f"{path}: categories"))
    if not (pictures and categories):
        raise PicoDetError(
            f"{path}: has {len(pictures)} images and {len(categories)} categories; "
            "nothing can be evaluated without"
        )
    rows = Rows(content["annotations"], f"{path}: annotations")
    truths = _truths(rows, pictures, categories)
    lacking = rows.lacking("iscrowd")
    notes = (
        f"{path}: {lacking:,} of {len(truths):,} annotations have no iscrowd, and count as 0: no "
        "crowd",
    )
    return Annotations(path, pictures, categories, truths, notes if lacking else ())


def find_coco(folder: Path) -> tuple[Path, Path]:
    """The folder of val2017's pictures, and their annotation file, below a folder of COCO."""
    pictures = [folder / name for name in PICTURE_FOLDERS]
    places = [folder / ANNOTATION_FILE, folder / Path(ANNOTATION_FILE).name]
    found = next((path for path in pictures if path.is_dir()), None)
    annotations = next((path for path in places if path.is_file()), None)
    if annotations is None:  # a part of val2017 has another name, and is meant if it is alone
        parts = [file for place in places for file in place.parent.glob("instances_val*.json")]
        annotations = parts[0] if len(parts) == 1 else None
    if found is None or annotations is None:
        raise PicoDetError(
            f"{folder}: is no COCO folder: looked for the pictures in "
            f"{' and '.join(PICTURE_FOLDERS)} ({_outcome(found)}), and for {ANNOTATION_FILE} or "
            f"a single instances_val*.json there or above ({_outcome(annotations)}). "
            "--images and --annotations name them one by one"
        )
    return found, annotations


def _outcome(path: Path | None) -> str:
    return f"found {path}" if path else "not found"


def _pictures(rows: Rows) -> tuple[Picture, ...]:
    ids, files = rows.ids(), rows.texts("file_name")
    heights, widths = rows.integers("height"), rows.integers("width")
    rows.require(
        (heights > 0) & (widths > 0),
        lambda i: f"the size is {widths[i]}x{heights[i]}; a picture has at least one pixel",
    )
    sizes = zip(heights.tolist(), widths.tolist(), strict=True)
    pictures = zip(ids.tolist(), files, sizes, strict=True)
    return tuple(sorted((Picture(*each) for each in pictures), key=lambda picture: picture.id))


def _categories(rows: Rows) -> tuple[Category, ...]:
    named = zip(rows.ids().tolist(), rows.texts("name"), strict=True)
    return tuple(sorted((Category(*each) for each in named), key=lambda category: category.id))


def _truths(rows: Rows, pictures: tuple[Picture, ...], categories: tuple[Category, ...]) -> Truths:
    truths = Truths(
        ids=rows.ids(),
        picture_ids=rows.integers("image_id"),
        category_ids=rows.integers("category_id"),
        boxes=rows.boxes(),
        areas=rows.numbers("area"),
        crowds=rows.flags("iscrowd"),
    )
    rows.require(
        np.isin(truths.picture_ids, [picture.id for picture in pictures]),
        lambda i: f"image_id {truths.picture_ids[i]} is none of the file's images",
    )
    rows.require(
        np.isin(truths.category_ids, [category.id for category in categories]),
        lambda i: f"category_id {truths.category_ids[i]} is none of the file's categories",
    )
    rows.require(
        truths.boxes[:, 2:].min(axis=1) >= 0,
        lambda i: f"bbox is {truths.boxes[i].tolist()}; width and height are 0 or more",
    )
    rows.require(
        truths.areas >= 0,
        lambda i: f"area is {truths.areas[i]}; 0 or more is expected",
    )
    return truths


def _indices(ids: np.ndarray, known: np.ndarray, problem: str) -> np.ndarray:
    """`known` is sorted."""
    strange = np.setdiff1d(ids, known)
    if len(strange):
        named = ", ".join(map(str, strange[:NAMED].tolist()))
        more = f" and {len(strange) - NAMED} more" if len(strange) > NAMED else ""
        raise PicoDetError(f"{problem}: {named}{more}")
    return np.searchsorted(known, ids)
