"""Tensors by names -> a PicoDet, through the table of its names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import NoReturn

import numpy as np

from picodet.config import BackboneConfig, ModelConfig
from picodet.converter.configure import Wanted, adjusted, configure
from picodet.converter.converted_model import IncompleteError, Ported
from picodet.converter.match_tensors import OneSided, convert
from picodet.converter.names import mmdet_names
from picodet.converter.names.name_tables import OwnNames, backbone_table, name_table, own_table
from picodet.converter.names.recognize import (
    esnet_widths,
    recognise_backbone,
    recognise_detector,
)
from picodet.converter.names.rules import NameTable
from picodet.converter.names.unmatched_tensors import (
    CLASSIFIER_REASON,
    CLASSIFIER_TAIL,
    MMDET_ONLY,
    PADDLE_ONLY,
)
from picodet.converter.sources import NamedTensors, Spelling
from picodet.errors import ConversionError
from picodet.formats.meta import Kind
from picodet.models.shapes import Shapes, shapes_of
from picodet.zoo.architectures import VARIANTS

BACKBONE = "backbone."
PARTS = (BACKBONE, "neck.", "head.", "bbox_head.")

# the table that has our names on one side, and on the other those of
TABLES: Mapping[Spelling, Callable[..., NameTable]] = {
    "ppdet": name_table,
    "mmdet": mmdet_names.mmdet_table,
    "picodet": own_table,
}


@dataclass(frozen=True)
class _Plan:
    """What tensors are to become, and what of them takes part."""

    kind: Kind
    config: ModelConfig
    table: NameTable
    arrays: Mapping[str, np.ndarray]
    prefix: str = ""  # that the table knows our model's names with
    left_out: tuple[OneSided, ...] = ()
    notes: tuple[str, ...] = ()


def from_names(source: NamedTensors, wanted: Wanted, allow_nonfinite: bool) -> Ported:
    """Raises ConversionError for what is no PicoDet (IncompleteError where it nearly is)."""
    alone = not any(name.startswith(PARTS[1:]) for name in source.arrays)
    plan = (_plan_backbone if alone else _plan_detector)(source, wanted)
    shapes, parameters = shapes_of(plan.config, plan.kind)
    expected = {plan.prefix + name: shape for name, shape in shapes.items()}
    size = plan.config.input_size
    others = MMDET_ONLY if source.spelling == "mmdet" else PADDLE_ONLY
    conversion = convert(plan.arrays, expected, plan.table, size, allow_nonfinite, others)
    if not conversion.ok:
        raise IncompleteError(source.origin.path, plan.config.name, conversion)
    dropped = tuple(OneSided(name, "not a weight of the model") for name in source.dropped)
    weights = {name.removeprefix(plan.prefix): x for name, x in conversion.weights.items()}
    return Ported(
        kind=plan.kind,
        config=plan.config,
        weights=weights,
        parameters=parameters,
        tensors=len(source.arrays) + len(dropped),
        mapped=conversion.mapped,
        dtypes=conversion.dtypes,
        left_out=conversion.left_out + plan.left_out + dropped,
        added=conversion.added,
        notes=source.origin.notes + plan.notes,
    )


def _plan_detector(source: NamedTensors, wanted: Wanted) -> _Plan:
    if (own := source.config) is not None:
        table = TABLES[source.spelling](own.backbone, own.neck, own.head)
        return _Plan("detector", adjusted(own, wanted), table, source.arrays)
    found = recognise_detector(_as_ppdet(source))
    if found is None:
        _refuse(source)
    variant = found.variant
    table = TABLES[source.spelling](variant.backbone, variant.neck, variant.head)
    if source.spelling == "mmdet":  # it has had two
        table = mmdet_names.spelling(source.arrays) or table
    configured = configure(found, source.said, wanted)
    return _Plan("detector", configured.config, table, source.arrays, notes=configured.notes)


def _plan_backbone(source: NamedTensors, wanted: Wanted) -> _Plan:
    """ImageNet weights in ppdet's names, PaddleClas's or ours, all with `backbone.` or without."""
    arrays = source.arrays
    tail = {name for name in arrays if CLASSIFIER_TAIL.match(name.removeprefix(BACKBONE))}
    prefix = "" if all(name.startswith(BACKBONE) for name in arrays.keys() - tail) else BACKBONE
    body = {prefix + name: array for name, array in arrays.items() if name not in tail}
    recognise = _recognise_own_backbone if source.spelling == "picodet" else recognise_backbone
    shapes = {name: array.shape for name, array in body.items()}
    recognised = recognise(shapes)
    if recognised is None and (widths := esnet_widths(shapes)):
        raise ConversionError(
            f"{source.origin.path}: an ESNet of {widths} channels, which no PicoDet has "
            f"(PaddleClas's own are such); expected are {_known_widths()}"
        )
    if recognised is None:
        _refuse(source)
    backbone, table = recognised
    tail = {name for name in tail if table.to_ours(prefix + name) is None}  # MobileNet has a conv2
    body = {prefix + name: array for name, array in arrays.items() if name not in tail}
    if wanted.config or wanted.input_size or wanted.classes:
        raise ConversionError(
            f"{source.origin.path}: holds a backbone only ({backbone.name}); --config, "
            "--input-size and --classes are for detectors"
        )
    config = replace(VARIANTS[0], name=backbone.name, backbone=backbone, classes=())
    left_out = tuple(OneSided(name, CLASSIFIER_REASON) for name in arrays if name in tail)
    return _Plan("backbone", config, table, body, BACKBONE, left_out)


def _as_ppdet(source: NamedTensors) -> Shapes:
    """Names and shapes, the names as ppdet's: by them tensors are recognised."""
    shapes = {name: array.shape for name, array in source.arrays.items()}
    if source.spelling == "ppdet":
        return shapes
    kinds = {(type(v.backbone), v.neck, v.head): v for v in VARIANTS}  # one for each table
    tables = [name_table(v.backbone, v.neck, v.head) for v in kinds.values()]
    spoken = mmdet_names.spelling(shapes)
    respelled = mmdet_names.respelled
    found = [respelled(source.arrays, spoken or OwnNames(table), table) for table in tables]
    return {name: array.shape for name, array in max(found, key=len).items()}


