"""A PicoDet -> a file in the form that was asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from picodet.converter.converted_model import Ported
from picodet.converter.match_tensors import OneSided
from picodet.converter.names.mmdet_names import mmdet_table
from picodet.converter.names.name_tables import name_table
from picodet.converter.to_paddle import renamed, to_paddle
from picodet.errors import OutputError
from picodet.files import check_new_folder, check_writable, replacing
from picodet.formats import huggingface_folder, pdparams_writer
from picodet.models import checkpoint

Form = Literal["picodet", "mmdet", "ppdet", "huggingface"]
PDPARAMS = ".pdparams"
SUFFIXES: Mapping[str, Form] = {
    **dict.fromkeys(checkpoint.FORMATS, "picodet"),
    PDPARAMS: "ppdet",
    "": "huggingface",
}


def form_of(output: Path, wanted: Form | None) -> Form:
    """What `output` is to be: its suffix says, and `wanted` only which names a .pth has.

    Raises OutputError where the two contradict each other.
    """
    by_suffix = SUFFIXES.get(output.suffix)
    if by_suffix is None:
        raise OutputError(
            f"{output}: the suffix must be one of {', '.join(filter(None, SUFFIXES))}, or none for "
            "a directory in Hugging Face's form"
        )
    if wanted is None or wanted == by_suffix:
        return by_suffix
    if wanted == "mmdet" and output.suffix == ".pth":
        return wanted
    suffix = {"mmdet": ".pth", "picodet": ".pth", "ppdet": PDPARAMS, "huggingface": "no suffix"}
    raise OutputError(f"{output}: --to {wanted} wants {suffix[wanted]}")


def check(output: Path, form: Form, overwrite: bool) -> None:
    """Raise OutputError where `output` cannot or must not be written; before any work is done."""
    (check_new_folder if form == "huggingface" else check_writable)(output, overwrite)


def holds_weights(output: Path, form: Form) -> Path:
    """The file that the weights are going to be in."""
    return output / huggingface_folder.WEIGHTS if form == "huggingface" else output


def write(
    ported: Ported, output: Path, form: Form, meta: Mapping[str, Any]
) -> tuple[tuple[OneSided, ...], tuple[OneSided, ...]]:
    """Whole or not at all; what the form has no place for, and what it has and our model has not.

    Raises OutputError where it cannot be written, ConversionError where it has no names for it.
    """
    if ported.kind == "backbone" and form != "picodet":
        raise OutputError(f"{output}: a backbone alone is written as .pth or .safetensors")
    if form in ("picodet", "huggingface"):
        checkpoint.save(output, ported.weights, meta)
        return (), ()
    config = ported.config
    parts = (config.backbone, config.neck, config.head)
    if form == "ppdet":
        back = to_paddle(ported.weights, name_table(*parts))
        pdparams_writer.write(output, back.arrays)
        return back.dropped, back.restored
    arrays = renamed(ported.weights, mmdet_table(*parts))
    state_dict = {name: torch.from_numpy(array) for name, array in arrays.items()}
    classes = list(config.classes)
    with replacing(output) as temporary, temporary.open("wb") as file:
        torch.save({"meta": {"CLASSES": classes}, "state_dict": state_dict}, file)
    return (), ()
