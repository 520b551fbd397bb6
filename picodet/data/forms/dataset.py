"""Recognizes the form of a dataset, and reads a split of it."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from picodet.data.coco import Annotations, Split, find_coco, read_annotations
from picodet.data.forms.build import describe
from picodet.data.forms.problems import BadBoxes
from picodet.data.forms.voc import VocSplits, find_voc, read_voc
from picodet.data.forms.yolo import images_folder, read_yolo
from picodet.data.forms.yolo_settings import YoloSettings, read_data_yaml
from picodet.errors import PicoDetError
from picodet.files import sha256

YAML_SUFFIXES = (".yaml", ".yml")
ROBOFLOW_FILE = "_annotations.coco.json"  # beside the images of each split
ROBOFLOW_FOLDERS = {"train": ("train",), "val": ("valid", "val", "test")}
AnySplit = Literal["train", "val", "all"]  # all: of a dataset that has no splits


@dataclass(frozen=True)
class CocoSplits:
    """Where each split of a dataset in COCO's format is: folder of images, and annotation file."""

    sources: dict[str, tuple[Path, Path]]


Form = CocoSplits | VocSplits | YoloSettings


@dataclass(frozen=True)
class DatasetSplit:
    """Images with their annotations."""

    images: Path  # the folder that the files in the annotations are relative to
    annotations: Annotations


def recognize(path: Path) -> Form:
    """The form of a dataset: a folder, or a data.yaml of YOLO.

    A folder with annotations in several forms is COCO rather than YOLO, and YOLO rather than Pascal
    VOC. Raises PicoDetError where it is none of them.
    """
    if path.suffix.lower() in YAML_SUFFIXES and path.is_file():
        return read_data_yaml(path)
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing"
        raise PicoDetError(
            f"{path}: found {found}; expected the folder of a dataset in COCO's, Pascal VOC's or "
            "YOLO's form, or a data.yaml"
        )
    try:
        coco = _find_coco(path)
        if coco.sources:
            return coco
        settings = _find_data_yaml(path)
        if settings:
            return read_data_yaml(settings)
        voc = find_voc(path)
    except OSError as error:
        raise PicoDetError(f"{path}: cannot be read: {error.strerror or error}") from error
    if voc:
        return voc
    inside = sorted(os.listdir(path))[:8]  # noqa: PTH208 (names)
    raise PicoDetError(
        f"{path}: found {', '.join(inside) or 'an empty folder'}; expected COCO (train2017, "
        f"val2017 and annotations, or train/{ROBOFLOW_FILE}), YOLO (data.yaml) or Pascal VOC "
        "(ImageSets or lists, Annotations and JPEGImages, or XML files)"
    )


def read_split(path: Path, split: AnySplit, bad_boxes: BadBoxes = "error") -> DatasetSplit | None:
    """A split of a dataset of any form; None where it has no such split.

    Its notes name the form, and count what was read and what was ignored. Raises PicoDetError for
    what cannot be read, with a list of all that is wrong in VOC's and YOLO's files; bad_boxes
    "drop" leaves that out instead, and notes it.
    """
    form = recognize(path)
    return _read(path, form, split, split, bad_boxes) if split in form.sources else None


def read_any_split(path: Path, split: Split, bad_boxes: BadBoxes = "error") -> DatasetSplit:
    """A split of a dataset, or all of one without splits. Raises PicoDetError for neither."""
    form = recognize(path)
    named = next((name for name in (split, "all") if name in form.sources), None)
    if named is None:
        raise PicoDetError(
            f"{path}: found the split {', '.join(form.sources)}; expected {split}: give another "
            "dataset, or the images and their annotation file themselves"
        )
    return _read(path, form, named, split, bad_boxes)


def _read(
    path: Path, form: Form, named: str, purpose: AnySplit, bad_boxes: BadBoxes
) -> DatasetSplit:
    """The split with this name, to be trained or evaluated on."""
    try:
        if isinstance(form, CocoSplits):
            return _read_coco(form, named)
        if isinstance(form, YoloSettings):
            return DatasetSplit(images_folder(form, named), read_yolo(form, named, bad_boxes))
        return DatasetSplit(form.root, read_voc(form, named, purpose == "val", bad_boxes))
    except OSError as error:
        raise PicoDetError(f"{path}: cannot be read: {error.strerror or error}") from error


def _find_coco(folder: Path) -> CocoSplits:
    sources = {}
    for split in ("train", "val"):
        name = f"{split}2017"
        files = [folder / "annotations", folder]
        if any(list(file.glob(f"instances_{split}*.json")) for file in files) or any(
            (folder / below / name).is_dir() for below in (".", "images")
        ):
            sources[split] = find_coco(folder, split)
            continue
        for below in ROBOFLOW_FOLDERS[split]:
            if (folder / below / ROBOFLOW_FILE).is_file():
                sources[split] = (folder / below, folder / below / ROBOFLOW_FILE)
                break
    if not sources and (folder / ROBOFLOW_FILE).is_file():
        sources["all"] = (folder, folder / ROBOFLOW_FILE)
    return CocoSplits(sources)


def _read_coco(form: CocoSplits, split: str) -> DatasetSplit:
    images, file = form.sources[split]
    annotations = replace(read_annotations(file), digest=sha256(file))
    return DatasetSplit(images, annotations.with_first_note(describe(annotations, "COCO", split)))


def _find_data_yaml(folder: Path) -> Path | None:
    """data.yaml, or the only YAML of the folder that names classes for images."""
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if (folder / name).is_file():
            return folder / name
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in YAML_SUFFIXES]
    if len(found) == 1 and (folder / "images").is_dir() and (folder / "labels").is_dir():
        return found[0]
    return None
