"""Compares right models on many images: none may raise an alarm, and how close they come to one."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.fault_injection.references import Pair
from picodet.alignment.align import align
from picodet.alignment.result import Comparison
from picodet.models import checkpoint

MEASURES = ("local", "accumulated")


@dataclass(frozen=True)
class RightModelRun:
    """One right model on one image."""

    kind: str
    reference: str
    image: str
    alarms: tuple[str, ...]  # stages that are not aligned
    # error over noise of each layer, by measure and type of the layer
    ratios: dict[tuple[str, str], tuple[float, ...]]


def run(pairs: Iterable[Pair], images: list[Path], python: Path | None) -> Iterator[RightModelRun]:
    """Compare every pair on every image."""
    for pair in pairs:
        for image in images:
            with pair.recorded(image, python) as recording:
                comparison = align(checkpoint.load(pair.model), pair.model, recording)
            alarms = tuple(stage.name for stage in comparison.stages if stage.verdict != "aligned")
            name = "/".join(pair.reference.parts[-2:])
            yield RightModelRun(pair.kind, name, image.name, alarms, _ratios(comparison))


def _ratios(comparison: Comparison) -> dict[tuple[str, str], tuple[float, ...]]:
    found = defaultdict(list)
    for layer in comparison.layers:
        for measure in MEASURES:
            if (difference := getattr(layer, measure)) is not None:
                found[measure, layer.type].append(difference.error_over_noise)
    for stage in comparison.stages:
        if stage.name in ("heads", "decoding"):
            stated_ratios = re.findall(r"([\d.e+-]+) times the noise", stage.summary)
            if stated_ratios:
                found[stage.name, stage.name] += map(float, stated_ratios)
    return {key: tuple(values) for key, values in found.items()}


def highest(right: RightModelRun, measure: str) -> float:
    """The highest error over noise of all layers; measure: one of MEASURES."""
    found = (v for key, values in right.ratios.items() if key[0] == measure for v in values)
    return max(found, default=0.0)


def distribution(rights: list[RightModelRun]) -> Iterator[str]:
    """Lines of a table of quantiles by reference, measure and type of layer."""
    yield "| reference | measure | layers | values | median | 99 % | 99.9 % | highest |"
    yield "| --- | --- | --- | --: | --: | --: | --: | --: |"
    for kind in sorted({right.kind for right in rights}):
        by_layer: dict[tuple[str, str], list[float]] = defaultdict(list)
        for right in rights:
            if right.kind == kind:
                for (measure, layer), values in right.ratios.items():
                    by_layer[measure, layer] += values
                    if measure in MEASURES:
                        by_layer[measure, "all"] += values
        for (measure, layer), found in sorted(by_layer.items()):
            numbers = np.quantile(found, [0.5, 0.99, 0.999, 1])
            cells = " | ".join(f"{number:.2f}" for number in numbers)
            if numbers[-1]:
                yield f"| {kind} | {measure} | {layer} | {len(found):,} | {cells} |"
