"""Planted faults, and functions that make them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from unittest.mock import patch

import torch
from torch import nn

from benchmarks.fault_injection import wrong_layers as layers
from picodet.models.picodet import PicoDet

# the reference: ppdet; an export of raw heads, which has no values of the bins; ppdet with the
# weights of a file that has class names
ReferenceKind = Literal["ppdet", "raw heads", "names"]


@dataclass(frozen=True)
class Fault:
    """One mistake, and where a comparison must find it."""

    name: str
    stages: tuple[str, ...]  # that must differ; "heads" may differ too, where layers do
    places: tuple[str, ...]  # allowed paths or types of guilty layers, or starts of findings' names
    edit: Callable[[PicoDet], None] = lambda model: None
    patches: dict[str, Any] = field(default_factory=dict)  # names below picodet: substitutes
    float64: bool = False  # only visible in float64
    reference_kind: ReferenceKind = "ppdet"

    @contextmanager
    def planted(self, model: PicoDet) -> Iterator[None]:
        """Change `model` for good, and patch picodet's functions until the block ends."""
        with torch.no_grad():
            self.edit(model)
        with ExitStack() as stack:
            for target, substitute in self.patches.items():
                stack.enter_context(patch(f"picodet.{target}", substitute))
            yield


# how faults are made


def weight_fault(name: str, path: str, change: Callable[[Any], object]) -> Fault:
    """A fault in a tensor of one layer."""

    def edit(model: PicoDet) -> None:
        change(model.get_submodule(path))

    return Fault(name, ("weights", "layers"), (path,), edit)


def forward_fault(
    name: str, path: str, replacement: Callable[..., Any], float64: bool = False
) -> Fault:
    """A fault in the code of one layer; `path` is "" for the whole model."""

    def edit(model: PicoDet) -> None:
        layer = model.get_submodule(path)
        kind = type(layer)
        layer.__class__ = type(kind.__name__, (kind,), {"forward": replacement})

    return Fault(name, ("layers",), (path,), edit, float64=float64)


def attribute_fault(name: str, *paths: str, float64: bool = False, **attributes: Any) -> Fault:
    """A fault in attributes of one or several layers."""

    def edit(model: PicoDet) -> None:
        for path in paths:
            for attribute, value in attributes.items():
                setattr(model.get_submodule(path), attribute, value)

    return Fault(name, ("layers",), paths, edit, float64=float64)


def replaced_layer(name: str, path: str, make: Callable[[], nn.Module]) -> Fault:
    """A fault that replaces a layer by one of another type."""

    def edit(model: PicoDet) -> None:
        owner, _, leaf = path.rpartition(".")
        setattr(model.get_submodule(owner), leaf, make().eval())

    return Fault(name, ("layers",), (path,), edit)


def postprocessing_fault(name: str, stage: str, **substitutes: Any) -> Fault:
    """A fault in a step after the network."""
    module = "ops.decode" if stage == "decoding" else "ops.postprocess"
    return Fault(name, (stage,), (), patches={f"{module}.{k}": v for k, v in substitutes.items()})


def preprocessing_fault(name: str, place: str, **substitutes: Any) -> Fault:
    """A fault in a preprocessing step; `place` is the first step that differs."""
    patches = {f"data.preprocess.{k}": v for k, v in substitutes.items()}
    return Fault(name, ("preprocessing",), (place, "probe"), patches=patches)


def preprocessing_numbers(
    name: str, places: tuple[str, ...], change: Callable[[Any], dict[str, Any]]
) -> Fault:
    """A fault in the preprocessing settings of the model's config."""

    def edit(model: PicoDet) -> None:
        old = model.config.preprocessing
        model.config = replace(model.config, preprocessing=replace(old, **change(old)))

    return Fault(name, ("preprocessing",), places, edit)


def integral_fault(name: str, **changes: Any) -> Fault:
    """A fault in the head's Integral, which decoding calls."""
    path = "head.integral"
    return replace(
        forward_fault(name, path, layers.integral(**changes)), stages=("decoding",), places=()
    )


def bins_fault(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Fault:
    """A fault in the values of the bins, which the reference does not have."""

    def edit(model: PicoDet) -> None:
        project = model.head.integral.project
        project.copy_(change(project))

    places = ("head.integral.project", "probe: boxes")
    return Fault(name, ("weights", "decoding"), places, edit, reference_kind="raw heads")


def class_names_fault(name: str, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Fault:
    """A fault in the class names."""

    def edit(model: PicoDet) -> None:
        model.config = replace(model.config, classes=change(model.config.classes))

    return Fault(name, ("heads",), ("names of the classes",), edit, reference_kind="names")
