"""A ppdet checkpoint becomes one of our files: here the converter and the models meet."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from torch import nn

from picodet.config import VARIANTS, ModelConfig
from picodet.converter import pdparams
from picodet.converter.configure import Wanted, configure
from picodet.converter.convert import Conversion, OneSided, Shape, convert
from picodet.converter.one_sided import CLASSIFIER_REASON, CLASSIFIER_TAIL
from picodet.converter.recognise import esnet_widths, recognise_backbone
from picodet.converter.rules import PICODET_2021, NameTable
from picodet.errors import ConversionError, OutputError
from picodet.files import check_apart, check_writable, sha256
from picodet.meta import Kind, describe
from picodet.models import checkpoint
from picodet.models.esnet import ESNet
from picodet.models.picodet import PicoDet

PREFIX = "backbone."


@dataclass(frozen=True)
class Report:
    """What became of a checkpoint."""

    source: str
    output: str
    kind: Kind
    variant: str
    classes: int  # 0 for a backbone
    input_size: tuple[int, int] | None  # height, width; of a detector
    tensors: int  # of the checkpoint: mapped and left out
    mapped: int
    parameters: int  # of our model, learnable
    dtypes: dict[str, int]  # how many of the mapped tensors came in which format
    left_out: tuple[OneSided, ...]
    added: tuple[OneSided, ...]
    notes: tuple[str, ...]  # what was assumed, and how to say otherwise
    sha256: str  # of the source
    seconds: float


class IncompleteError(ConversionError):
    """Tensors without a place, or places without a tensor: all of them."""

    def __init__(self, source: Path, variant: str, conversion: Conversion) -> None:
        count = len(conversion.problems)
        super().__init__(
            f"{source} does not fit {variant}: {count} problem{'s' * (count > 1)}, in the table; "
            "nothing was written"
        )
        self.problems = conversion.problems

    def as_json(self) -> dict[str, Any]:
        return super().as_json() | {"problems": [asdict(problem) for problem in self.problems]}


@dataclass(frozen=True)
class _Plan:
    """What a checkpoint is to become, and what of it takes part."""

    kind: Kind
    config: ModelConfig
    table: NameTable
    arrays: Mapping[str, np.ndarray]
    prefix: str = ""  # that the table knows our model's names with
    left_out: tuple[OneSided, ...] = ()
    notes: tuple[str, ...] = ()


def port_checkpoint(
    source: Path,
    output: Path,
    wanted: Wanted,
    overwrite: bool = False,
    allow_nonfinite: bool = False,
) -> Report:
    """Convert `source` and write `output`, whole or not at all.

    Raises CheckpointError for a file that is no checkpoint, ConversionError for one that is no
    PicoDet (IncompleteError where it nearly is), OutputError where `output` cannot be written.
    """
    start = time.perf_counter()
    if output.suffix not in checkpoint.FORMATS:
        raise OutputError(f"{output}: the suffix must be one of {', '.join(checkpoint.FORMATS)}")
    check_writable(output, overwrite)
    check_apart(output, [source])

    arrays = pdparams.read(source)
    is_detector = any(name.startswith(("neck.", "head.")) for name in arrays)
    plan = (_plan_detector if is_detector else _plan_backbone)(source, arrays, wanted)
    shapes, parameters = _measure(plan)
    conversion = convert(plan.arrays, shapes, plan.table, plan.config.input_size, allow_nonfinite)
    if not conversion.ok:
        raise IncompleteError(source, plan.config.name, conversion)

    digest = sha256(source)
    checkpoint.save(
        output,
        {name.removeprefix(plan.prefix): array for name, array in conversion.weights.items()},
        describe(plan.config, plan.kind, source.name, digest),
    )
    return Report(
        source=str(source),
        output=str(output),
        kind=plan.kind,
        variant=plan.config.name,
        classes=len(plan.config.classes),
        input_size=plan.config.input_size if plan.kind == "detector" else None,
        tensors=len(arrays),
        mapped=conversion.mapped,
        parameters=parameters,
        dtypes=conversion.dtypes,
        left_out=conversion.left_out + plan.left_out,
        added=conversion.added,
        notes=plan.notes,
        sha256=digest,
        seconds=time.perf_counter() - start,
    )


def _plan_detector(source: Path, arrays: Mapping[str, np.ndarray], wanted: Wanted) -> _Plan:
    shapes = {name: array.shape for name, array in arrays.items()}
    configured = configure(shapes, source, wanted)
    if configured is None:
        _refuse(source, shapes)
    config, notes = configured.config, configured.notes
    return _Plan("detector", config, PICODET_2021, arrays, notes=notes)


def _plan_backbone(source: Path, arrays: Mapping[str, np.ndarray], wanted: Wanted) -> _Plan:
    """ImageNet weights: ppdet's names or PaddleClas's, all with `backbone.` or all without."""
    tail = [name for name in arrays if CLASSIFIER_TAIL.match(name.removeprefix(PREFIX))]
    body = {name: array for name, array in arrays.items() if name not in tail}
    if not all(name.startswith(PREFIX) for name in body):
        body = {PREFIX + name: array for name, array in body.items()}
    shapes = {name: array.shape for name, array in body.items()}
    recognised = recognise_backbone(shapes)
    if recognised is None and (widths := esnet_widths(shapes)):
        known = {v.backbone: [stage.channels for stage in v.stages] for v in VARIANTS}
        raise ConversionError(
            f"{source}: an ESNet of {widths} channels, which no PicoDet has (PaddleClas's own are "
            f"such); expected are {known}"
        )
    if recognised is None:
        _refuse(source, shapes)
    variant, table = recognised
    if wanted != Wanted():
        raise ConversionError(
            f"{source}: holds a backbone only ({variant.backbone}); --config, --input-size and "
            "--classes are for detectors"
        )
    config = replace(variant, name=variant.backbone, classes=())
    left_out = tuple(OneSided(name, CLASSIFIER_REASON) for name in tail)
    return _Plan("backbone", config, table, body, PREFIX, left_out)


def _measure(plan: _Plan) -> tuple[dict[str, Shape], int]:
    """Shapes of the planned model's tensors as the table knows them, and learnable parameters."""
    detector = plan.kind == "detector"
    model = PicoDet(plan.config) if detector else ESNet(plan.config.stages)
    shapes = {plan.prefix + name: shape for name, shape in _shapes(model).items()}
    return shapes, sum(parameter.numel() for parameter in model.parameters())


def _refuse(source: Path, shapes: Mapping[str, Shape]) -> NoReturn:
    """Say that these are not the tensors of a PicoDet, and how far from one they are."""

    def fitting(variant: ModelConfig) -> int:
        places = {
            PICODET_2021.to_paddle(name): shape for name, shape in _shapes(PicoDet(variant)).items()
        }
        there = {place.name: shape for place, shape in places.items() if place}
        return sum(there.get(name) == shape for name, shape in shapes.items())

    count, nearest = max((fitting(variant), variant.name) for variant in VARIANTS)
    raise ConversionError(
        f"{source}: not a PicoDet that this version knows. The nearest is {nearest}, which has a "
        f"place for {count} of its {len(shapes)} tensors. Known are the PicoDets of 2021 with an "
        f"ESNet: {', '.join(variant.name for variant in VARIANTS)}"
    )


def _shapes(model: nn.Module) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
