"""Reads one XML file of Pascal VOC: the size of its image, and its objects.

Corners are taken as PaddleDetection's VOCDataSet takes them (ppdet/data/source/voc.py): the numbers
of the file as they are, 1-based or not, clipped to 0 and width - 1 or height - 1; a box that is
then empty is none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from picodet.data.forms.text_files import number
from picodet.files import read_bytes

MAX_BYTES = 2_000_000  # of a file; 6,000 objects of 300 bytes
TOLERANCE = 1.0  # pixels that a 1-based corner may lie outside without being counted as clipped


@dataclass(frozen=True)
class VocObject:
    """An object: its class, and its corners as they are written."""

    name: str
    corners: tuple[float, float, float, float]  # xmin, ymin, xmax, ymax
    difficult: bool


@dataclass(frozen=True)
class VocImage:
    """The content of one file."""

    filename: str | None
    size: tuple[int, int] | None  # height, width; None where it states none
    objects: tuple[VocObject, ...]


class _NoDoctype(ElementTree.TreeBuilder):
    """A tree, but of no document that declares entities: they could grow without bound."""

    def doctype(self, *_: Any) -> None:
        raise ValueError("has a DOCTYPE; expected plain XML of Pascal VOC, which needs none")


def read_voc_xml(path: Path, problem: Callable[[str], None]) -> VocImage:
    """Read a file; `problem` is called for each object that cannot be used.

    Raises ValueError with the reason where the whole file cannot be.
    """
    try:
        content = read_bytes(path, MAX_BYTES)
        parser = ElementTree.XMLParser(target=_NoDoctype())  # noqa: S314 (expands no entities)
        tree = ElementTree.fromstring(content, parser)  # noqa: S314
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from error
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"not XML: {error}") from error
    if tree.tag != "annotation":
        raise ValueError(f"found <{tree.tag:.40}>; expected <annotation> of Pascal VOC")
    objects = []
    for i, element in enumerate(tree.findall("object"), 1):
        found = _object(element)
        if isinstance(found, str):
            problem(f"object {i}{_named(element)} {found}")
        else:
            objects.append(found)
    return VocImage(tree.findtext("filename"), _size(tree), tuple(objects))


def _named(element: ElementTree.Element) -> str:
    name = (element.findtext("name") or "").strip()
    return f" ({name:.40})" if name else ""


def _size(tree: ElementTree.Element) -> tuple[int, int] | None:
    sides = [number(tree.findtext(f"size/{side}")) for side in ("height", "width")]
    if any(side is None or side < 1 for side in sides):
        return None
    height, width = (int(side or 0) for side in sides)
    return height, width


def _object(element: ElementTree.Element) -> VocObject | str:
    """The object, or what is wrong with it."""
    name = (element.findtext("name") or "").strip()
    if not name:
        return "has no name"
    box = element.find("bndbox")
    if box is None:
        return "has no box (<bndbox>)"
    corners = []
    for side in ("xmin", "ymin", "xmax", "ymax"):
        text = box.findtext(side)
        value = number(text)
        if value is None:
            found = "no" if text is None else f"{text.strip()!r:.40} as"
            return f"has {found} {side}; a number is expected"
        corners.append(value)
    difficult = (element.findtext("difficult") or "0").strip()
    if difficult not in ("0", "1"):
        return f"has {difficult!r:.40} as difficult; 0 or 1 is expected"
    x1, y1, x2, y2 = corners
    return VocObject(name, (x1, y1, x2, y2), difficult == "1")


def clip(corners: tuple[float, ...], size: tuple[int, int]) -> tuple[float, ...] | None:
    """Corners clipped as ppdet does, as x, y, width and height; None where nothing is left."""
    height, width = size
    x1, y1 = max(0.0, corners[0]), max(0.0, corners[1])
    x2, y2 = min(width - 1.0, corners[2]), min(height - 1.0, corners[3])
    return (x1, y1, x2 - x1, y2 - y1) if x2 > x1 and y2 > y1 else None


def is_outside(corners: tuple[float, ...], size: tuple[int, int]) -> bool:
    """Whether clipping changes more than the last pixel of a 1-based box."""
    height, width = size
    return (
        min(corners[:2]) < -TOLERANCE
        or corners[2] > width - 1 + TOLERANCE
        or corners[3] > height - 1 + TOLERANCE
    )
