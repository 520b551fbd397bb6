"""The twelve numbers as tiles, each with what it is of."""

from picodet.evaluation.report.formatting import MEANINGS, Meaning, exact, why_nothing
from picodet.evaluation.schema import STATS, Report
from picodet.html import text


def stats(report: Report) -> str:
    """In COCO's order and words."""
    tiles = (_tile(name, value) for name, value in zip(STATS, report.stats, strict=True))
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


def _tile(name: str, value: float) -> str:
    if value < 0:
        shown = f'<p class="why">{text(why_nothing(name))}</p>'
    else:  # percentages as coordinates: as wide as the tile, whatever the window
        shown = f'<svg class="share" aria-hidden="true"><rect width="{100 * value:.2f}%"/></svg>'
    return (
        f'<li><h3>{name}</h3><p class="value">{exact(value)}</p>{shown}'
        f'<p class="meaning">{_words(MEANINGS[name])}</p></li>'
    )


def _words(meaning: Meaning) -> str:
    """What tells this number from AP stands out."""
    plain = MEANINGS["AP"]
    words = (
        (f"IoU {meaning.iou}", meaning.iou == plain.iou),
        (f"area {meaning.area}", meaning.area == plain.area),
        (f"maxDets {meaning.max_detections}", meaning.max_detections == plain.max_detections),
    )
    return "<br>".join(word if same else f"<b>{word}</b>" for word, same in words)
