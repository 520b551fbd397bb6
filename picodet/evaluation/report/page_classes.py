"""AP class by class, as bars."""

from picodet.evaluation.report.formatting import exact, ranked, without_truths
from picodet.evaluation.schema import ClassResult
from picodet.html import text

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
