"""Any file that holds a PicoDet -> a PicoDet in memory, or a file in another form."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from picodet.converter import bins, writers
from picodet.converter.configure import Wanted
from picodet.converter.converted_model import Ported
from picodet.converter.from_graph import from_graph
from picodet.converter.from_state_dict import from_names
from picodet.converter.match_tensors import BINS, OneSided
from picodet.converter.paddle_checkpoints import Which
from picodet.converter.readers import open_source
from picodet.converter.sources import NamedTensors, Origin
from picodet.converter.writers import Form
from picodet.errors import ConversionError
from picodet.files import check_apart
from picodet.formats.meta import Kind, describe
from picodet.formats.shards import digest
from picodet.models.checkpoint import filled
from picodet.models.picodet import PicoDet
from picodet.zoo.class_names import named


@dataclass(frozen=True)
class Report:
    """What became of a checkpoint."""

    source: str
    form: str  # of the source, for people
    output: str
    kind: Kind
    variant: str
    classes: int  # 0 for a backbone
    input_size: tuple[int, int] | None  # height, width; of a detector
    tensors: int  # of the source: mapped and left out
    mapped: int
    parameters: int  # of our model, learnable
    dtypes: dict[str, int]  # how many of the mapped tensors came in which format
    left_out: tuple[OneSided, ...]
    added: tuple[OneSided, ...]
    dropped: tuple[OneSided, ...]  # of our model, which the output has no place for
    restored: tuple[OneSided, ...]  # what the output has and our model has not
    notes: tuple[str, ...]  # what was assumed, and how to say otherwise
    sha256: str  # of the file that holds the weights
    seconds: float


def port(
    source: Path,
    wanted: Wanted,
    which: Which | None = None,
    allow_nonfinite: bool = False,
) -> tuple[Origin, Ported]:
    """Raises CheckpointError for a file that is none of ours to read, GraphError for a graph that
    is no PicoDet, ConversionError for weights that are none (IncompleteError where they nearly
    are).
    """
    opened = open_source(source, which)
    if isinstance(opened, NamedTensors):
        ported = from_names(opened, wanted, allow_nonfinite)
    else:
        ported = from_graph(opened, wanted, allow_nonfinite)
    listed = wanted.classes or (opened.config.classes if opened.config else opened.said.classes)
    names_classes = named(listed, len(ported.config.classes)) is not None
    ported = replace(ported, names_classes=names_classes)
    if BINS in ported.weights:
        ported = replace(ported, notes=ported.notes + bins.notes(ported.weights[BINS]))
    return opened.origin, ported


def load(source: Path, wanted: Wanted) -> tuple[Origin, PicoDet]:
    """The detector in a file of any form, in eval mode, on the CPU; raises as `port` does."""
    origin, ported = port(source, wanted)
    if ported.kind != "detector":
        raise ConversionError(
            f"{source}: holds a backbone only ({ported.config.name}); a detector is expected"
        )
    return origin, filled(origin.path, ported.weights, lambda: PicoDet(ported.config))


def convert_file(
    source: Path,
    output: Path,
    wanted: Wanted,
    which: Which | None = None,
    form: Form | None = None,
    overwrite: bool = False,
    allow_nonfinite: bool = False,
) -> Report:
    """Convert `source` and write `output`, whole or not at all.

    Raises as `port` does, and OutputError where `output` cannot be written.
    """
    start = time.perf_counter()
    becomes = writers.form_of(output, form)
    writers.check(output, becomes, overwrite)
    check_apart(output, [source])
    origin, ported = port(source, wanted, which, allow_nonfinite)
    check_apart(writers.holds_weights(output, becomes), [origin.path])
    sha256 = digest(origin.path)
    meta = describe(ported.config, ported.kind, origin.path.name, sha256)
    dropped, restored = writers.write(ported, output, becomes, meta)
    return Report(
        source=str(source),
        form=origin.form,
        output=str(output),
        kind=ported.kind,
        variant=ported.config.name,
        classes=len(ported.config.classes),
        input_size=ported.config.input_size if ported.kind == "detector" else None,
        tensors=ported.tensors,
        mapped=ported.mapped,
        parameters=ported.parameters,
        dtypes=ported.dtypes,
        left_out=ported.left_out,
        added=ported.added,
        dropped=dropped,
        restored=restored,
        notes=ported.notes,
        sha256=sha256,
        seconds=time.perf_counter() - start,
    )
