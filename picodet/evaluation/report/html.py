"""An evaluation as an HTML page: one file, without scripts, that loads nothing."""

from pathlib import Path

from picodet.evaluation.report.formatting import (
    METRIC_SCOPES,
    WHAT_IF_HELP,
    MetricScope,
    classes_without_gt,
    format_metric,
    format_percent,
    format_times,
    missing_reason,
    rank_classes,
)
from picodet.evaluation.report.html_curves import curves
from picodet.evaluation.report.html_images import legend, worst_gallery
from picodet.evaluation.report.html_sensitivity import what_if
from picodet.evaluation.schema import STATS, ClassResult, Report
from picodet.html import definition_list, document, section, text


def stats(report: Report) -> str:
    """COCO's twelve metrics as tiles, in COCO's order and words."""
    tiles = (_tile(name, value) for name, value in zip(STATS, report.stats, strict=True))
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


def _tile(name: str, value: float) -> str:
    if value < 0:
        markup = f'<p class="why">{text(missing_reason(name))}</p>'
    else:  # percentages as coordinates: as wide as the tile, whatever the window
        markup = f'<svg class="share" aria-hidden="true"><rect width="{100 * value:.2f}%"/></svg>'
    return (
        f'<li><h3>{name}</h3><p class="value">{format_metric(value)}</p>{markup}'
        f'<p class="meaning">{_words(METRIC_SCOPES[name])}</p></li>'
    )


def _words(meaning: MetricScope) -> str:
    """IoU, area and maxDets of a metric; what differs from AP's is emphasized."""
    ap_scope = METRIC_SCOPES["AP"]
    words = (
        (f"IoU {meaning.iou}", meaning.iou == ap_scope.iou),
        (f"area {meaning.area}", meaning.area == ap_scope.area),
        (f"maxDets {meaning.max_detections}", meaning.max_detections == ap_scope.max_detections),
    )
    return "<br>".join(word if same else f"<b>{word}</b>" for word, same in words)


CLASS_HEADERS = ("AP", "AP50", "AP75", "AR", "ground truth", "detections")


def classes(results: tuple[ClassResult, ...]) -> str:
    """A table row for each class with ground truth, best first; then the names of the others."""
    head = "".join(f'<th class="n">{header}</th>' for header in CLASS_HEADERS)
    rows = "".join(_row(results[i]) for i in rank_classes(results))
    markup = (
        f'<table class="classes"><thead><tr><th>class</th><th></th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
    return (markup if rows else "") + _without_gt(classes_without_gt(results))


def _row(each: ClassResult) -> str:
    cells = [format_metric(value) for value in (each.ap, each.ap50, each.ap75, each.ar)]
    cells += [f"{each.num_gt:,}", f"{each.detections:,}"]
    numbers = "".join(
        f'<td class="n" data-name="{name}">{cell}</td>'
        for name, cell in zip(CLASS_HEADERS, cells, strict=True)
    )
    tick = f"{100 * each.ap50:.2f}%"
    return (
        f'<tr><th scope="row">{text(each.name)}</th><td class="bar"><svg aria-hidden="true">'
        f'<rect class="ground" width="100%"/><rect width="{100 * each.ap:.2f}%"/>'
        f'<line x1="{tick}" x2="{tick}" y1="0" y2="100%"/></svg></td>{numbers}</tr>'
    )


def _without_gt(results: list[ClassResult]) -> str:
    if not results:
        return ""
    names = ", ".join(
        f"{text(each.name)} ({each.detections:,})" if each.detections else text(each.name)
        for each in results
    )
    several = len(results) > 1
    return (
        f'<p class="without">{len(results)} class{"es have" if several else " has"} no ground '
        f"truth in these images and {'are' if several else 'is'} left out of the means; in "
        f"brackets, their detections: {names}.</p>"
    )


STYLE = Path(__file__).with_name("style.css")


def render_html(report: Report) -> str:
    """The whole document: AP first, then its parts, then the settings."""
    headline = f"AP {format_percent(report.stats[0])}"
    if report.caveat:
        headline += f", {text(report.caveat)}"
    names = f"{text(report.model)} on {text(report.annotations)}"
    content = (
        f"{_header(report, headline)}{_notes(report)}{section('The twelve numbers', stats(report))}"
        f"{_what_if(report)}{_curves(report)}{_classes(report)}{_worst(report)}{_sources(report)}"
    )
    return document(f"{headline}: {names}", STYLE, content)


def _header(report: Report, headline: str) -> str:
    seconds, speed = format_times(report)
    duration = f"; {seconds} s, {speed} images per second"
    if report.runs > 1:
        duration = f"; {report.seconds:.1f} s for all {report.runs} runs"
    return (
        f'<header class="{"open" if report.notes else "measured"}"><h1>{headline}</h1>'
        f'<p><span class="path">{text(report.model)}</span> on '
        f'<span class="path">{text(report.annotations)}</span></p>'
        f"<p>{report.num_images:,} images, {report.detections:,} detections"
        f"{duration if report.seconds else ''}</p></header>"
    )


def _notes(report: Report) -> str:
    if not report.notes:
        return ""
    return f'<ul class="notes">{"".join(f"<li>{text(note)}</li>" for note in report.notes)}</ul>'


def _what_if(report: Report) -> str:
    if not report.what_if:
        return ""
    return section("What if", what_if(report.what_if), WHAT_IF_HELP)


def _curves(report: Report) -> str:
    caption = (
        "Mean over the classes with ground truth. Going down the list of detections, best score "
        "first, recall is the share of the ground truth found so far; the curve is the best "
        "precision at that recall or beyond, and its mean is the AP at that IoU."
    )
    return section("Precision over recall", curves(report.curves), caption)


def _classes(report: Report) -> str:
    if not report.classes:
        return ""
    caption = "The bar is AP over IoU 0.50 to 0.95, the tick is AP50."
    return section("Classes, best first", classes(report.classes), caption)


def _worst(report: Report) -> str:
    if not report.worst:
        return ""
    caption = (
        "Those with the most false positives and false negatives at IoU 0.5, of detections with "
        f"a score of {report.min_shown_score:g} or more. Point at a box for its numbers."
    )
    return section("Worst images", legend() + worst_gallery(report.worst), caption)


def _sources(report: Report) -> str:
    rows = [*report.settings.items(), *(report.versions or {}).items()]
    markup = section("What the numbers depend on", definition_list(rows)) if rows else ""
    if report.commands:
        lines = "".join(f'<p class="path command">{text(line)}</p>' for line in report.commands)
        markup += section("To reproduce these numbers", lines)
    return markup
