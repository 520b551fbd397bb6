"""How an evaluation is put into words and numbers, for the terminal and for the page alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from picodet.evaluation.schema import STATS, ClassResult, Interval, Report

NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Meaning:
    """What one of the twelve numbers is of, in COCO's words."""

    iou: str
    area: str
    max_detections: int  # of a picture and class, those of the greatest scores


ALL = "0.50:0.95"  # the mean over ten thresholds
MEANINGS = dict(
    zip(
        STATS,
        (
            *(Meaning(iou, "all", 100) for iou in (ALL, "0.50", "0.75")),
            *(Meaning(ALL, area, 100) for area in ("small", "medium", "large")),
            *(Meaning(ALL, "all", count) for count in (1, 10, 100)),
            *(Meaning(ALL, area, 100) for area in ("small", "medium", "large")),
        ),
        strict=True,
    )
)


def exact(value: float) -> str:
    """To the fifth decimal; a dash where there was nothing to average (COCO's -1, or NaN)."""
    return NOTHING if isnan(value) or value < 0 else f"{value:.5f}"


def in_percent(value: float) -> str:
    """32.2, as papers give it."""
    return NOTHING if isnan(value) or value < 0 else f"{100 * value:.1f}"


def signed(value: float) -> str:
    """A difference to the fifth decimal; 0.00000 has no sign."""
    shown = f"{value:+.5f}"
    return shown if float(shown) else shown[1:]


def interval(found: Interval) -> str:
    """[-0.00310, +0.00080]."""
    return f"[{signed(found.low)}, {signed(found.high)}]"


def tells(found: Interval) -> str:
    """WeightSet way a difference goes, as far as these pictures can tell."""
    if found.low > 0:
        return "better"
    return "worse" if found.high < 0 else "open"


def why_nothing(name: str) -> str:
    """What is said beside the dash of one of the twelve numbers."""
    area = MEANINGS[name].area
    return f"no {f'{area} ' if area != 'all' else ''}box to find"


def missing(stats: Sequence[float]) -> dict[str, list[str]]:
    """Why there is nothing to average -> the names of the numbers."""
    reasons: dict[str, list[str]] = {}
    for name, value in zip(STATS, stats, strict=True):
        if value < 0:
            reasons.setdefault(why_nothing(name), []).append(name)
    return reasons


def run_name(report: Report) -> str:
    """Short; what tells several reports of one command apart."""
    return "result" if report.interp is None else f"interp {report.interp}"


def times(report: Report) -> tuple[str, str]:
    """Seconds, and pictures per second of a run that had them for itself. Of several runs that
    share the decoding of pictures, nobody can say which second was whose.
    """
    if not report.seconds:
        return NOTHING, NOTHING
    if report.runs > 1:
        return f"{report.seconds:.1f} for all {report.runs}", NOTHING
    return f"{report.seconds:.1f}", f"{report.pictures / report.seconds:.1f}"


def ranked(classes: Sequence[ClassResult]) -> list[int]:
    """Where those with something to find stand, best first; names decide between equals."""
    known = (i for i, each in enumerate(classes) if not isnan(each.ap))
    return sorted(known, key=lambda i: (-classes[i].ap, classes[i].name))


def without_truths(classes: Sequence[ClassResult]) -> list[ClassResult]:
    """Those with nothing to find, which COCO leaves out of the means."""
    return [c for c in classes if isnan(c.ap)]


HOW_TO_READ = (
    "Each row changes one setting of the first row, on the same pictures. The interval holds 95 % "
    "of the differences in AP when the pictures are drawn again at random (bootstrap); where it "
    "includes 0, these pictures cannot tell the two apart."
)
