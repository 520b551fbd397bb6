"""Converts any file that holds a PicoDet to a model in memory, or to a file in another form."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from picodet.converter import bins, writers
from picodet.converter.configure import ConvertOptions
from picodet.converter.converted_model import ConvertedModel
from picodet.converter.from_graph import from_graph
from picodet.converter.from_state_dict import from_state_dict
from picodet.converter.match_tensors import INTEGRAL_PROJECT, UnmatchedTensor
from picodet.converter.paddle_checkpoints import WeightSet
from picodet.converter.readers import open_source
from picodet.converter.sources import Origin, StateDictSource
from picodet.converter.writers import OutputFormat
from picodet.errors import ConversionError
from picodet.files import check_distinct
from picodet.formats.meta import Kind, make_meta
from picodet.formats.shards import weights_sha256
from picodet.models.checkpoint import model_with_weights
from picodet.models.picodet import PicoDet
from picodet.zoo.class_names import known_class_names


@dataclass(frozen=True)
class ConversionReport:
    """The result of a conversion; what `picodet-convert` prints and writes as JSON."""

    source: str
    form: str  # of the source, for display
    output: str
    kind: Kind
    variant: str
    classes: int  # 0 for a backbone
    input_size: tuple[int, int] | None  # height, width; of a detector
    tensors: int  # of the source: mapped and skipped
    mapped: int
    parameters: int  # learnable, of the PyTorch model
    dtypes: dict[str, int]  # number of mapped tensors by stored dtype
    skipped: tuple[UnmatchedTensor, ...]  # of the source, which the PyTorch model does not have
    initialized: tuple[UnmatchedTensor, ...]  # of the PyTorch model, which the source does not have
    dropped: tuple[UnmatchedTensor, ...]  # of the PyTorch model, which the output does not have
    reconstructed: tuple[UnmatchedTensor, ...]  # of the output, which the PyTorch model lacks
    notes: tuple[str, ...]  # what was assumed, and which option changes it
    sha256: str  # of the file that holds the weights
    seconds: float


def convert_model(
    source: Path,
    options: ConvertOptions,
    weight_set: WeightSet | None = None,
    allow_nonfinite: bool = False,
) -> tuple[Origin, ConvertedModel]:
    """Read `source` in any form and map its weights to a PyTorch model. Writes nothing.

    Raises CheckpointError for a file that cannot be read, GraphError for a graph that is not a
    PicoDet, ConversionError for weights that are not (IncompleteError, with all problems, where
    only some tensors do not match).
    """
    opened = open_source(source, weight_set)
    if isinstance(opened, StateDictSource):
        converted = from_state_dict(opened, options, allow_nonfinite)
    else:
        converted = from_graph(opened, options, allow_nonfinite)
    class_names = options.classes or (
        opened.config.classes if opened.config else opened.hints.classes
    )
    has_class_names = known_class_names(class_names, len(converted.config.classes)) is not None
    converted = replace(converted, has_class_names=has_class_names)
    if INTEGRAL_PROJECT in converted.weights:
        converted = replace(
            converted, notes=converted.notes + bins.notes(converted.weights[INTEGRAL_PROJECT])
        )
    return opened.origin, converted


def load(source: Path, options: ConvertOptions) -> tuple[Origin, PicoDet]:
    """The detector in a file of any form, in eval mode on the CPU; raises as `convert_model`."""
    origin, converted = convert_model(source, options)
    if converted.kind != "detector":
        raise ConversionError(
            f"{source}: holds only a backbone ({converted.config.name}); expected a detector"
        )
    return origin, model_with_weights(
        origin.path, converted.weights, lambda: PicoDet(converted.config)
    )


def convert_file(
    source: Path,
    output: Path,
    options: ConvertOptions,
    weight_set: WeightSet | None = None,
    output_format: OutputFormat | None = None,
    overwrite: bool = False,
    allow_nonfinite: bool = False,
) -> ConversionReport:
    """Convert `source` and write `output`, whole or not at all.

    Raises as `convert_model` does, and OutputError where `output` cannot be written.
    """
    start = time.perf_counter()
    output_format = writers.output_format_of(output, output_format)
    writers.check_output(output, output_format, overwrite)
    check_distinct(output, [source])
    origin, converted = convert_model(source, options, weight_set, allow_nonfinite)
    check_distinct(writers.weights_path(output, output_format), [origin.path])
    sha256 = weights_sha256(origin.path)
    meta = make_meta(converted.config, converted.kind, origin.path.name, sha256)
    dropped, reconstructed = writers.write(converted, output, output_format, meta)
    return ConversionReport(
        source=str(source),
        form=origin.form,
        output=str(output),
        kind=converted.kind,
        variant=converted.config.name,
        classes=len(converted.config.classes),
        input_size=converted.config.input_size if converted.kind == "detector" else None,
        tensors=converted.tensors,
        mapped=converted.mapped,
        parameters=converted.parameters,
        dtypes=converted.dtypes,
        skipped=converted.skipped,
        initialized=converted.initialized,
        dropped=dropped,
        reconstructed=reconstructed,
        notes=converted.notes,
        sha256=sha256,
        seconds=time.perf_counter() - start,
    )
