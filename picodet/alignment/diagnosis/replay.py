"""A guilty layer, run again by itself with the reference's tensors."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from picodet.alignment.diagnosis import leaf_layers
from picodet.alignment.lockstep_runs import (
    RUN_ERRORS,
    LayerCall,
    LayerHooks,
    clone_sharing_weights,
    substitute_tensors,
    unique_tensors,
)
from picodet.alignment.reference_tensors import ReferenceFeed, ReferenceTensors
from picodet.converter.names.unmatched_tensors import TORCH_ONLY_SUFFIX
from picodet.graphs.operators import TensorKey
from picodet.models.picodet import PicoDet

CallId = tuple[str, int]  # path, number of the call


@dataclass(frozen=True)
class ProducedTensor:
    """A tensor that a layer computed itself: its output, or the input of a layer that it called."""

    where: str  # "output", or "input of conv"
    value: Tensor
    key: TensorKey  # of the reference's


@dataclass(frozen=True)
class FailingLayer:
    """One call of a guilty layer, with the reference's tensors as arguments."""

    path: str
    number: int
    module: nn.Module
    args: Any
    recorded: ReferenceTensors

    def wrong_setting(self) -> str | None:
        """A wrong setting that is visible without trying others; None if there is none."""
        return None

    def variants(self, module: nn.Module | None = None) -> Iterator[tuple[str, nn.Module]]:
        """Copies with one known mistake undone, each with the description of the mistake."""
        yield from leaf_layers.variants(module or self.module)

    def with_reference_weights(self) -> nn.Module | None:
        """A copy with the reference's weights; None where it lacks them or has other shapes."""
        index, paired_names = self.recorded.recording.index, self.recorded.pairing.weights
        keys = {weight.name: weight.key for weight in index.weights}
        module = copy.deepcopy(self.module)
        own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        for name, tensor in own:
            if name == TORCH_ONLY_SUFFIX.removeprefix("."):
                continue
            paired_name = paired_names.get(f"{self.path}.{name}")
            if not isinstance(paired_name, str):
                return None
            reference = self.recorded.tensor(keys[paired_name])
            if reference.shape != tensor.shape:
                return None
            tensor.data.copy_(reference)
        return module

    def produced_tensors(
        self, module: nn.Module | None = None, dtype: torch.dtype | None = None
    ) -> list[ProducedTensor]:
        """Outputs of the layer, or of a changed copy `module`, from the reference's inputs.

        Raises one of RUN_ERRORS where it cannot be run.
        """
        dtype = dtype or unique_tensors(self.args)[0].dtype
        module = copy.deepcopy(module or self.module).to(dtype)
        args = substitute_tensors(
            self.args, {id(t): t.to(dtype) for t in unique_tensors(self.args)}
        )
        found: list[ProducedTensor] = []
        feed = _SubtreeFeed(ReferenceFeed(self.recorded, dtype), self.path)

        def emit(layer_call: LayerCall) -> None:
            if layer_call.caller == "":
                call = self.recorded.calls.get((feed.full_path(layer_call.path), layer_call.number))
                keys = call.inputs if call else ()
                found.extend(
                    ProducedTensor(f"input of {layer_call.path}", value, key)
                    for value, key in zip(layer_call.inputs, keys, strict=False)
                    if key is not None
                )

        with torch.inference_mode(), LayerHooks(module, feed, emit):
            outputs = unique_tensors(module(*args))
        call = self.recorded.calls.get((self.path, self.number))
        found.extend(
            ProducedTensor("output", value, key)
            for value, key in zip(outputs, call.outputs if call else (), strict=False)
            if key is not None
        )
        return found


def failing_layers(
    model: PicoDet, images: Tensor, recorded: ReferenceTensors, wanted: Iterable[CallId]
) -> dict[CallId, FailingLayer]:
    """The wanted calls with their arguments, from one run that is fed the reference's tensors."""
    clone = clone_sharing_weights(model)
    found: dict[CallId, FailingLayer] = {}
    paths = {path for path, _ in wanted}
    numbers: dict[str, int] = {}
    feed = ReferenceFeed(recorded, images.dtype)
    with torch.inference_mode(), LayerHooks(clone, feed, lambda _: None):
        for path in paths:

            def keep(module: nn.Module, args: Any, path: str = path) -> None:
                number = numbers[path] = numbers.get(path, -1) + 1
                found[path, number] = FailingLayer(
                    path, number, model.get_submodule(path), args, recorded
                )

            clone.get_submodule(path).register_forward_pre_hook(keep)
        with suppress(*RUN_ERRORS):  # layers behind one that cannot be run stay unexamined
            clone(images)
    return found


@dataclass(frozen=True)
class _SubtreeFeed:
    """A feed for the layers below `path`, by paths relative to it."""

    feed: ReferenceFeed
    path: str

    def full_path(self, path: str) -> str:
        return f"{self.path}.{path}" if self.path else path

    def inputs(self, path: str, number: int) -> list[Tensor | None]:
        return self.feed.inputs(self.full_path(path), number)

    def outputs(self, path: str, number: int) -> list[Tensor | None]:
        return self.feed.outputs(self.full_path(path), number)
