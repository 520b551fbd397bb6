"""An evaluation for machines: plain data, and strictly JSON."""

from dataclasses import asdict
from typing import Any

from picodet.evaluation.compare import ResultComparison
from picodet.evaluation.schema import STATS, ClassResult, Curves, Report, WhatIf, WorstPicture


def as_json(report: Report) -> dict[str, Any]:
    """What `--json` writes. JSON has no NaN: null stands where there is nothing to average.

    `stats` alone is as COCO has it, in its order and with -1 in that place.
    """
    return {
        "model": report.model,
        "annotations": report.annotations,
        "interp": None if report.interp is None else int(report.interp),
        "stats": [float(value) for value in report.stats],
        **_named(report.stats),
        "images": int(report.pictures),
        "detections": int(report.detections),
        "seconds": float(report.seconds),
        "seconds_of_runs": int(report.runs),
        "settings": dict(report.settings),
        "notes": list(report.notes),
        "caveat": report.caveat or None,
        "classes": [_class(each) for each in report.classes],
        "what_if": [_what_if(row) for row in report.what_if],
        "curves": _curves(report.curves),
        "shown_from": float(report.shown_from),
        "worst": [_worst(picture) for picture in report.worst],
        "versions": dict(report.versions or {}),
        "commands": list(report.commands),
    }


def comparison_as_json(found: ResultComparison) -> dict[str, Any]:
    """What `--compare --json` writes; rows of the files are counted from 0."""
    return {
        "same": found.ok,
        "stats_a": [float(value) for value in found.stats_a],
        "stats_b": [float(value) for value in found.stats_b],
        "ap_difference": asdict(found.interval),
        "detections_a": found.detections_a,
        "detections_b": found.detections_b,
        "matched": found.matched,
        "matched_same": found.same,
        "missing": found.missing.tolist(),
        "extra": found.extra.tolist(),
        "score": asdict(found.score),
        "box": asdict(found.box),
        "worst": [asdict(pair) for pair in found.worst],
    }


def _number(value: float) -> float | None:
    """None for NaN, which is not >= 0, and for COCO's -1; NumPy's numbers are no JSON either."""
    return float(value) if value >= 0 else None


def _named(stats: tuple[float, ...]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(STATS, stats, strict=True)}


def _class(each: ClassResult) -> dict[str, Any]:
    numbers = {name: _number(getattr(each, name)) for name in ("ap", "ap50", "ap75", "ar")}
    counts = {"truths": int(each.truths), "detections": int(each.detections)}
    return {"name": each.name, **numbers, **counts}


def _what_if(row: WhatIf) -> dict[str, Any]:
    found = row.against_first
    return {
        "name": row.name,
        "stats": [float(value) for value in row.stats],
        "detections": int(row.detections),
        "against_first": found and {name: float(value) for name, value in asdict(found).items()},
    }


def _curves(curves: Curves) -> dict[str, Any]:
    """One list of precisions for each IoU, at recalls from 0 to 1 in equal steps."""
    precision = [[_number(value) for value in line] for line in curves.precision]
    return {"ious": [float(iou) for iou in curves.ious], "precision": precision}


def _worst(picture: WorstPicture) -> dict[str, Any]:
    """Which pictures they are; what they look like is the page's business."""
    counts = {kind: len(getattr(picture, kind)) for kind in ("found", "wrong", "missed")}
    return {"file": picture.file, **counts}
