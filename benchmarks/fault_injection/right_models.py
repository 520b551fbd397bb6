"""The right models over many pictures: no alarm may be raised, and how close they come to one."""

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
class Right:
    """One right model on one picture."""

    kind: str
    reference: str
    picture: str
    alarms: tuple[str, ...]  # rungs that differ
    # error over noise of each layer, by what is measured and the type of the layer
    ratios: dict[tuple[str, str], tuple[float, ...]]


def run(pairs: Iterable[Pair], pictures: list[Path], python: Path | None) -> Iterator[Right]:
    """Every pair on every picture."""
    for pair in pairs:
        for picture in pictures:
            with pair.recorded(picture, python) as recording:
                comparison = align(checkpoint.load(pair.model), pair.model, recording)
            alarms = tuple(rung.name for rung in comparison.rungs if rung.verdict != "aligned")
            name = "/".join(pair.reference.parts[-2:])
            yield Right(pair.kind, name, picture.name, alarms, _ratios(comparison))


def _ratios(comparison: Comparison) -> dict[tuple[str, str], tuple[float, ...]]:
    found = defaultdict(list)
    for layer in comparison.layers:
        for measure in MEASURES:
            if (gap := getattr(layer, measure)) is not None:
                found[measure, layer.type].append(gap.over_floor)
    for rung in comparison.rungs:
        if rung.name in ("heads", "decoding"):
            said = re.findall(r"([\d.e+-]+) times the noise", rung.summary)
            if said:
                found[rung.name, rung.name] += map(float, said)
    return {key: tuple(values) for key, values in found.items()}


def highest(right: Right, measure: str) -> float:
    """Over all layers."""
    found = (v for key, values in right.ratios.items() if key[0] == measure for v in values)
    return max(found, default=0.0)


def distribution(rights: list[Right]) -> Iterator[str]:
    """A table: who ran the reference, what was measured of which layers, and its quantiles."""
    yield "| reference | measure | layers | values | median | 99 % | 99.9 % | highest |"
    yield "| --- | --- | --- | --: | --: | --: | --: | --: |"
    for kind in sorted({right.kind for right in rights}):
        together: dict[tuple[str, str], list[float]] = defaultdict(list)
        for right in rights:
            if right.kind == kind:
                for (measure, layer), values in right.ratios.items():
                    together[measure, layer] += values
                    if measure in MEASURES:
                        together[measure, "all"] += values
        for (measure, layer), found in sorted(together.items()):
            numbers = np.quantile(found, [0.5, 0.99, 0.999, 1])
            shown = " | ".join(f"{number:.2f}" for number in numbers)
            if numbers[-1]:
                yield f"| {kind} | {measure} | {layer} | {len(found):,} | {shown} |"
