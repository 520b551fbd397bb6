"""Reads YOLO's labels: for each image a text file of classes and boxes, or polygons.

A line is `class x y width height`, the centre and size as shares of the image's, or `class x1 y1 x2
y2 x3 y3 ..`, a polygon, of which the enclosing box is taken. The labels of images/a/b.jpg are
labels/a/b.txt; an image without such a file has no boxes.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from picodet.data.coco import Annotations
from picodet.data.forms.build import Rows, describe, make_annotations
from picodet.data.forms.image_files import files_below, image_sizes, is_image
from picodet.data.forms.problems import BadBoxes, Problems
from picodet.data.forms.text_files import number, read_lines, seen_from
from picodet.data.forms.yolo_settings import YoloSettings
from picodet.errors import PicoDetError

FORM = "YOLO"
MAX_LABEL_BYTES = 4_000_000  # of an image: a thousand polygons of two hundred points
OTHER_TEXTS = ("classes.txt",)  # labelImg's, beside the labels
CLIPPED = 0.1  # pixels beyond the image from which on a clipped box is counted
BOX_VALUES, POINT_VALUES = 5, 7  # in a line: of a box, and at least of a polygon


class Label(NamedTuple):
    """A box; its corners are shares of the image's width and height."""

    class_index: int
    corners: tuple[float, float, float, float]  # left, top, right, bottom
    is_polygon: bool


def read_yolo(settings: YoloSettings, split: str, bad_boxes: BadBoxes = "error") -> Annotations:
    """The annotations of a split; files are relative to `images_folder`.

    Images have the order of their names, or of the list. Raises PicoDetError, which lists what is
    wrong in the files.
    """
    problems = Problems(settings.path, bad_boxes)
    root, folder = _root(settings), images_folder(settings, split)
    images = list(dict.fromkeys(_images(settings, split, problems)))
    orphans = _labels_without_image(settings, split, images)
    for file in orphans:
        problems.add(_shown(file, root), "labels without an image")
    rows, unlabelled, polygons, clipped = Rows(), 0, 0, 0
    for image, size in zip(images, image_sizes(images), strict=True):
        name = image.relative_to(folder).as_posix()
        if isinstance(size, str):
            problems.add(_shown(image, root), size)
            continue
        text = label_path(image, root)
        labels: list[Label] = []
        if text.exists():
            try:
                labels = read_labels(
                    text,
                    len(settings.names),
                    partial(_add_line, problems, _shown(text, root)),
                )
            except ValueError as error:
                problems.add(_shown(text, root), str(error))
                continue
        else:
            unlabelled += 1
        for label in labels:
            box, is_clipped = _pixels(label.corners, size)
            clipped += is_clipped
            polygons += label.is_polygon
            class_name = settings.names[label.class_index]
            rows.boxes.append((len(rows.images), class_name, box, False))
        rows.images.append((name, size))
    notes = (*settings.notes, *problems.finish())
    if not folder.is_relative_to(os.path.normpath(settings.path.parent)):
        notes += (f"{settings.path}: the images are in {folder}, as its absolute path says",)
    if not rows.images:
        raise PicoDetError(
            f"{settings.path}: found no images of {split} in "
            f"{', '.join(map(str, settings.sources[split]))}; expected at least one"
        )
    if unlabelled == len(rows.images):
        raise PicoDetError(
            f"{settings.path}: none of the {unlabelled:,} images of {split} has a file of labels; "
            f"expected {label_path(images[0], root)}, with a line for each box"
        )
    counts = {
        "images without a file of labels, and so without boxes": unlabelled,
        "polygons, read as the boxes that enclose them": polygons,
        "boxes that reached beyond their image, clipped to it": clipped,
    }
    notes += tuple(f"{settings.path}: {what}: {count:,}" for what, count in counts.items() if count)
    annotations = make_annotations(settings.path, settings.names, rows, notes)
    return annotations.with_first_note(describe(annotations, FORM, split))


def images_folder(settings: YoloSettings, split: str) -> Path:
    """The folder that the files of a split are relative to: the dataset's, if they lie in it."""
    root = _root(settings)
    outside = [each for each in settings.sources[split] if not each.is_relative_to(root)]
    if not outside:
        return root
    folders = [each if each.is_dir() else each.parent for each in settings.sources[split]]
    return Path(os.path.commonpath(folders))


