"""Pictures with what was found, wrong and missed drawn over them."""

import base64
from collections import Counter
from collections.abc import Sequence

from picodet.evaluation.report.page_labels import Label, labels
from picodet.evaluation.schema import Shown, WorstPicture
from picodet.html import text, title

MEANINGS = {  # told apart by colour and by line
    "found": "matches a box to find",
    "wrong": "matches none",
    "missed": "a box to find that nothing matches",
}
KINDS = ("wrong", "missed", "found")  # whose labels come first


def legend() -> str:
    """Which line is which."""
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
    said = title([f"{kind}: {label.text}", f"left, top, right, bottom: {sides}"])
    return (
        f'<g class="{kind}">{said}<rect class="under" {rect}/><rect {rect}/>'
        f"{_label(kind, label)}</g>"
    )


def _label(kind: str, label: Label) -> str:
    return (
        f'<text class="{kind}" x="{label.x:.1f}" y="{label.y:.1f}" '
        f'style="font-size:{label.letter:.1f}px">{text(label.text)}</text>'
    )
