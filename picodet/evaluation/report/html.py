"""An evaluation as a page: one file, without scripts, that loads nothing from anywhere."""

from pathlib import Path

from picodet.evaluation.report.formatting import HOW_TO_READ, in_percent, times
from picodet.evaluation.report.html_curves import curves
from picodet.evaluation.report.html_images import legend, worst
from picodet.evaluation.report.html_sensitivity import what_if
from picodet.evaluation.report.page_classes import classes
from picodet.evaluation.report.page_stats import stats
from picodet.evaluation.schema import Report
from picodet.html import document, listed, section, text

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
    shown = section("What the numbers depend on", listed(rows)) if rows else ""
    if report.commands:
        lines = "".join(f'<p class="path command">{text(line)}</p>' for line in report.commands)
        shown += section("To get these numbers again", lines)
    return shown
