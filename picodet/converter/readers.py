"""Reads any file or folder that holds a PicoDet."""

import json
from dataclasses import replace
from pathlib import Path

from picodet.converter.configure import FileHints
from picodet.converter.paddle_checkpoints import WeightSet, read_checkpoint, read_training_folder
from picodet.converter.sources import TORCH_SUFFIXES, GraphSource, Origin, StateDictSource
from picodet.converter.torch_checkpoints import read_torch_weights
from picodet.errors import CheckpointError
from picodet.files import unreadable_reason
from picodet.formats import huggingface_folder
from picodet.formats.foreign_files import foreign_format
from picodet.formats.inference_folder import is_inference_folder
from picodet.formats.meta import META_KEY, bins_from_meta, config_from_meta
from picodet.formats.shards import find_index, is_index
from picodet.system.extras import import_error_message
from picodet.zoo.class_names import class_names_in_metadata

FORMS = (
    "a .pdparams or .pdema of ppdet, a training folder, a Paddle inference folder, an .onnx, a "
    ".pth or .safetensors (of picodet, of the mmdet port, or a state_dict), a directory in "
    "Hugging Face's form, or an index of several .safetensors"
)
PROGRAM_PARTS = (".pdmodel", ".json", ".pdiparams")


def open_source(path: Path, weight_set: WeightSet | None = None) -> StateDictSource | GraphSource:
    """Read a source of any form. weight_set: "ema" or "raw", where it has both.

    Raises CheckpointError or GraphError where it has none of the forms, or is damaged.
    """
    if path.is_dir():
        return _open_folder(path, weight_set)
    if reason := unreadable_reason(path):
        raise CheckpointError(f"{path}: {reason}; expected {FORMS}")
    _refuse_foreign(path)
    if path.suffix in TORCH_SUFFIXES or is_index(path):
        return read_torch_weights(path, weight_set)
    if path.suffix == ".onnx" or path.suffix in PROGRAM_PARTS:
        _refuse_weight_set(path, weight_set)
        return _open_onnx(path) if path.suffix == ".onnx" else _open_program(path.parent)
    if path.suffix == ".pdopt":
        raise CheckpointError(f"{path}: the state of an optimizer; give the .pdparams beside it")
    return read_checkpoint(path, weight_set)


def _open_folder(path: Path, weight_set: WeightSet | None) -> StateDictSource | GraphSource:
    if huggingface_folder.is_hub_folder(path):
        _refuse_weight_set(path, weight_set)
        return read_torch_weights(path, None)
    if is_inference_folder(path):
        _refuse_weight_set(path, weight_set)
        return _open_program(path)
    if any(path.glob("*.pdparams")):
        return read_training_folder(path, weight_set)
    if (index := find_index(path)) is not None:
        return read_torch_weights(index, weight_set)
    for file in sorted(path.iterdir()):
        if file.is_file():
            _refuse_foreign(file)
    found = ", ".join(sorted(p.name for p in path.iterdir())[:5]) or "nothing"
    raise CheckpointError(f"{path}: holds {found}; expected {FORMS}")


def _refuse_foreign(path: Path) -> None:
    """Raise CheckpointError for a file of another program, whose weights are not read."""
    if name := foreign_format(path):
        raise CheckpointError(
            f"{path}: {name}, whose weights are not read; expected what it was made of: {FORMS}"
        )


def _open_program(folder: Path) -> GraphSource:
    from picodet.graphs.inference_folder import read_folder, stated_nms, stated_size  # noqa: PLC0415 (protobuf takes a tenth of a second)

    read = read_folder(folder)
    size, note = stated_size(read.program, read.settings)
    hints = FileHints(folder.resolve().name, size)
    notes: tuple[str, ...] = (note,) if note else ()
    if (settings := read.settings) is not None:
        hints = replace(
            hints,
            classes=settings.labels,
            preprocessing=settings.preprocessing,
            model_name=settings.model_name,
        )
        notes += settings.notes
    form = f"Paddle inference folder ({read.file.suffix})"
    origin = Origin(read.weights, form, notes)
    return GraphSource(
        origin,
        read.program.graph,
        hints,
        ppdet_names=read.structured_names,
        nms=stated_nms(read.program, read.settings),
    )


def _open_onnx(path: Path) -> GraphSource:
    try:
        from picodet.graphs.onnx_reader import input_shape, read_onnx  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise CheckpointError(f"{path}: {import_error_message(error)}") from error
    proto, graph = read_onnx(path)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    *_, height, width = (None, None, *input_shape(proto.graph, graph.inputs[0]))
    size = (height, width) if height and width else None
    try:
        meta = json.loads(metadata[META_KEY]) if META_KEY in metadata else None
        config = config_from_meta(meta) if meta is not None else None
        bins = bins_from_meta(meta) if meta is not None else None
        if config and bins and len(bins) != config.reg_max + 1:
            raise ValueError(f"project has {len(bins)} values, reg_max is {config.reg_max}")
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: invalid metadata {META_KEY}: {type(error).__name__} {error}; export it again"
        ) from error
    hints = FileHints(path.stem, size, class_names_in_metadata(metadata))
    return GraphSource(Origin(path, "ONNX"), graph, hints, config, bins)


def _refuse_weight_set(path: Path, weight_set: WeightSet | None) -> None:
    if weight_set is not None:
        raise CheckpointError(
            f"{path}: --weight-set {weight_set} is for training checkpoints, which hold EMA and "
            "raw weights; an export has one set: leave the option out"
        )
