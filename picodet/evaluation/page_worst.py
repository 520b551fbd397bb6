"""Pictures with what was found, wrong and missed drawn over them."""

import base64
from collections.abc import Sequence

from picodet.alignment.page_markup import text, title
from picodet.evaluation.report import Shown, WorstPicture

MEANINGS = {  # told apart by colour and by line
    "found": "matches a box to find",
    "wrong": "matches none",
    "missed": "a box to find that nothing matches",
}
LABEL = 22  # labels as high as 1 / 22 of a picture,
FLAT = 50  # or 1 / 50 of its width, where that is more
LETTER = 0.55  # width of a letter, of its height


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
        f'</div><figcaption><span class="path">{text(picture.file)}</span><br>{counts}'
        "</figcaption></figure>"
    )


def _boxes(picture: WorstPicture) -> str:
    """In pixels of the original; the smallest on top, where the pointer reaches it."""
    boxes = [(kind, shown) for kind in MEANINGS for shown in getattr(picture, kind)]
    boxes.sort(key=lambda item: -_area(item[1].box))
    height, width = picture.size
    drawn = "".join(_box(kind, shown, picture.size) for kind, shown in boxes)
    return (
        f'<svg class="boxes" viewBox="0 0 {width} {height}" preserveAspectRatio="none" '
        f'role="img" aria-label="boxes">{drawn}</svg>'
    )


def _area(box: tuple[float, float, float, float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _box(kind: str, shown: Shown, size: tuple[int, int]) -> str:
    """Sides beyond the picture are drawn on its edge; the title says where they are."""
    height, width = size
    left, right = (min(max(side, 0), width) for side in shown.box[::2])
    top, bottom = (min(max(side, 0), height) for side in shown.box[1::2])
    rect = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
    score = "" if shown.score is None else f" {shown.score:.2f}"
    letter = max(height / LABEL, width / FLAT)
    label = f"{shown.label}{score}"
    x = max(0.2 * letter, min(left, width - LETTER * letter * len(label)))
    y = top - 0.3 * letter if top > 1.3 * letter else top + letter
    if kind == "missed":  # often where something wrong is, whose label stands on top
        y = bottom - 0.35 * letter
    sides = ", ".join(f"{side:.1f}" for side in shown.box)
    return (
        f'<g class="{kind}">{title([f"{kind}: {label}", f"left, top, right, bottom: {sides}"])}'
        f'<rect class="under" {rect}/><rect {rect}/>'
        f'<text x="{x:.1f}" y="{y:.1f}" style="font-size:{letter:.1f}px">{text(label)}</text></g>'
    )
