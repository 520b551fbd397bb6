"""A comparison for machines: plain data, and strictly JSON."""

import math
from dataclasses import asdict
from typing import Any

from picodet.alignment.result import Comparison, Gap, Layer


def as_json(comparison: Comparison) -> dict[str, Any]:
    """What `--json` writes. JSON has no NaN and no infinity: they are "nan", "inf" and "-inf"."""
    return {
        "aligned": comparison.aligned,
        "reference": comparison.reference,
        "model": comparison.model,
        "rungs": [asdict(rung) for rung in comparison.rungs],
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
        "floor": _number(judged.floor) if judged else None,  # of what the layer is judged by
        "local": _gap(layer.local),
        "accumulated": _gap(layer.accumulated),
    }


def _gap(gap: Gap | None) -> dict[str, Any] | None:
    if gap is None:
        return None
    measured = ("error", "ours", "reference", "scale", "floor", "allowed", "over_floor")
    return {
        **{name: _number(getattr(gap, name)) for name in measured},
        "index": [int(i) for i in gap.index],
        "problem": gap.problem,
    }


def _number(value: float) -> float | str:
    value = float(value)  # NumPy's numbers are no JSON either
    return value if math.isfinite(value) else str(value)
