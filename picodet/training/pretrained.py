"""Initial weights of a training: ppdet's initialization, then a pretrained backbone or detector.

Of a detector with other classes, the weights of classes with the same name are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from picodet.config import ModelConfig
from picodet.converter.configure import ConvertOptions
from picodet.converter.convert import convert_model
from picodet.converter.converted_model import ConvertedModel
from picodet.errors import TrainingError
from picodet.models.picodet import PicoDet
from picodet.training.init_weights import init_weights

HeadInit = Literal["reuse", "reset"]
MAX_NAMED = 12  # classes in a note
STRUCTURE = ("backbone", "neck", "head", "channels", "head_convs", "reg_max", "activation")


@dataclass(frozen=True)
class InitializedModel:
    """A model to train, and notes on where its weights come from."""

    model: PicoDet
    notes: tuple[str, ...]


def init_model(
    config: ModelConfig, seed: int, weights: Path | None = None, head: HeadInit = "reuse"
) -> InitializedModel:
    """A new model on the CPU, initialized by `seed`, then by a file of pretrained weights if given.

    head: what becomes of a detector with other classes. "reuse" keeps the weights of classes with
    the same name; "reset" re-initializes every predictor of another shape, as ppdet does
    (ppdet/utils/checkpoint.py:199-224). Raises TrainingError if the file holds another network, and
    what convert_model raises.
    """
    model = PicoDet(config)
    init_weights(model, torch.Generator().manual_seed(seed))
    if weights is None:
        return InitializedModel(model, ("from scratch: all weights are initialized as in ppdet",))
    _, ported = convert_model(weights, ConvertOptions())
    tensors = {name: torch.from_numpy(array) for name, array in ported.weights.items()}
    if ported.kind == "backbone":
        _check_same_network(
            weights, {"backbone": config.backbone}, {"backbone": ported.config.backbone}
        )
        model.backbone.load_state_dict(tensors)
        return InitializedModel(
            model, (f"backbone from {weights}; neck and head are initialized as in ppdet",)
        )
    _check_same_network(
        weights, *({part: getattr(c, part) for part in STRUCTURE} for c in (config, ported.config))
    )
    if ported.config.classes == config.classes:
        model.load_state_dict(tensors)
        return InitializedModel(model, (f"all weights from {weights}",))
    return InitializedModel(
        model, (f"weights from {weights}", _transfer_classes(model, ported, tensors, head))
    )


def _check_same_network(
    path: Path, expected: Mapping[str, object], found: Mapping[str, object]
) -> None:
    """Raise TrainingError if the structures differ; a backbone's `name` does not count."""
    for part, value in expected.items():
        nameless = [
            replace(each, name="") if hasattr(each, "name") else each  # type: ignore[type-var]
            for each in (value, found[part])
        ]
        if nameless[0] != nameless[1]:
            raise TrainingError(
                f"{path}: not the network of the recipe: {part} is {found[part]!r}; expected "
                f"{value!r}. picodet-train --print RECIPE shows what a recipe trains"
            )


def _transfer_classes(
    model: PicoDet, ported: ConvertedModel, tensors: dict[str, Tensor], head: HeadInit
) -> str:
    """Load everything but the classes that the file does not have; returns a note on them."""
    new, old = model.config.classes, ported.config.classes
    fresh = model.state_dict()
    shared = [name for name in new if name in old] if head == "reuse" else []
    rows = torch.tensor([new.index(name) for name in shared], dtype=torch.long)
    from_rows = torch.tensor([old.index(name) for name in shared], dtype=torch.long)
    for name, tensor in fresh.items():
        known = tensors[name]
        if known.shape == tensor.shape and (head == "reset" or not _of_classes(model, name)):
            tensor.copy_(known)
        elif head == "reuse":
            tensor[rows] = known[from_rows]
            tensor[len(new) :] = known[len(old) :]  # PicoHead's reg channels, after the classes
    model.load_state_dict(fresh)
    if head == "reset":
        return "predictors of another shape are re-initialized, as in ppdet"
    others = [name for name in new if name not in old]
    return f"classes kept: {_list(shared)}; re-initialized: {_list(others)}"


def _of_classes(model: PicoDet, name: str) -> bool:
    """Whether the first rows of a tensor belong to the classes, a row to each."""
    kind = "classes" if model.config.head == "pico_head_v2" else ""
    return name.startswith(f"head.predictors.{kind}")


def _list(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return (", ".join(names[:MAX_NAMED]) or "none") + more
