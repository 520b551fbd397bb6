"""An evaluation as a page: one file, without scripts, that loads nothing from anywhere."""

from pathlib import Path

from picodet.evaluation.report.formatting import (
    HOW_TO_READ,
    MEANINGS,
    Meaning,
    exact,
    in_percent,
    ranked,
    times,
    why_nothing,
    without_truths,
)
from picodet.evaluation.report.html_curves import curves
from picodet.evaluation.report.html_images import legend, worst
from picodet.evaluation.report.html_sensitivity import what_if
from picodet.evaluation.schema import STATS, ClassResult, Report
from picodet.html import definition_list, document, section, text


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


HEADERS = ("AP", "AP50", "AP75", "AR", "to find", "detections")


def classes(found: tuple[ClassResult, ...]) -> str:
    """A row for each with boxes to find, best first; the others by name."""
    head = "".join(f'<th class="n">{header}</th>' for header in HEADERS)
    rows = "".join(_row(found[i]) for i in ranked(found))
    shown = (
        f'<table class="classes"><thead><tr><th>class</th><th></th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
    return (shown if rows else "") + _nothing(without_truths(found))


def _row(each: ClassResult) -> str:
    cells = [exact(value) for value in (each.ap, each.ap50, each.ap75, each.ar)]
    cells += [f"{each.truths:,}", f"{each.detections:,}"]
    numbers = "".join(
        f'<td class="n" data-name="{name}">{cell}</td>'
        for name, cell in zip(HEADERS, cells, strict=True)
    )
    tick = f"{100 * each.ap50:.2f}%"
    return (
        f'<tr><th scope="row">{text(each.name)}</th><td class="bar"><svg aria-hidden="true">'
        f'<rect class="ground" width="100%"/><rect width="{100 * each.ap:.2f}%"/>'
        f'<line x1="{tick}" x2="{tick}" y1="0" y2="100%"/></svg></td>{numbers}</tr>'
    )


def _nothing(found: list[ClassResult]) -> str:
    if not found:
        return ""
    names = ", ".join(
        f"{text(each.name)} ({each.detections:,})" if each.detections else text(each.name)
        for each in found
    )
    several = len(found) > 1
    return (
        f'<p class="without">{len(found)} class{"es have" if several else " has"} nothing to find '
        f"in these pictures and {'are' if several else 'is'} left out of the means; in brackets, "
        f"detections all the same: {names}.</p>"
    )


STYLE = Path(__file__).with_name("style.css")


def page(report: Report) -> str:
    """The whole document: the number first, then what it is made of, then what it depends on."""
    said = f"AP {in_percent(report.stats[0])}"
    if report.caveat:
        said += f", {text(report.caveat)}"
    names = f"{text(report.model)} on {text(report.annotations)}"
    content = (
        f"{_header(report, said)}{_notes(report)}{section('The twelve numbers', stats(report))}"
        f"{_what_if(report)}{_curves(report)}{_classes(report)}{_worst(report)}{_sources(report)}"
    )
    return document(f"{said}: {names}", STYLE, content)


def _header(report: Report, said: str) -> str:
    seconds, speed = times(report)
    took = f"; {seconds} s, {speed} pictures per second"
    if report.runs > 1:
        took = f"; {report.seconds:.1f} s for all {report.runs} runs"
    return (
        f'<header class="{"open" if report.notes else "measured"}"><h1>{said}</h1>'
        f'<p><span class="path">{text(report.model)}</span> on '
        f'<span class="path">{text(report.annotations)}</span></p>'
        f"<p>{report.pictures:,} pictures, {report.detections:,} detections"
        f"{took if report.seconds else ''}</p></header>"
    )


def _notes(report: Report) -> str:
    if not report.notes:
        return ""
    return f'<ul class="notes">{"".join(f"<li>{text(note)}</li>" for note in report.notes)}</ul>'


def _what_if(report: Report) -> str:
    if not report.what_if:
        return ""
    return section("What if", what_if(report.what_if), HOW_TO_READ)


def _curves(report: Report) -> str:
    says = (
        "Mean over the classes with boxes to find. Going down the list of detections, best score "
        "first, recall is the share of the boxes found so far; the curve is the best precision "
        "at that recall or beyond, and its mean is the AP at that IoU."
    )
    return section("Precision over recall", curves(report.curves), says)


def _classes(report: Report) -> str:
    if not report.classes:
        return ""
    says = "The bar is AP over IoU 0.50 to 0.95, the tick is AP50."
    return section("Classes, best first", classes(report.classes), says)


def _worst(report: Report) -> str:
    if not report.worst:
        return ""
    says = (
        "Where most is wrong or missed, at IoU 0.5 and of detections with a score of "
        f"{report.shown_from:g} or more. Point at a box for its numbers."
    )
    return section("Worst pictures", legend() + worst(report.worst), says)


def _sources(report: Report) -> str:
    rows = [*report.settings.items(), *(report.versions or {}).items()]
    shown = section("What the numbers depend on", definition_list(rows)) if rows else ""
    if report.commands:
        lines = "".join(f'<p class="path command">{text(line)}</p>' for line in report.commands)
        shown += section("To get these numbers again", lines)
    return shown
