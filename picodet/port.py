"""A ppdet checkpoint becomes one of our files: here the converter and the models meet."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from torch import nn

from picodet.config import FAMILIES, ModelConfig
from picodet.converter import pdparams
from picodet.converter.configure import Wanted, configure
from picodet.converter.convert import Conversion, OneSided, Shape, convert
from picodet.converter.one_sided import CLASSIFIER_REASON, CLASSIFIER_TAIL
from picodet.converter.recognise import recognise_backbone
from picodet.converter.rules import PICODET_2021, NameTable
from picodet.errors import ConversionError, OutputError
from picodet.files import check_writable
from picodet.models import checkpoint
from picodet.models.esnet import ESNet
from picodet.models.picodet import PicoDet

PREFIX = "backbone."


@dataclass(frozen=True)
class Report:
    """What became of a checkpoint."""

    source: str
    output: str
    kind: checkpoint.Kind
    variant: str
    classes: int  # 0 for a backbone
    input_size: tuple[int, int]  # height, width
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
class _Target:
    """What a checkpoint is to become, and what of it does not take part."""

    kind: checkpoint.Kind
    config: ModelConfig
    variant: str
    table: NameTable
    expected: dict[str, Shape]  # of every tensor of our model
    parameters: int  # learnable ones
    prefix: str  # of our model's names in the table
    arrays: Mapping[str, np.ndarray]
    left_out: tuple[OneSided, ...]
    notes: tuple[str, ...]


def port(
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

    arrays = pdparams.read(source)
    is_detector = any(name.startswith(("neck.", "head.")) for name in arrays)
    target = (_detector if is_detector else _backbone)(source, arrays, wanted)
    conversion = convert(
        target.arrays, target.expected, target.table, target.config.input_size, allow_nonfinite
    )
    if not conversion.ok:
        raise IncompleteError(source, target.variant, conversion)

    sha256 = _sha256(source)
    checkpoint.save(
        output,
        {name.removeprefix(target.prefix): array for name, array in conversion.weights.items()},
        checkpoint.describe(target.config, target.kind, target.variant, source.name, sha256),
    )
    return Report(
        source=str(source),
        output=str(output),
        kind=target.kind,
        variant=target.variant,
        classes=len(target.config.classes),
        input_size=target.config.input_size,
        tensors=len(arrays),
        mapped=conversion.mapped,
        parameters=target.parameters,
        dtypes=conversion.dtypes,
        left_out=conversion.left_out + target.left_out,
        added=conversion.added,
        notes=target.notes,
        sha256=sha256,
        seconds=time.perf_counter() - start,
    )


def _detector(source: Path, arrays: Mapping[str, np.ndarray], wanted: Wanted) -> _Target:
    shapes = {name: array.shape for name, array in arrays.items()}
    configured = configure(shapes, source, wanted)
    if configured is None:
        _refuse(source, shapes)
    config, notes = configured
    model = PicoDet(config)
    return _Target(
        kind="detector",
        config=config,
        variant=config.name,
        table=PICODET_2021,
        expected=_shapes(model),
        parameters=_count(model),
        prefix="",
        arrays=arrays,
        left_out=(),
        notes=notes,
    )


def _backbone(source: Path, arrays: Mapping[str, np.ndarray], wanted: Wanted) -> _Target:
    """ImageNet weights: ppdet's names or PaddleClas's, with `backbone.` or without."""
    bare = {name.removeprefix(PREFIX): array for name, array in arrays.items()}
    tail = [name for name in bare if CLASSIFIER_TAIL.match(name)]
    arrays = {PREFIX + name: array for name, array in bare.items() if name not in tail}
    shapes = {name: array.shape for name, array in arrays.items()}
    recognised = recognise_backbone(shapes)
    if recognised is None:
        _refuse(source, shapes)
    config, table = recognised
    model = ESNet(config.stages)
    if wanted != Wanted():
        raise ConversionError(
            f"{source}: holds a backbone only ({config.backbone}); --config, --input-size and "
            "--classes are for detectors"
        )
    return _Target(
        kind="backbone",
        config=replace(config, classes=()),
        variant=config.backbone,
        table=table,
        expected={PREFIX + name: shape for name, shape in _shapes(model).items()},
        parameters=_count(model),
        prefix=PREFIX,
        arrays=arrays,
        left_out=tuple(OneSided(name, CLASSIFIER_REASON) for name in tail),
        notes=(),
    )


def _refuse(source: Path, shapes: Mapping[str, Shape]) -> NoReturn:
    """Say that these are not the tensors of a PicoDet, and how far from one they are."""

    def fitting(family: ModelConfig) -> int:
        places = {
            PICODET_2021.to_paddle(name): shape for name, shape in _shapes(PicoDet(family)).items()
        }
        there = {place.name: shape for place, shape in places.items() if place}
        return sum(there.get(name) == shape for name, shape in shapes.items())

    count, nearest = max((fitting(family), family.name) for family in FAMILIES)
    raise ConversionError(
        f"{source}: not a PicoDet that this version knows. The nearest is {nearest}, which has a "
        f"place for {count} of its {len(shapes)} tensors. Known are the PicoDets of 2021 with an "
        f"ESNet: {', '.join(family.name for family in FAMILIES)}"
    )


def _shapes(model: nn.Module) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
