"""Any file or folder that holds a PicoDet -> what is in it."""

import json
from pathlib import Path

from picodet.converter.configure import Said
from picodet.converter.paddle_checkpoints import Which, read_checkpoint, read_training_folder
from picodet.converter.sources import TORCH, DrawnTensors, NamedTensors, Origin
from picodet.converter.torch_checkpoints import read_torch_weights
from picodet.errors import CheckpointError
from picodet.files import problem
from picodet.formats import huggingface_folder
from picodet.formats.inference_folder import is_inference_folder
from picodet.formats.meta import HEADER, bins_of, config_of
from picodet.formats.shards import index_in, is_index
from picodet.system.extras import why
from picodet.zoo.class_names import listed_in

FORMS = (
    "a .pdparams or .pdema of ppdet, a training's folder, a Paddle inference folder, an .onnx, a "
    ".pth or .safetensors (of picodet, of the mmdet port, or a state_dict), or a directory in "
    "Hugging Face's form, or an index of several .safetensors"
)
PROGRAM_PARTS = (".pdmodel", ".json", ".pdiparams")


def open_source(path: Path, which: Which | None = None) -> NamedTensors | DrawnTensors:
    """Read it. which: of averaged and raw weights, where both are there.

    Raises CheckpointError or GraphError where it is none of the forms, or damaged.
    """
    if path.is_dir():
        return _open_folder(path, which)
    if trouble := problem(path):
        raise CheckpointError(f"{path}: {trouble}; expected is {FORMS}")
    if path.suffix in TORCH or is_index(path):
        return read_torch_weights(path, which)
    if path.suffix == ".onnx" or path.suffix in PROGRAM_PARTS:
        _refuse_which(path, which)
        return _open_onnx(path) if path.suffix == ".onnx" else _open_program(path.parent)
    if path.suffix == ".pdopt":
        raise CheckpointError(f"{path}: the optimiser's state; the weights are in a .pdparams")
    return read_checkpoint(path, which)


def _open_folder(path: Path, which: Which | None) -> NamedTensors | DrawnTensors:
    if huggingface_folder.is_hub_folder(path):
        _refuse_which(path, which)
        return read_torch_weights(path, None)
    if is_inference_folder(path):
        _refuse_which(path, which)
        return _open_program(path)
    if any(path.glob("*.pdparams")):
        return read_training_folder(path, which)
    if (index := index_in(path)) is not None:
        return read_torch_weights(index, which)
    found = ", ".join(sorted(p.name for p in path.iterdir())[:5]) or "nothing"
    raise CheckpointError(f"{path}: holds {found}; expected is {FORMS}")


def _open_program(folder: Path) -> DrawnTensors:
    from picodet.graphs.inference_folder import read_folder  # noqa: PLC0415 (protobuf takes a tenth of a second)

    read = read_folder(folder)
    said = Said(folder.resolve().name)
    if (settings := read.settings) is not None:
        said = Said(said.name, settings.size, settings.labels, settings.preprocessing)
    origin = Origin(read.weights, f"Paddle inference folder ({read.file.suffix})")
    return DrawnTensors(origin, read.program.graph, said, told=read.structured_names)


def _open_onnx(path: Path) -> DrawnTensors:
    try:
        from picodet.graphs.onnx_reader import read_onnx, sides  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise CheckpointError(f"{path}: {why(error)}") from error
    proto, graph = read_onnx(path)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    *_, height, width = (None, None, *sides(proto.graph, graph.inputs[0]))
    size = (height, width) if height and width else None
    try:
        meta = json.loads(metadata[HEADER]) if HEADER in metadata else None
        config = config_of(meta) if meta is not None else None
        bins = bins_of(meta) if meta is not None else None
        if config and bins and len(bins) != config.reg_max + 1:
            raise ValueError(f"project has {len(bins)} values, reg_max is {config.reg_max}")
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: its metadata {HEADER} is not ours: {type(error).__name__} {error}"
        ) from error
    said = Said(path.stem, size, listed_in(metadata))
    return DrawnTensors(Origin(path, "ONNX"), graph, said, config, bins)


def _refuse_which(path: Path, which: Which | None) -> None:
    if which is not None:
        raise CheckpointError(
            f"{path}: --weights {which} is for training checkpoints, which hold averaged and raw "
            "weights; an export holds the ones it was made of"
        )
