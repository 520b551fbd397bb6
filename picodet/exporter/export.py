"""A model becomes an ONNX file that has been proven to be that model."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from picodet.converter.detector import open_detector
from picodet.errors import CheckpointError, OutputError, PicoDetError
from picodet.exporter.model_proto import build
from picodet.exporter.options import ExportOptions, Level
from picodet.exporter.ort import check_opset
from picodet.exporter.verify import Verification, verify
from picodet.exporter.verify_inputs import trials
from picodet.files import atomic_write, check_distinct, check_writable
from picodet.models.picodet import PicoDet
from picodet.system.versions import versions

SUFFIX = ".onnx"
Shapes = dict[str, list[int | str]]  # of inputs or outputs; a side that is not fixed has a name


@dataclass(frozen=True)
class ExportReport:
    """What was written."""

    source: str
    output: str
    variant: str
    level: Level
    opset: int
    inputs: Shapes
    outputs: Shapes
    operators: int
    bytes: int
    verification: Verification | None  # None where the user did not want it
    notes: tuple[str, ...]  # what was assumed of the source
    versions: dict[str, str]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        verification = self.verification and self.verification.as_json()
        return {**asdict(replace(self, verification=None)), "verification": verification}


class NotVerifiedError(PicoDetError):
    """A file that does not compute what the model does."""

    def __init__(self, output: Path, verification: Verification) -> None:
        name = verification.worst
        gap = verification.gaps[name]
        found = gap.problem or f"is off by {gap.error:.3g} at {list(gap.index)}"
        super().__init__(
            f"{output}: the export is not the model: {name} {found}; allowed is "
            f"{gap.allowed:.3g}. Nothing was written"
        )
        self.verification = verification

    def as_json(self) -> dict[str, Any]:
        return super().as_json() | {"verification": self.verification.as_json()}


def export(
    source: Path,
    output: Path,
    wanted: ExportOptions,
    pictures: Sequence[Path] = (),
    overwrite: bool = False,
    verified: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ExportReport:
    """Write `output`, verified with `pictures` or one of ours, or nothing.

    Raises CheckpointError for a file that holds no detector, PicoDetError for wishes that no file
    can fulfil, NotVerifiedError where the file does not compute what torch computes.
    """
    start = time.perf_counter()
    if output.suffix != SUFFIX:
        raise OutputError(f"{output}: the suffix must be {SUFFIX}")
    check_writable(output, overwrite)
    check_distinct(output, [source, *pictures])
    wanted.check()
    check_opset(wanted.opset)
    size = wanted.input_size if isinstance(wanted.input_size, tuple) else None
    opened = open_detector(source, size)
    model = opened.model
    if wanted.resize is not None:
        numbers = replace(model.config.preprocessing, resize=wanted.resize)
        model.config = replace(model.config, preprocessing=numbers)
    _check_finite(source, model)
    proto = build(model, wanted, opened.origin)
    content = proto.SerializeToString()
    verification = None
    with atomic_write(output) as temporary:
        temporary.write_bytes(content)
        if verified:
            asked = list(trials(model.config, wanted, pictures))
            verification = verify(temporary, model, wanted, asked, progress)
            if not verification.ok:
                raise NotVerifiedError(output, verification)
    return ExportReport(
        source=str(source),
        output=str(output),
        variant=model.config.name,
        level=wanted.level,
        opset=wanted.opset,
        inputs=_shapes(proto.graph.input),
        outputs=_shapes(proto.graph.output),
        operators=len(proto.graph.node),
        bytes=len(content),
        verification=verification,
        notes=opened.notes,
        versions=versions("torch", "onnx", "onnxruntime"),
        seconds=time.perf_counter() - start,
    )


def _check_finite(source: Path, model: PicoDet) -> None:
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise CheckpointError(
                f"{source}: {name} has NaN or Inf; what it computes cannot be verified. Convert a "
                "checkpoint that is whole"
            )


def _shapes(values: Sequence[onnx.ValueInfoProto]) -> Shapes:
    return {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in values
    }