def _recognise_own_backbone(shapes: Shapes) -> tuple[BackboneConfig, NameTable] | None:
    for table in map(backbone_table, {type(v.backbone): v.backbone for v in VARIANTS}.values()):
        there = {table.to_paddle(name): shape for name, shape in shapes.items()}
        found = recognise_backbone({place.name: shape for place, shape in there.items() if place})
        if found is not None:
            return found[0], OwnNames(backbone_table(found[0]))
    return None


def _known_widths() -> dict[str, list[int]]:
    return {
        v.backbone.name: [stage.channels for stage in v.backbone.stages]
        for v in VARIANTS
        if hasattr(v.backbone, "stages")
    }


@cache
def _places(variant: ModelConfig) -> Shapes:
    """The tensors that a variant has, by ppdet's names."""
    table = name_table(variant.backbone, variant.neck, variant.head)
    ours, _ = shapes_of(variant, "detector")
    places = {table.to_paddle(name): shape for name, shape in ours.items()}
    return {place.name: shape for place, shape in places.items() if place}


def _refuse(source: NamedTensors) -> NoReturn:
    """Say that these are not the tensors of a PicoDet, and how far from one they are."""
    known = _as_ppdet(source)
    counts = {
        variant.name: sum(_places(variant).get(name) == shape for name, shape in known.items())
        for variant in VARIANTS
    }
    nearest = max(counts, key=lambda name: counts[name])
    raise ConversionError(
        f"{source.origin.path}: not a PicoDet that this version knows. The nearest is {nearest}, "
        f"which has a place for {counts[nearest]} of its {len(source.arrays)} tensors. Known are "
        f"{', '.join(counts)}"
    )
