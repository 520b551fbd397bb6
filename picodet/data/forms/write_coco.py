"""Writes a dataset of any form in COCO's: the annotations as JSON, and copies of the images.

The folders are those of COCO 2017 (train2017, val2017, annotations), as most programs expect them.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from picodet.data.coco import Annotations
from picodet.data.forms.dataset import DatasetSplit
from picodet.data.forms.text_files import is_inside
from picodet.errors import OutputError, PicoDetError
from picodet.files import atomic_write_folder, regular_file

ProgressCallback = Callable[[int, int], None]


def check_new(folder: Path) -> None:
    """Raise OutputError unless the folder is new, or empty."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise OutputError(f"{folder}: exists already; expected a new folder: give another name")
    if not folder.parent.is_dir():
        raise OutputError(f"{folder}: there is no folder {folder.parent}; create it first")


def write_coco(
    splits: Mapping[str, DatasetSplit], folder: Path, progress: ProgressCallback
) -> list[Path]:
    """Write the splits into a new folder, whole or not at all; the annotation files.

    Images are copied, under their names below the folder that all of a split share. Raises
    OutputError where that is impossible, and PicoDetError for images that are missing or lie
    outside the dataset.
    """
    check_new(folder)
    names = {split: _names(each) for split, each in splits.items()}
    done, total = 0, sum(map(len, names.values()))
    written = []
    with atomic_write_folder(folder) as temporary:
        (temporary / "annotations").mkdir()
        for split, each in splits.items():
            file = Path("annotations") / f"instances_{split}2017.json"
            content = _content(each.annotations, names[split])
            (temporary / file).write_text(json.dumps(content), encoding="utf-8")
            written.append(folder / file)
            for image, name in zip(each.annotations.images, names[split], strict=True):
                target = temporary / f"{split}2017" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(each.images / image.file, target)
                done += 1
                progress(done, total)
    return written


def _names(split: DatasetSplit) -> list[str]:
    """The images' names without the folders that all of them share."""
    files = [image.file for image in split.annotations.images]
    wrong = [file for file in files if not is_inside(file)]
    if wrong:
        raise PicoDetError(
            f"{split.annotations.path}: file_name {wrong[0]!r:.200} lies outside {split.images}; "
            "expected images below it"
        )
    for file in files:
        try:
            regular_file(split.images / file)
        except OSError as error:
            raise PicoDetError(
                f"{split.images / file}: the image cannot be read: {error.strerror or error}"
            ) from error
    parts = [Path(file).parent.parts for file in files]
    shared = 0
    while all(len(each) > shared for each in parts) and len({e[shared] for e in parts}) == 1:
        shared += 1
    names = [Path(*Path(file).parts[shared:]).as_posix() for file in files]
    if len(set(names)) < len(names):
        raise PicoDetError(
            f"{split.annotations.path}: found an image twice; expected each once: remove one"
        )
    return names


def _content(annotations: Annotations, names: list[str]) -> dict[str, Any]:
    ground_truth = annotations.ground_truth
    rows = zip(*(array.tolist() for array in vars(ground_truth).values()), strict=True)
    return {
        "images": [
            {"id": image.id, "file_name": name, "height": image.size[0], "width": image.size[1]}
            for image, name in zip(annotations.images, names, strict=True)
        ],
        "categories": [{"id": each.id, "name": each.name} for each in annotations.categories],
        "annotations": [
            {
                **{"id": row_id, "image_id": image_id, "category_id": category_id},
                **{"bbox": box, "area": area, "iscrowd": int(crowd)},
            }
            for row_id, image_id, category_id, box, area, crowd in rows
        ],
    }