def label_path(image: Path, root: Path) -> Path:
    """The file of labels: the last folder `images` of the path is `labels`.

    Folders above the dataset, `root`, keep their names.
    """
    parts = list(image.parts)
    start = len(root.parts) if image.is_relative_to(root) else 0
    places = [i for i, part in enumerate(parts[:-1]) if part == "images" and i >= start]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def read_labels(path: Path, num_classes: int, problem: Callable[[int, str], None]) -> list[Label]:
    """The labels of an image; `problem` is called with each line that is none, from 1, and why.

    Raises ValueError with the reason where the file cannot be read.
    """
    labels = []
    for i, line in enumerate(read_lines(path, MAX_LABEL_BYTES), 1):
        if line:
            label = _label(line.split(), num_classes)
            if isinstance(label, str):
                problem(i, label)
            else:
                labels.append(label)
    return labels


def _label(words: list[str], num_classes: int) -> Label | str:
    """The label of a line, or what is wrong with it."""
    is_polygon = len(words) >= POINT_VALUES and len(words) % 2 == 1
    if len(words) != BOX_VALUES and not is_polygon:
        return (
            f"{len(words)} values; expected class, x, y, width and height, or a class and the "
            "points of a polygon"
        )
    values = [number(word) for word in words]
    wrong = next((word for word, value in zip(words, values, strict=True) if value is None), None)
    if wrong is not None:
        return f"{wrong!r:.40} is no number"
    kind, *shares = [value for value in values if value is not None]
    if not kind.is_integer() or not 0 <= kind < num_classes:
        return f"class {words[0]:.40}; expected 0 to {num_classes - 1}, as data.yaml names them"
    outside = next((w for w, s in zip(words[1:], shares, strict=True) if not 0 <= s <= 1), None)
    if outside is not None:
        return f"{outside:.40} is outside 0..1; expected shares of the image's width and height"
    if is_polygon:
        xs, ys = shares[::2], shares[1::2]
        corners = (min(xs), min(ys), max(xs), max(ys))
    else:
        x, y, width, height = shares
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if corners[2] <= corners[0] or corners[3] <= corners[1]:
        return "a box without area"
    return Label(int(kind), corners, is_polygon)


def _pixels(
    corners: tuple[float, ...], size: tuple[int, int]
) -> tuple[tuple[float, float, float, float], bool]:
    """Shares of the image -> x, y, width, height within it; whether more than noise was outside."""
    height, width = size
    x1, x2, y1, y2 = (
        corners[0] * width,
        corners[2] * width,
        corners[1] * height,
        corners[3] * height,
    )
    beyond = max(-x1, -y1, x2 - width, y2 - height)
    x1, y1, x2, y2 = max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)
    return (x1, y1, x2 - x1, y2 - y1), beyond > CLIPPED


def _root(settings: YoloSettings) -> Path:
    return Path(os.path.normpath(settings.root))


def _shown(file: Path, root: Path) -> str:
    return str(file.relative_to(root) if file.is_relative_to(root) else file)


def _add_line(problems: Problems, where: str, line: int, problem: str) -> None:
    problems.add(f"{where}:{line}", problem)


def _images(settings: YoloSettings, split: str, problems: Problems) -> Iterator[Path]:
    root, folder = _root(settings), images_folder(settings, split)
    for source in settings.sources[split]:
        if source.is_dir():
            yield from (source / name for name in files_below(source, is_image))
            continue
        try:
            lines = [line for line in read_lines(source) if line]
        except ValueError as error:
            raise PicoDetError(
                f"{source}: {error}; expected a folder of images, or a list of them"
            ) from error
        for line in lines:
            is_beside = line.startswith("./") or not source.is_relative_to(root)
            named = (source.parent if is_beside else root) / line
            image = Path(os.path.normpath(seen_from(root, named)))
            if "\0" not in line and image.is_relative_to(folder):
                yield image
            else:
                problems.add(str(source), f"lists {line!r:.200}, outside the dataset's folder")


def _labels_without_image(settings: YoloSettings, split: str, images: list[Path]) -> Iterator[Path]:
    """Files of labels beside which no image is; only of splits that are folders."""
    root = _root(settings)
    expected = {label_path(image, root) for image in images}
    for source in settings.sources[split]:
        if source.is_dir():
            folder = label_path(source / "x", root).parent
            for name in files_below(folder, lambda name: name.endswith(".txt")):
                if name not in OTHER_TEXTS and folder / name not in expected:
                    yield folder / name
