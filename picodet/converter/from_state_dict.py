"""Converts tensors by name, through the name table of their model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import NoReturn

import numpy as np

from picodet.config import BackboneConfig, ModelConfig
from picodet.converter.activations import activation_note
from picodet.converter.bins import DEFAULT_BINS_REASON, exact_bins
from picodet.converter.configure import (
    ConvertOptions,
    override_config,
    resolve_config,
)
from picodet.converter.converted_model import ConvertedModel, IncompleteError
from picodet.converter.match_tensors import INTEGRAL_PROJECT, UnmatchedTensor, match_tensors
from picodet.converter.names import libreyolo_names, mmdet_names
from picodet.converter.names.name_tables import (
    IdentityNameTable,
    backbone_table,
    identity_table,
    name_table,
)
from picodet.converter.names.recognize import (
    esnet_widths,
    recognize_backbone,
    recognize_detector,
)
from picodet.converter.names.rules import NameTable
from picodet.converter.names.unmatched_tensors import (
    CLASSIFIER_REASON,
    CLASSIFIER_TAIL,
    MMDET_ONLY,
    PADDLE_ONLY,
    UnmatchedRule,
)
from picodet.converter.sources import NamingScheme, StateDictSource
from picodet.errors import ConversionError
from picodet.formats.meta import Kind
from picodet.models.shapes import Shapes, shapes_of
from picodet.zoo.architectures import VARIANTS

BACKBONE = "backbone."
# of PaddleDetection, by the beginning of a tensor's name
OTHER_DETECTORS = {
    "yolo_head.stem_cls.": "PP-YOLOE",
    "yolo_head.yolo_output.": "PP-YOLO or YOLOv3",
    "transformer.": "RT-DETR or another DETR",
}
PARTS = (BACKBONE, "neck.", "head.", "bbox_head.")

# by naming scheme: the table between the PyTorch names and that scheme
TABLES: Mapping[NamingScheme, Callable[..., NameTable]] = {
    "ppdet": name_table,
    "mmdet": mmdet_names.mmdet_table,
    "libreyolo": libreyolo_names.libreyolo_table,
    "picodet": identity_table,
}
UNMATCHED_RULES: Mapping[NamingScheme, tuple[UnmatchedRule, ...]] = {
    "mmdet": MMDET_ONLY,
    "libreyolo": (),
}


@dataclass(frozen=True)
class _ConversionPlan:
    """The model that tensors become, and which of them take part."""

    kind: Kind
    config: ModelConfig
    table: NameTable
    arrays: Mapping[str, np.ndarray]
    prefix: str = ""  # of the model's names in the table
    skipped: tuple[UnmatchedTensor, ...] = ()
    added: tuple[UnmatchedTensor, ...] = ()  # to the file's tensors, by the model's names
    notes: tuple[str, ...] = ()


def from_state_dict(
    source: StateDictSource, options: ConvertOptions, allow_nonfinite: bool
) -> ConvertedModel:
    """Map named tensors to a model.

    Raises ConversionError for tensors that are not a PicoDet's (IncompleteError, with all problems,
    where only some do not match).
    """
    is_backbone = not any(name.startswith(PARTS[1:]) for name in source.arrays)
    plan = (_plan_backbone if is_backbone else _plan_detector)(source, options)
    shapes, parameters = shapes_of(plan.config, plan.kind)
    expected = {plan.prefix + name: shape for name, shape in shapes.items()}
    size = plan.config.input_size
    unmatched_rules = UNMATCHED_RULES.get(source.naming, PADDLE_ONLY)
    conversion = match_tensors(
        plan.arrays, expected, plan.table, size, allow_nonfinite, unmatched_rules
    )
    if not conversion.ok:
        raise IncompleteError(source.origin.path, plan.config.name, conversion)
    dropped = tuple(UnmatchedTensor(name, "not a weight of the model") for name in source.dropped)
    weights = {name.removeprefix(plan.prefix): x for name, x in conversion.weights.items()}
    return ConvertedModel(
        kind=plan.kind,
        config=plan.config,
        weights=weights,
        parameters=parameters,
        tensors=len(source.arrays) + len(dropped),
        mapped=conversion.mapped - len(plan.added),
        dtypes=conversion.dtypes,
        skipped=conversion.skipped + plan.skipped + dropped,
        initialized=conversion.initialized + plan.added,
        notes=source.origin.notes + plan.notes,
    )


def _plan_detector(source: StateDictSource, options: ConvertOptions) -> _ConversionPlan:
    if (own := source.config) is not None:
        table = TABLES[source.naming](own.backbone, own.neck, own.head)
        return _ConversionPlan("detector", override_config(own, options), table, source.arrays)
    found = recognize_detector(_ppdet_shapes(source))
    if found is None:
        _refuse(source)
    variant = found.variant
    table = TABLES[source.naming](variant.backbone, variant.neck, variant.head)
    if source.naming == "mmdet":  # it has had two spellings
        table = mmdet_names.find_table(source.arrays) or table
    resolved = resolve_config(found, source.hints, options)
    note = activation_note(found, resolved.config)
    notes = resolved.notes + ((note,) if note else ())
    arrays, added = source.arrays, tuple[UnmatchedTensor, ...]()
    if source.naming == "libreyolo":  # which computes with the same values, and stores none
        arrays = {**arrays, INTEGRAL_PROJECT: exact_bins(resolved.config.reg_max + 1)}
        added = (UnmatchedTensor(INTEGRAL_PROJECT, DEFAULT_BINS_REASON),)
    return _ConversionPlan("detector", resolved.config, table, arrays, added=added, notes=notes)


def _plan_backbone(source: StateDictSource, options: ConvertOptions) -> _ConversionPlan:
    """ImageNet weights by ppdet's, PaddleClas's or picodet's names, with `backbone.` or without."""
    arrays = source.arrays
    tail = {name for name in arrays if CLASSIFIER_TAIL.match(name.removeprefix(BACKBONE))}
    prefix = "" if all(name.startswith(BACKBONE) for name in arrays.keys() - tail) else BACKBONE
    body = {prefix + name: array for name, array in arrays.items() if name not in tail}
    recognize = _recognize_own_backbone if source.naming == "picodet" else recognize_backbone
    shapes = {name: array.shape for name, array in body.items()}
    recognized = recognize(shapes)
    if recognized is None and (widths := esnet_widths(shapes)):
        raise ConversionError(
            f"{source.origin.path}: an ESNet of {widths} channels, as PaddleClas publishes; "
            f"expected one of PicoDet's: {_known_widths()}"
        )
    if recognized is None:
        _refuse(source)
    backbone, table = recognized
    tail = {name for name in tail if table.to_ours(prefix + name) is None}  # MobileNet has a conv2
    body = {prefix + name: array for name, array in arrays.items() if name not in tail}
    if options.config or options.input_size or options.classes:
        raise ConversionError(
            f"{source.origin.path}: holds only a backbone ({backbone.name}); leave out --config, "
            "--input-size and --classes, which are for detectors"
        )
    config = replace(VARIANTS[0], name=backbone.name, backbone=backbone, classes=())
    skipped = tuple(UnmatchedTensor(name, CLASSIFIER_REASON) for name in arrays if name in tail)
    return _ConversionPlan("backbone", config, table, body, BACKBONE, skipped)


