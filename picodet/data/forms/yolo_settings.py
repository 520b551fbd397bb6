"""Reads YOLO's data.yaml: the class names, and where the images of each split are.

Paths are relative to `path:`, which is relative to the file's folder. They may not leave the
dataset's folder, as the file may be a stranger's; an absolute path is taken, since its owner wrote
it for this machine, if it exists. Two habits are known: Roboflow writes ../train/images for
train/images, and examples name a `path:` that is not there; then the file's own folder is taken.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picodet.data.forms.text_files import check_names, is_inside, read_yaml, seen_from
from picodet.errors import PicoDetError

SPLITS = {"train": ("train",), "val": ("val", "valid", "validation", "test")}
MAX_CLASSES = 10_000


@dataclass(frozen=True)
class YoloSettings:
    """The content of a data.yaml."""

    path: Path
    root: Path  # folder of the dataset
    names: tuple[str, ...]
    sources: Mapping[str, tuple[Path, ...]]  # by split: folders of images, or lists of them
    notes: tuple[str, ...]


def read_data_yaml(path: Path) -> YoloSettings:
    """Read the settings. Raises PicoDetError where names or train and val are not usable."""
    content = read_yaml(path)
    names, notes = _names(path, content)
    root = _root(path, content.get("path"))
    sources = {}
    for split, keys in SPLITS.items():
        key = next((key for key in keys if content.get(key)), None)
        if key:
            given = content[key]
            entries = given if isinstance(given, list) else [given]
            sources[split] = tuple(_source(path, root, key, entry) for entry in entries)
    if not sources:
        raise PicoDetError(
            f"{path}: found no images; expected train: and val:, folders of images or lists of them"
        )
    return YoloSettings(path, root, names, sources, notes)


def _names(path: Path, content: Mapping[Any, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The class names by their index, and notes."""
    names, number = content.get("names"), content.get("nc")
    if names is None and type(number) is int and 0 < number <= MAX_CLASSES:
        made = tuple(f"class_{i}" for i in range(number))
        return made, (f"{path}: names no classes; they are called class_0 to {made[-1]}",)
    if isinstance(names, dict):
        if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
            raise PicoDetError(
                f"{path}: found names for {list(names)!r:.100}; expected one for each of 0, 1, 2 .."
            )
        by_index = {int(key): name for key, name in names.items()}
        names = [by_index[i] for i in range(len(by_index))]
    if not isinstance(names, list) or any(isinstance(n, list | dict | None) for n in names):
        raise PicoDetError(
            f"{path}: found {names!r:.100} as names; expected a list of class names, or 0: name .."
        )
    if number is not None and number != len(names):
        raise PicoDetError(
            f"{path}: found nc: {number!r:.40} and {len(names)} names; expected as many: correct "
            "the one that is wrong"
        )
    return check_names(path, tuple(str(name).strip() for name in names)), ()


def _root(path: Path, given: Any) -> Path:
    """The folder of the dataset."""
    if given is None or not isinstance(given, str) or "\0" in given:
        return path.parent
    if Path(given).is_absolute():
        return seen_from(path.parent, Path(given)) if Path(given).is_dir() else path.parent
    folder = path.parent / given
    return folder if is_inside(given) and folder.is_dir() else path.parent


def _source(path: Path, root: Path, key: str, entry: Any) -> Path:
    """The existing folder or list of one entry."""
    if not isinstance(entry, str) or not entry or "\0" in entry:
        raise PicoDetError(f"{path}: found {entry!r:.60} as {key}; expected a folder or a list")
    candidates = [entry]
    while entry.startswith("../"):
        entry = entry[len("../") :]
        candidates.append(entry)
    for each in candidates:
        for base in dict.fromkeys((root, path.parent)):
            found = base / each
            if (Path(each).is_absolute() or is_inside(each)) and found.exists():
                return Path(os.path.normpath(seen_from(path.parent, found)))
    raise PicoDetError(
        f"{path}: {key} is {candidates[0]!r:.200}, which is not in {root}; expected a folder of "
        "images or a list of them, within the dataset's folder or with an absolute path"
    )
