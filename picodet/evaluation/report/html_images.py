"""Images with true positives, false positives and false negatives drawn over them."""

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from picodet.evaluation.schema import LabeledBox, WorstImage
from picodet.html import svg_title, text

LETTER_HEIGHT = 1 / 25  # of the image's height,
LETTER_HEIGHT_OF_WIDTH = 1 / 50  # or of its width, whichever is more
LETTER_WIDTH = 0.65  # of a letter's height, on average


@dataclass(frozen=True)
class Label:
    """One line of text; its baseline begins at x, y, in pixels of the image."""

    text: str
    x: float
    y: float
    font_size: float  # height, the same for all labels of an image
    visible: bool = True  # else it would cover another: shown only while the pointer is on its box

    @property
    def width(self) -> float:
        """Estimated width in pixels; fonts differ."""
        return LETTER_WIDTH * self.font_size * len(self.text)

    def overlaps(self, other: "Label") -> bool:
        """Whether this label, if visible, covers the other."""
        apart = self.x + self.width < other.x or other.x + other.width < self.x
        return self.visible and not apart and abs(self.y - other.y) < 1.1 * self.font_size


def place_labels(boxes: Sequence[LabeledBox], size: tuple[int, int]) -> list[Label]:
    """A label for each box, in order, hidden where no place is free; size: (height, width)."""
    placed: list[Label] = []
    for box in boxes:
        positions = _positions(box, size)
        free_positions = (
            position
            for position in positions
            if not any(label.overlaps(position) for label in placed)
        )
        placed.append(next(free_positions, replace(positions[0], visible=False)))
    return placed


def _positions(labeled_box: LabeledBox, size: tuple[int, int]) -> list[Label]:
    """Positions above the box, inside at its top and bottom, and below, within the image."""
    height, width = size
    font_size = max(height * LETTER_HEIGHT, width * LETTER_HEIGHT_OF_WIDTH)
    score = "" if labeled_box.score is None else f" {labeled_box.score:.2f}"
    first = Label(
        f"{labeled_box.label}{score}", labeled_box.box[0] + 0.2 * font_size, 0.0, font_size
    )
    x = max(0.2 * font_size, min(first.x, width - first.width))
    top, bottom = max(0.0, labeled_box.box[1]), min(float(height), labeled_box.box[3])
    ys = (top - 0.3 * font_size, top + font_size, bottom - 0.3 * font_size, bottom + font_size)
    inside = [y for y in ys if font_size <= y <= height]
    return [replace(first, x=x, y=y) for y in inside or (float(height),)]


MEANINGS = {  # distinguished by color and by line style
    "true_positives": "matches a ground-truth box",
    "false_positives": "matches none",
    "false_negatives": "a ground-truth box without a match",
}
KINDS = ("false_positives", "false_negatives", "true_positives")  # whose labels come first


def legend() -> str:
    """The legend of the line styles."""
    items = (
        f'<li><svg class="key" viewBox="0 0 36 14"><g class="{kind}"><path class="under" '
        'd="M2 7H34"/><path d="M2 7H34"/></g></svg>'
        f"<b>{kind.replace('_', ' ')}</b>&nbsp;{meaning}</li>"
        for kind, meaning in MEANINGS.items()
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def worst_gallery(images: Sequence[WorstImage]) -> str:
    """The images in rows of equal height, as wide as the window."""
    return f'<div class="gallery">{"".join(_figure(image) for image in images)}</div>'


def _figure(image: WorstImage) -> str:
    height, width = image.size
    jpeg = base64.b64encode(image.jpeg).decode()
    counts = ", ".join(
        f'<span class="{kind}">{len(getattr(image, kind))} {kind.replace("_", " ")}</span>'
        for kind in MEANINGS
    )
    return (
        f'<figure style="--ratio:{width / height:.4f}"><div class="shot">'
        f'<img alt="{text(image.file)}" src="data:image/jpeg;base64,{jpeg}">{_boxes(image)}'
        f'</div><figcaption><span class="path">{text(image.file)}</span><details><summary>'
        f"{counts}</summary>{_in_words(image)}</details></figcaption></figure>"
    )


def _in_words(image: WorstImage) -> str:
    """The boxes as text: how many of which class."""
    lines = []
    for kind in MEANINGS:
        classes = Counter(labeled_box.label for labeled_box in getattr(image, kind))
        if classes:
            names = ", ".join(f"{count} {text(label)}" for label, count in classes.most_common())
            lines.append(f"<p>{kind.replace('_', ' ')}: {names}</p>")
    return "".join(lines)


def _boxes(image: WorstImage) -> str:
    """The boxes in pixels of the original; the smallest on top, where the pointer reaches it.

    Labels are drawn above all boxes; each box has its own again for when the pointer is on it.
    """
    boxes = [(kind, labeled_box) for kind in KINDS for labeled_box in getattr(image, kind)]
    placed = place_labels([labeled_box for _, labeled_box in boxes], image.size)
    order = sorted(range(len(boxes)), key=lambda i: -_area(boxes[i][1].box))
    drawn = [_box(*boxes[i], placed[i], image.size) for i in order]
    drawn += [_label(boxes[i][0], placed[i]) for i in order if placed[i].visible]
    height, width = image.size
    return (
        f'<svg class="boxes" viewBox="0 0 {width} {height}" preserveAspectRatio="none" '
        f'role="img" aria-label="boxes">{"".join(drawn)}</svg>'
    )


def _area(box: tuple[float, float, float, float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _box(kind: str, labeled_box: LabeledBox, label: Label, size: tuple[int, int]) -> str:
    """A box, clipped to the image; the tooltip has its true coordinates."""
    height, width = size
    left, right = (min(max(side, 0), width) for side in labeled_box.box[::2])
    top, bottom = (min(max(side, 0), height) for side in labeled_box.box[1::2])
    rect = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
    sides = ", ".join(f"{side:.1f}" for side in labeled_box.box)
    tooltip = svg_title(
        [f"{kind.replace('_', ' ')}: {label.text}", f"left, top, right, bottom: {sides}"]
    )
    return (
        f'<g class="{kind}">{tooltip}<rect class="under" {rect}/><rect {rect}/>'
        f"{_label(kind, label)}</g>"
    )


def _label(kind: str, label: Label) -> str:
    return (
        f'<text class="{kind}" x="{label.x:.1f}" y="{label.y:.1f}" '
        f'style="font-size:{label.font_size:.1f}px">{text(label.text)}</text>'
    )
