"""Pictures with what was found, wrong and missed drawn over them."""

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from picodet.evaluation.schema import Shown, WorstPicture
from picodet.html import svg_title, text

HEIGHT = 1 / 25  # of a letter: of the picture's height,
FLAT = 1 / 50  # or of its width, where that is more
WIDTH = 0.65  # of a letter, of its height


@dataclass(frozen=True)
class Label:
    """One line of text; its baseline begins at x, y, in pixels of the picture."""

    text: str
    x: float
    y: float
    letter: float  # height, the same for all labels of a picture
    free: bool = (
        True  # it covers no other; what is not free shows only when the pointer is on its box
    )

    @property
    def width(self) -> float:
        """Estimated; fonts differ."""
        return WIDTH * self.letter * len(self.text)

    def covers(self, other: "Label") -> bool:
        """Hidden ones cover nothing."""
        beside = self.x + self.width < other.x or other.x + other.width < self.x
        return self.free and not beside and abs(self.y - other.y) < 1.1 * self.letter


def labels(boxes: Sequence[Shown], size: tuple[int, int]) -> list[Label]:
    """One for each box, first come, first served; `size` is height and width of the picture."""
    placed: list[Label] = []
    for box in boxes:
        places = _places(box, size)
        free = (place for place in places if not any(label.covers(place) for label in placed))
        placed.append(next(free, replace(places[0], free=False)))
    return placed


def _places(shown: Shown, size: tuple[int, int]) -> list[Label]:
    """Above the box, inside on top, inside at the bottom, below; those that are in the picture."""
    height, width = size
    letter = max(height * HEIGHT, width * FLAT)
    score = "" if shown.score is None else f" {shown.score:.2f}"
    first = Label(f"{shown.label}{score}", shown.box[0] + 0.2 * letter, 0.0, letter)
    x = max(0.2 * letter, min(first.x, width - first.width))
    top, bottom = max(0.0, shown.box[1]), min(float(height), shown.box[3])
    ys = (top - 0.3 * letter, top + letter, bottom - 0.3 * letter, bottom + letter)
    inside = [y for y in ys if letter <= y <= height]
    return [replace(first, x=x, y=y) for y in inside or (float(height),)]


MEANINGS = {  # told apart by colour and by line
    "found": "matches a box to find",
    "wrong": "matches none",
    "missed": "a box to find that nothing matches",
}
KINDS = ("wrong", "missed", "found")  # whose labels come first


def legend() -> str:
    """WeightSet line is which."""
    items = (
        f'<li><svg class="key" viewBox="0 0 36 14"><g class="{kind}"><path class="under" '
        f'd="M2 7H34"/><path d="M2 7H34"/></g></svg><b>{kind}</b>&nbsp;{says}</li>'
        for kind, says in MEANINGS.items()
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def worst(pictures: Sequence[WorstPicture]) -> str:
    """In rows of equal height, as wide as the window."""
    return f'<div class="gallery">{"".join(_figure(picture) for picture in pictures)}</div>'


def _figure(picture: WorstPicture) -> str:
    height, width = picture.size
    jpeg = base64.b64encode(picture.jpeg).decode()
    counts = ", ".join(
        f'<span class="{kind}">{len(getattr(picture, kind))} {kind}</span>' for kind in MEANINGS
    )
    return (
        f'<figure style="--ratio:{width / height:.4f}"><div class="shot">'
        f'<img alt="{text(picture.file)}" src="data:image/jpeg;base64,{jpeg}">{_boxes(picture)}'
        f'</div><figcaption><span class="path">{text(picture.file)}</span><details><summary>'
        f"{counts}</summary>{_in_words(picture)}</details></figcaption></figure>"
    )


def _in_words(picture: WorstPicture) -> str:
    """The same without the drawing: how many of which class."""
    lines = []
    for kind in MEANINGS:
        classes = Counter(shown.label for shown in getattr(picture, kind))
        if classes:
            said = ", ".join(f"{count} {text(label)}" for label, count in classes.most_common())
            lines.append(f"<p>{kind}: {said}</p>")
    return "".join(lines)


def _boxes(picture: WorstPicture) -> str:
    """In pixels of the original; the smallest on top, where the pointer reaches it.

    Labels stand above all boxes. Each box has its own once more, for when the pointer is on it.
    """
    boxes = [(kind, shown) for kind in KINDS for shown in getattr(picture, kind)]
    placed = labels([shown for _, shown in boxes], picture.size)
    order = sorted(range(len(boxes)), key=lambda i: -_area(boxes[i][1].box))
    drawn = [_box(*boxes[i], placed[i], picture.size) for i in order]
    drawn += [_label(boxes[i][0], placed[i]) for i in order if placed[i].free]
    height, width = picture.size
    return (
        f'<svg class="boxes" viewBox="0 0 {width} {height}" preserveAspectRatio="none" '
        f'role="img" aria-label="boxes">{"".join(drawn)}</svg>'
    )


def _area(box: tuple[float, float, float, float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _box(kind: str, shown: Shown, label: Label, size: tuple[int, int]) -> str:
    """Sides beyond the picture are drawn on its edge; the title says where they are."""
    height, width = size
    left, right = (min(max(side, 0), width) for side in shown.box[::2])
    top, bottom = (min(max(side, 0), height) for side in shown.box[1::2])
    rect = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
    sides = ", ".join(f"{side:.1f}" for side in shown.box)
    said = svg_title([f"{kind}: {label.text}", f"left, top, right, bottom: {sides}"])
    return (
        f'<g class="{kind}">{said}<rect class="under" {rect}/><rect {rect}/>'
        f"{_label(kind, label)}</g>"
    )


def _label(kind: str, label: Label) -> str:
    return (
        f'<text class="{kind}" x="{label.x:.1f}" y="{label.y:.1f}" '
        f'style="font-size:{label.letter:.1f}px">{text(label.text)}</text>'
    )
