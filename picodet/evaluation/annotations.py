"""The annotation file of a COCO-format dataset: what there is to find, and in which pictures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


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
