"""Reports and comparisons as data for JSON files, without NaN."""

from dataclasses import asdict
from typing import Any

from picodet.evaluation.compare import PredictionComparison
from picodet.evaluation.schema import STATS, ClassResult, Curves, Report, WhatIf, WorstImage


def report_to_json(report: Report) -> dict[str, Any]:
    """The report as `--json` writes it; NaN, which JSON lacks, becomes null.

    `stats` alone is as in COCO: in its order, and with -1 instead of null.
    """
    return {
        "model": report.model,
        "annotations": report.annotations,
        "interp": None if report.interp is None else int(report.interp),
        "stats": [float(value) for value in report.stats],
        **_stats_by_name(report.stats),
        "images": int(report.num_images),
        "detections": int(report.detections),
        "seconds": float(report.seconds),
        "seconds_of_runs": int(report.runs),
        "settings": dict(report.settings),
        "notes": list(report.notes),
        "caveat": report.caveat or None,
        "classes": [_class(each) for each in report.classes],
        "what_if": [_what_if(row) for row in report.what_if],
        "curves": _curves(report.curves),
        "min_shown_score": float(report.min_shown_score),
        "worst": [_worst(image) for image in report.worst],
        "versions": dict(report.versions or {}),
        "commands": list(report.commands),
    }


def comparison_to_json(comparison: PredictionComparison) -> dict[str, Any]:
    """The comparison as `--compare --json` writes it; rows of the files are counted from 0."""
    return {
        "same": comparison.ok,
        "stats_a": [float(value) for value in comparison.stats_a],
        "stats_b": [float(value) for value in comparison.stats_b],
        "ap_difference": asdict(comparison.interval),
        "detections_a": comparison.detections_a,
        "detections_b": comparison.detections_b,
        "matched": comparison.matched,
        "matched_same": comparison.same,
        "missing": comparison.missing.tolist(),
        "extra": comparison.extra.tolist(),
        "score": asdict(comparison.score),
        "box": asdict(comparison.box),
        "worst": [asdict(pair) for pair in comparison.worst],
    }


def _number_or_none(value: float) -> float | None:
    """None for NaN and for COCO's -1; else a Python float, as json cannot write NumPy's."""
    return float(value) if value >= 0 else None


def _stats_by_name(stats: tuple[float, ...]) -> dict[str, float | None]:
    return {name: _number_or_none(value) for name, value in zip(STATS, stats, strict=True)}


def _class(each: ClassResult) -> dict[str, Any]:
    numbers = {name: _number_or_none(getattr(each, name)) for name in ("ap", "ap50", "ap75", "ar")}
    counts = {"num_gt": int(each.num_gt), "detections": int(each.detections)}
    return {"name": each.name, **numbers, **counts}


def _what_if(row: WhatIf) -> dict[str, Any]:
    ap_interval = row.against_first
    return {
        "name": row.name,
        "stats": [float(value) for value in row.stats],
        "detections": int(row.detections),
        "against_first": ap_interval
        and {name: float(value) for name, value in asdict(ap_interval).items()},
    }


def _curves(curves: Curves) -> dict[str, Any]:
    """One list of precisions for each IoU, at recalls from 0 to 1 in equal steps."""
    precision = [[_number_or_none(value) for value in line] for line in curves.precision]
    return {"ious": [float(iou) for iou in curves.ious], "precision": precision}


def _worst(image: WorstImage) -> dict[str, Any]:
    """The file name and the counts; the image itself is only on the page."""
    counts = {
        kind: len(getattr(image, kind))
        for kind in ("true_positives", "false_positives", "false_negatives")
    }
    return {"file": image.file, **counts}
