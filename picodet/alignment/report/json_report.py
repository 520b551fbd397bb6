"""A comparison as strict JSON."""

import math
from dataclasses import asdict
from typing import Any

from picodet.alignment.result import Comparison, Difference, Layer


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as `--json` writes it; NaN and infinity are "nan", "inf" and "-inf"."""
    return {
        "aligned": comparison.aligned,
        "reference": comparison.reference,
        "model": comparison.model,
        "stages": [asdict(stage) for stage in comparison.stages],
        "guilty": [_layer(layer) for layer in comparison.guilty],
        "unpaired": [asdict(unpaired) for unpaired in comparison.unpaired],
        "layers": [_layer(layer) for layer in comparison.layers],
        "tolerance": comparison.tolerance,
        "environment": dict(comparison.environment),
    }


def _layer(layer: Layer) -> dict[str, Any]:
    judged = layer.local or layer.accumulated
    return {
        "path": layer.path,
        "reference": layer.reference,
        "call": int(layer.call),
        "type": layer.type,
        "status": layer.status,
        "where": layer.where,
        "diagnosis": layer.diagnosis,
        "floor": _json_number(judged.floor) if judged else None,  # of the error that decides
        "local": _difference(layer.local),
        "accumulated": _difference(layer.accumulated),
    }


def _difference(difference: Difference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    measured = ("error", "model", "reference", "scale", "floor", "allowed", "error_over_noise")
    return {
        **{name: _json_number(getattr(difference, name)) for name in measured},
        "index": [int(i) for i in difference.index],
        "problem": difference.problem,
    }


def _json_number(value: float) -> float | str:
    value = float(value)  # a NumPy number is not JSON either
    return value if math.isfinite(value) else str(value)