def _ppdet_shapes(source: StateDictSource) -> Shapes:
    """Shapes by ppdet's names, from which the model is recognized."""
    shapes = {name: array.shape for name, array in source.arrays.items()}
    if source.naming == "ppdet":
        return shapes
    kinds = {(type(v.backbone), v.neck, v.head): v for v in VARIANTS}  # one for each table
    tables = [name_table(v.backbone, v.neck, v.head) for v in kinds.values()]
    source_table = mmdet_names.find_table(shapes)
    if source.naming == "libreyolo":
        source_table = libreyolo_names.LIBREYOLO
    translate = mmdet_names.translate_known
    found = [
        translate(source.arrays, source_table or IdentityNameTable(table), table)
        for table in tables
    ]
    return {name: array.shape for name, array in max(found, key=len).items()}


def _recognize_own_backbone(shapes: Shapes) -> tuple[BackboneConfig, NameTable] | None:
    for table in map(backbone_table, {type(v.backbone): v.backbone for v in VARIANTS}.values()):
        there = {table.to_paddle(name): shape for name, shape in shapes.items()}
        found = recognize_backbone(
            {translation.name: shape for translation, shape in there.items() if translation}
        )
        if found is not None:
            return found[0], IdentityNameTable(backbone_table(found[0]))
    return None


def _known_widths() -> dict[str, list[int]]:
    return {
        v.backbone.name: [stage.channels for stage in v.backbone.stages]
        for v in VARIANTS
        if hasattr(v.backbone, "stages")
    }


@cache
def _variant_shapes(variant: ModelConfig) -> Shapes:
    """Shapes of the tensors of a variant, by ppdet's names."""
    table = name_table(variant.backbone, variant.neck, variant.head)
    shapes, _ = shapes_of(variant, "detector")
    translated = {table.to_paddle(name): shape for name, shape in shapes.items()}
    return {translation.name: shape for translation, shape in translated.items() if translation}


def _refuse(source: StateDictSource) -> NoReturn:
    """Raise ConversionError: these are not the tensors of a PicoDet; name the nearest variant."""
    known = _ppdet_shapes(source)
    counts = {
        variant.name: sum(
            _variant_shapes(variant).get(name) == shape for name, shape in known.items()
        )
        for variant in VARIANTS
    }
    nearest = max(counts, key=lambda name: counts[name])
    other = next(
        (
            detector
            for prefix, detector in OTHER_DETECTORS.items()
            if any(name.startswith(prefix) for name in source.arrays)
        ),
        None,
    )
    what = f"the tensors of {other}, not of a PicoDet" if other else "not a PicoDet"
    raise ConversionError(
        f"{source.origin.path}: {what} that this version supports. The nearest is "
        f"{nearest}, which matches {counts[nearest]} of its {len(source.arrays)} tensors; "
        f"supported are {', '.join(counts)}"
    )
