"""Exports a model to an ONNX file, written only if it computes what the model does."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from picodet.converter.detector import open_detector
from picodet.errors import CheckpointError, OutputError, PicoDetError
from picodet.exporter.model_proto import build_model
from picodet.exporter.options import ExportLevel, ExportOptions
from picodet.exporter.ort import check_opset
from picodet.exporter.verify import Verification, verify
from picodet.exporter.verify_inputs import make_verify_inputs
from picodet.files import atomic_write, check_distinct, check_writable
from picodet.models.picodet import PicoDet
from picodet.system.versions import versions

SUFFIX = ".onnx"
Shapes = dict[str, list[int | str]]  # of inputs or outputs; a dynamic dimension has a name


@dataclass(frozen=True)
class ExportReport:
    """What was exported and how it was verified."""

    source: str
    output: str
    variant: str
    level: ExportLevel
    opset: int
    inputs: Shapes
    outputs: Shapes
    operators: int
    bytes: int
    verification: Verification | None  # None if it was not requested
    notes: tuple[str, ...]  # what was assumed when the source was read
    versions: dict[str, str]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        verification = self.verification and self.verification.as_json()
        return {**asdict(replace(self, verification=None)), "verification": verification}


class VerificationError(PicoDetError):
    """An export computes something else than its model; nothing was written."""

    def __init__(self, output: Path, verification: Verification) -> None:
        name = verification.worst
        difference = verification.differences[name]
        found = (
            difference.problem or f"is off by {difference.error:.3g} at {list(difference.index)}"
        )
        super().__init__(
            f"{output}: the export differs from the model: {name} {found}; allowed is "
            f"{difference.allowed:.3g}. Nothing was written"
        )
        self.verification = verification

    def as_json(self) -> dict[str, Any]:
        return super().as_json() | {"verification": self.verification.as_json()}


def export(
    source: Path,
    output: Path,
    options: ExportOptions,
    images: Sequence[Path] = (),
    overwrite: bool = False,
    verified: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ExportReport:
    """Write `output`, verified with `images` or the bundled test image, or nothing.

    Raises CheckpointError for a source that holds no detector, PicoDetError for invalid options,
    OutputError where it cannot be written, VerificationError where it differs from torch.
    """
    start = time.perf_counter()
    if output.suffix != SUFFIX:
        raise OutputError(f"{output}: the suffix must be {SUFFIX}")
    check_writable(output, overwrite)
    check_distinct(output, [source, *images])
    options.check()
    check_opset(options.opset)
    size = options.input_size if isinstance(options.input_size, tuple) else None
    opened = open_detector(source, size)
    model = opened.model
    if options.resize is not None:
        preprocessing = replace(model.config.preprocessing, resize=options.resize)
        model.config = replace(model.config, preprocessing=preprocessing)
    _check_finite(source, model)
    proto = build_model(model, options, opened.origin)
    content = proto.SerializeToString()
    verification = None
    with atomic_write(output) as temporary:
        temporary.write_bytes(content)
        if verified:
            inputs = list(make_verify_inputs(model.config, options, images))
            verification = verify(temporary, model, options, inputs, progress)
            if not verification.ok:
                raise VerificationError(output, verification)
    return ExportReport(
        source=str(source),
        output=str(output),
        variant=model.config.name,
        level=options.level,
        opset=options.opset,
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
                f"{source}: {name} has NaN or Inf, so the export cannot be verified. Convert an "
                "intact checkpoint"
            )


def _shapes(values: Sequence[onnx.ValueInfoProto]) -> Shapes:
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in values
    }
