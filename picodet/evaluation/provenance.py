"""Stores how a predictions file was made in a file beside it: COCO's format has no metadata.

`detections.json` has `detections.json.about.json`: the settings in words, among them the kernels of
the resize and the CPU, and the SHA-256 of the detections that they are about.
"""

import json
from pathlib import Path

from picodet.evaluation.schema import Report
from picodet.files import sha256, write_json

MAX_BYTES = 100_000
RESIZED_BY = "resized by"  # the setting


def provenance_path(predictions: Path) -> Path:
    """The path of the file beside a predictions file."""
    return predictions.with_name(f"{predictions.name}.about.json")


def write_provenance(predictions: Path, report: Report) -> None:
    """Write the settings beside a predictions file. Raises OutputError if that fails."""
    if not predictions.is_file():
        return
    content = {
        "sha256": sha256(predictions),
        "model": report.model,
        "settings": report.settings,
        "versions": dict(report.versions or {}),
        "commands": list(report.commands),
    }
    write_json(provenance_path(predictions), content)


def read_settings(predictions: Path) -> dict[str, str]:
    """The settings beside a predictions file; {} if there are none, or of other detections."""
    path = provenance_path(predictions)
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return {}
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["sha256"] != sha256(predictions):
            return {}
        return {str(name): str(value) for name, value in content["settings"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def kernels_note(a: Path, b: Path) -> str:
    """A note if two predictions files are known to use different resize kernels; else ""."""
    one, other = (read_settings(path).get(RESIZED_BY, "") for path in (a, b))
    if not one or not other or one == other:
        return ""
    return f"not resized by the same kernels: {a} by {one}; {b} by {other}"
