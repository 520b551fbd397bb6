"""Opens the detector in a file of any form, to run or to export it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picodet.config import NMSSettings, check_input_size
from picodet.converter import bins
from picodet.converter.configure import ConvertOptions
from picodet.converter.convert import convert_model
from picodet.converter.converted_model import IncompleteError
from picodet.converter.sources import TORCH_SUFFIXES
from picodet.errors import CheckpointError
from picodet.formats import huggingface_folder
from picodet.formats.shards import weights_sha256
from picodet.formats.torch_files import read_torch
from picodet.models import checkpoint
from picodet.models.picodet import PicoDet


@dataclass(frozen=True)
class Detector:
    """A model in eval mode on the CPU, its origin, and notes on what was assumed."""

    model: PicoDet
    origin: dict[str, Any]  # `source` and `sha256`; the meta of a file that picodet wrote
    notes: tuple[str, ...]  # what was assumed
    nms: NMSSettings | None = None  # that a folder states


def open_detector(path: Path, input_size: tuple[int, int] | None = None) -> Detector:
    """Open a detector. input_size: (height, width), for files that do not state it.

    Raises CheckpointError for a file that holds no detector, and what `convert_model` raises.
    """
    if input_size is not None:
        try:
            check_input_size(input_size)
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}") from error
    if _is_picodet_file(path):
        model, meta = checkpoint.load_with_meta(path)
        return Detector(model, meta, bins.notes(model.head.integral.project.numpy()))
    try:
        origin, converted = convert_model(path, ConvertOptions(input_size=input_size))
    except IncompleteError as error:
        first, *others = error.problems
        more = f", and {len(others)} more" if others else ""
        raise CheckpointError(
            f"{path}: incomplete PicoDet checkpoint: {first.kind} {first.name}{more}; "
            "picodet-convert lists all problems"
        ) from error
    if converted.kind != "detector":
        raise CheckpointError(f"{path}: holds only a backbone; expected a detector")
    model = checkpoint.model_with_weights(
        origin.path, converted.weights, lambda: PicoDet(converted.config)
    )
    described = {"source": origin.path.name, "sha256": weights_sha256(origin.path)}
    return Detector(model, described, converted.notes, converted.nms)


def _is_picodet_file(path: Path) -> bool:
    """Whether picodet wrote it: such a file describes itself completely."""
    if path.is_dir():
        return huggingface_folder.is_hub_folder(path)
    return path.suffix in TORCH_SUFFIXES and path.is_file() and read_torch(path).meta is not None
