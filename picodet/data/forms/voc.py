"""Reads Pascal VOC: XML files, and lists of them for each split.

Known are the folders of the challenge (ImageSets/Main, Annotations, JPEGImages), lists of pairs of
image and XML as PaddleDetection and PaddleX write them (train.txt, train_list.txt ..), folders for
each split (train, valid), and a folder of XML files without splits.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from picodet.data.coco import Annotations
from picodet.data.forms.build import Rows, describe, make_annotations
from picodet.data.forms.image_files import files_below, image_sizes, is_image
from picodet.data.forms.problems import BadBoxes, Problems
from picodet.data.forms.text_files import is_inside, read_lines, read_names
from picodet.data.forms.voc_xml import VocImage, clip, is_outside, read_voc_xml
from picodet.errors import PicoDetError

FORM = "Pascal VOC"
NAME_FILES = ("label_list.txt", "labels.txt", "classes.txt")
LIST_FOLDERS = (".", "ImageSets/Main", "ImageSets")
# lists of one folder that belong together; the first whose both files are there, else whose one is
LISTS = (
    ("train.txt", "val.txt"),
    ("train.txt", "valid.txt"),
    ("train_list.txt", "val_list.txt"),
    ("train.txt", "test.txt"),
    ("trainval.txt", "test.txt"),
)
VAL_FOLDERS = ("valid", "val", "test")
XML_FOLDERS = ("Annotations", "annotations", "xmls", ".")
IMAGE_FOLDERS = ("JPEGImages", "images", "Images", ".")


class Entry(NamedTuple):
    """An image and its XML, relative to the dataset; None where there is no such file."""

    name: str  # as listed
    image: str | None
    xml: str | None


@dataclass(frozen=True)
class VocSplits:
    """Where each split of a dataset is listed: a list file, or a folder."""

    root: Path
    sources: Mapping[str, Path]  # by split: train, val; or all


def find_voc(root: Path) -> VocSplits | None:
    """The splits of a folder; None where it is no Pascal VOC."""
    for name in LIST_FOLDERS:
        folder = root / name
        found = [[folder / file for file in pair if _is_list(folder / file)] for pair in LISTS]
        both = next((pair for pair in found if len(pair) == 2), None)
        if both:
            return VocSplits(root, dict(zip(("train", "val"), both, strict=True)))
        one = next((pair[0] for pair in found if pair), None)
        if one:
            is_train = one.name in {train for train, _ in LISTS}
            return VocSplits(root, {"train" if is_train else "val": one})
    train = root / "train"
    if _has_xml(train):
        val = next((root / name for name in VAL_FOLDERS if _has_xml(root / name)), None)
        return VocSplits(root, {"train": train} | ({"val": val} if val else {}))
    if any(_has_xml(root / name) for name in XML_FOLDERS):
        return VocSplits(root, {"all": root})
    return None


def read_voc(
    splits: VocSplits, split: str, for_evaluation: bool, bad_boxes: BadBoxes = "error"
) -> Annotations:
    """The annotations of a split; files are relative to the dataset's folder.

    Images have the order of the list, or of their names. Classes are those of label_list.txt,
    labels.txt or classes.txt, else all of the dataset, sorted. Difficult objects are trained on;
    for an evaluation they are crowds, which it does not count. Raises PicoDetError, which lists
    what is wrong in the files.
    """
    root, source = splits.root, splits.sources[split]
    problems = Problems(root, bad_boxes)
    names = _names(splits)
    images: list[tuple[str, VocImage]] = []
    for entry in _entries(root, source):
        image = _read(root, entry, problems)
        if image is not None and entry.image is not None:
            images.append((entry.image, image))
    rows, clipped, difficult, without_size = Rows(), 0, 0, 0
    sizes = image_sizes([root / file for file, image in images if image.size is None])
    for file, image in images:
        size: tuple[int, int] | str = image.size or next(sizes)
        without_size += image.size is None
        if isinstance(size, str):
            problems.add(file, size)
            continue
        for number, each in enumerate(image.objects, 1):
            box = clip(each.corners, size)
            where = f"{file}: object {number} ({each.name:.40})"
            if each.name not in names:
                problems.add(where, f"its class is none of {_some(names)}")
            elif box is None:
                problems.add(where, f"nothing of its box {_plain(each.corners)} is in the image")
            else:
                clipped += is_outside(each.corners, size)
                difficult += each.difficult
                crowd = each.difficult and for_evaluation
                rows.boxes.append((len(rows.images), each.name, box, crowd))
        rows.images.append((file, size))
    notes = problems.finish()
    if not rows.images:
        raise PicoDetError(f"{source}: found no images of Pascal VOC; expected at least one")
    notes += _notes(root, clipped, difficult, without_size, for_evaluation)
    annotations = make_annotations(source, names, rows, notes)
    return annotations.with_first_note(describe(annotations, FORM, split))


def _notes(
    root: Path, clipped: int, difficult: int, without_size: int, ignored: bool
) -> tuple[str, ...]:
    what = "crowds, neither found nor missed" if ignored else "trained on, as ppdet does"
    counts = {
        "boxes that reached beyond their image, clipped to it as ppdet does": clipped,
        f"difficult objects, {what}": difficult,
        "XML files without a size, read from the image": without_size,
    }
    return tuple(f"{root}: {text}: {count:,}" for text, count in counts.items() if count)


def _read(root: Path, entry: Entry, problems: Problems) -> VocImage | None:
    if entry.xml is None or entry.image is None:
        missing = "XML" if entry.xml is None else "image"
        problems.add(entry.name, f"its {missing} is missing")
        return None
    xml = entry.xml
    try:
        return read_voc_xml(root / xml, lambda problem: problems.add(xml, problem))
    except ValueError as error:
        problems.add(xml, str(error))
        return None


def _names(splits: VocSplits) -> tuple[str, ...]:
    """The classes: as listed, else as found in all splits."""
    listed = next((file for n in NAME_FILES if (file := splits.root / n).is_file()), None)
    if listed:
        return read_names(listed)
    names: set[str] = set()
    for source in splits.sources.values():
        for entry in _entries(splits.root, source):
            if entry.xml is not None:
                try:
                    image = read_voc_xml(splits.root / entry.xml, lambda problem: None)
                except ValueError:  # told when its split is read
                    continue
                names.update(each.name for each in image.objects)
    if not names:
        raise PicoDetError(
            f"{splits.root}: none of its XML files has an object; expected some, or the class "
            f"names in {NAME_FILES[0]}, one a line"
        )
    return tuple(sorted(names))


def _entries(root: Path, source: Path) -> Iterator[Entry]:
    if source.is_dir():
        yield from _entries_of_folder(root, source)
        return
    try:
        lines = [line for line in read_lines(source) if line]
    except ValueError as error:
        raise PicoDetError(f"{source}: {error}; expected a list of images") from error
    images, xmls = _Index(root, IMAGE_FOLDERS, is_image), _Index(root, XML_FOLDERS, _is_xml)
    for line in dict.fromkeys(lines):
        pair = line.split()
        if len(pair) > 1 and _is_xml(pair[1]):
            files = [name if is_inside(name) and (root / name).is_file() else None for name in pair]
            yield Entry(line, files[0], files[1])
        else:
            stem = line if not is_image(line) else line[: line.rindex(".")]
            yield Entry(line, images.get(stem), xmls.get(stem))


def _entries_of_folder(root: Path, folder: Path) -> Iterator[Entry]:
    """Every XML of a folder of XML files, or of those of `Annotations`, with its image."""
    xmls = next((folder / name for name in XML_FOLDERS if _has_xml(folder / name)), folder)
    images = _Index(folder, (*IMAGE_FOLDERS, xmls.relative_to(folder).as_posix()), is_image)
    below = folder.relative_to(root)
    for file in sorted(path.name for path in xmls.glob("*.xml")):
        xml = (xmls.relative_to(root) / file).as_posix()
        image = images.get(file[: -len(".xml")])
        yield Entry(xml, None if image is None else (below / image).as_posix(), xml)


class _Index:
    """Files by their names without suffix, in the first of some folders that has them."""

    def __init__(
        self, root: Path, folders: Sequence[str], is_wanted: Callable[[str], bool]
    ) -> None:
        self._files: dict[str, str] = {}
        for name in dict.fromkeys(folders):
            folder = root / name
            if name != ".":
                found = list(files_below(folder, is_wanted))
            else:  # of the dataset's own folder not all that is below it
                found = sorted(path.name for path in folder.iterdir() if is_wanted(path.name))
            for file in found:
                self._files.setdefault(file[: file.rindex(".")], (Path(name) / file).as_posix())

    def get(self, stem: str) -> str | None:
        return self._files.get(stem)


def _is_list(path: Path) -> bool:
    """Whether a file lists images of VOC; a train.txt of the root may be a list of YOLO."""
    if not path.is_file():
        return False
    if path.parent.name in ("Main", "ImageSets"):
        return True
    try:
        first = next((line for line in read_lines(path) if line), "")
    except ValueError:
        return False
    return len(first.split()) > 1 and _is_xml(first.split()[1])


def _is_xml(name: str) -> bool:
    return name.lower().endswith(".xml")


def _has_xml(folder: Path) -> bool:
    return folder.is_dir() and next(folder.glob("*.xml"), None) is not None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _plain(corners: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in corners) + ")"
