"""Formats the numbers and texts of an evaluation, for the terminal and the page alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from picodet.evaluation.schema import STATS, ClassResult, Interval, Report

NO_VALUE = "\N{EN DASH}"


@dataclass(frozen=True)
class MetricScope:
    """The scope of one of the twelve numbers, in COCO's words."""

    iou: str
    area: str
    max_detections: int  # of an image and class, those of the greatest scores


ALL_IOUS = "0.50:0.95"  # the mean over ten thresholds
METRIC_SCOPES = dict(
    zip(
        STATS,
        (
            *(MetricScope(iou, "all", 100) for iou in (ALL_IOUS, "0.50", "0.75")),
            *(MetricScope(ALL_IOUS, area, 100) for area in ("small", "medium", "large")),
            *(MetricScope(ALL_IOUS, "all", count) for count in (1, 10, 100)),
            *(MetricScope(ALL_IOUS, area, 100) for area in ("small", "medium", "large")),
        ),
        strict=True,
    )
)


def format_metric(value: float) -> str:
    """A metric to five decimals; a dash where there was nothing to average (-1 or NaN)."""
    return NO_VALUE if isnan(value) or value < 0 else f"{value:.5f}"


def format_percent(value: float) -> str:
    """A metric in percent as in papers: 32.2; a dash for -1 or NaN."""
    return NO_VALUE if isnan(value) or value < 0 else f"{100 * value:.1f}"


def format_signed(value: float) -> str:
    """A difference to the fifth decimal; 0.00000 has no sign."""
    text = f"{value:+.5f}"
    return text if float(text) else text[1:]


def format_interval(ap_interval: Interval) -> str:
    """An interval as text: [-0.00310, +0.00080]."""
    return f"[{format_signed(ap_interval.low)}, {format_signed(ap_interval.high)}]"


def interval_verdict(ap_interval: Interval) -> str:
    """The verdict of an interval: "better", "worse", or "open" if it includes 0."""
    if ap_interval.low > 0:
        return "better"
    return "worse" if ap_interval.high < 0 else "open"


def missing_reason(name: str) -> str:
    """The reason that is shown where one of the twelve numbers is a dash."""
    area = METRIC_SCOPES[name].area
    return f"no {f'{area} ' if area != 'all' else ''}ground truth"


def missing_reasons(stats: Sequence[float]) -> dict[str, list[str]]:
    """Reasons why numbers are missing -> names of the numbers."""
    reasons: dict[str, list[str]] = {}
    for name, value in zip(STATS, stats, strict=True):
        if value < 0:
            reasons.setdefault(missing_reason(name), []).append(name)
    return reasons


def run_name(report: Report) -> str:
    """A short name that distinguishes several reports of one command."""
    return "result" if report.interp is None else f"interp {report.interp}"


def format_times(report: Report) -> tuple[str, str]:
    """The seconds, and images per second of a single run.

    Several runs share the decoding of images, so that the seconds of one are unknown.
    """
    if not report.seconds:
        return NO_VALUE, NO_VALUE
    if report.runs > 1:
        return f"{report.seconds:.1f} for all {report.runs}", NO_VALUE
    return f"{report.seconds:.1f}", f"{report.num_images / report.seconds:.1f}"


def rank_classes(classes: Sequence[ClassResult]) -> list[int]:
    """Indices of the classes with ground truth, best first; equal ones by name."""
    known = (i for i, each in enumerate(classes) if not isnan(each.ap))
    return sorted(known, key=lambda i: (-classes[i].ap, classes[i].name))


def classes_without_gt(classes: Sequence[ClassResult]) -> list[ClassResult]:
    """The classes without ground truth, which COCO leaves out of the means."""
    return [c for c in classes if isnan(c.ap)]


WHAT_IF_HELP = (
    "Each row changes one setting of the first row, on the same images. The interval holds 95 % "
    "of the differences in AP when the images are resampled at random (bootstrap); where it "
    "includes 0, these images do not distinguish the two."
)
