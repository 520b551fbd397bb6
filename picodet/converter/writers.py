"""Writes a converted model in any of the output forms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from picodet.converter.converted_model import ConvertedModel
from picodet.converter.match_tensors import UnmatchedTensor
from picodet.converter.names.mmdet_names import mmdet_table
from picodet.converter.names.name_tables import name_table
from picodet.converter.to_paddle import rename_tensors, to_paddle
from picodet.errors import OutputError
from picodet.files import atomic_write, check_new_folder, check_writable
from picodet.formats import huggingface_folder, pdparams_writer
from picodet.models import checkpoint

OutputFormat = Literal["picodet", "mmdet", "ppdet", "huggingface"]
PDPARAMS = ".pdparams"
SUFFIXES: Mapping[str, OutputFormat] = {
    **dict.fromkeys(checkpoint.FORMATS, "picodet"),
    PDPARAMS: "ppdet",
    "": "huggingface",
}


def output_format_of(output: Path, requested: OutputFormat | None) -> OutputFormat:
    """The format of `output`, from its suffix; `requested` only selects the names in a .pth.

    Raises OutputError where the two contradict each other.
    """
    by_suffix = SUFFIXES.get(output.suffix)
    if by_suffix is None:
        raise OutputError(
            f"{output}: the suffix must be one of {', '.join(filter(None, SUFFIXES))}, or none for "
            "a directory in Hugging Face's form"
        )
    if requested is None or requested == by_suffix:
        return by_suffix
    if requested == "mmdet" and output.suffix == ".pth":
        return requested
    suffix = {"mmdet": ".pth", "picodet": ".pth", "ppdet": PDPARAMS, "huggingface": "no suffix"}
    raise OutputError(f"{output}: --to {requested} needs {suffix[requested]}")


def check_output(output: Path, output_format: OutputFormat, overwrite: bool) -> None:
    """Raise OutputError, before any work, where `output` cannot or must not be written."""
    (check_new_folder if output_format == "huggingface" else check_writable)(output, overwrite)


def weights_path(output: Path, output_format: OutputFormat) -> Path:
    """The file that will hold the weights."""
    return output / huggingface_folder.WEIGHTS if output_format == "huggingface" else output


def write(
    converted: ConvertedModel, output: Path, output_format: OutputFormat, meta: Mapping[str, Any]
) -> tuple[tuple[UnmatchedTensor, ...], tuple[UnmatchedTensor, ...]]:
    """Write the file, whole or not at all; returns the dropped and the reconstructed tensors.

    Raises OutputError where it cannot be written, ConversionError where the format has no names
    for the model's tensors.
    """
    if converted.kind == "backbone" and output_format != "picodet":
        raise OutputError(f"{output}: the model is only a backbone; expected .pth or .safetensors")
    if output_format in ("picodet", "huggingface"):
        checkpoint.save(output, converted.weights, meta)
        return (), ()
    config = converted.config
    parts = (config.backbone, config.neck, config.head)
    if output_format == "ppdet":
        paddle = to_paddle(converted.weights, name_table(*parts))
        pdparams_writer.write(output, paddle.arrays)
        return paddle.dropped, paddle.reconstructed
    arrays = rename_tensors(converted.weights, mmdet_table(*parts))
    state_dict = {name: torch.from_numpy(array) for name, array in arrays.items()}
    classes = list(config.classes)
    with atomic_write(output) as temporary, temporary.open("wb") as file:
        torch.save({"meta": {"CLASSES": classes}, "state_dict": state_dict}, file)
    return (), ()
