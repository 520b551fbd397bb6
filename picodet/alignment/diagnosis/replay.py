"""One guilty layer, called once more by itself with the reference's tensors."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from picodet.alignment.diagnosis import leaf_layers
from picodet.alignment.lockstep_runs import BROKEN, Event, Hooked, exchanged, tensors, twin
from picodet.alignment.reference_tensors import ReferenceFeed, ReferenceTensors
from picodet.converter.names.unmatched_tensors import TORCH_ONLY_SUFFIX
from picodet.graphs.operators import Key
from picodet.models.picodet import PicoDet

CallId = tuple[str, int]  # path, number of the call


@dataclass(frozen=True)
class Doing:
    """A tensor that a layer made itself: put out, or gave to a layer that it called."""

    where: str
    made: Tensor
    key: Key  # of the reference's


@dataclass(frozen=True)
class Suspect:
    """A layer, what the reference fed it with, and where the reference's tensors are."""

    path: str
    number: int
    module: nn.Module
    args: Any
    recorded: ReferenceTensors

    def setting(self) -> str | None:
        """A wrong setting that can be seen without trying others."""
        return None

    def changed(self, module: nn.Module | None = None) -> Iterator[tuple[str, nn.Module]]:
        """The usual mistakes undone, one by one, and what each would be called."""
        yield from leaf_layers.changed(module or self.module)

    def repaired(self) -> nn.Module | None:
        """A copy with the reference's weights; None where it does not hold them as they are."""
        index, places = self.recorded.recording.index, self.recorded.pairing.weights
        keys = {weight.name: weight.key for weight in index.weights}
        module = copy.deepcopy(self.module)
        own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        for name, tensor in own:
            if name == TORCH_ONLY_SUFFIX.removeprefix("."):
                continue
            place = places.get(f"{self.path}.{name}")
            if not isinstance(place, str):
                return None
            theirs = self.recorded.tensor(keys[place])
            if theirs.shape != tensor.shape:
                return None
            tensor.data.copy_(theirs)
        return module

    def doings(
        self, module: nn.Module | None = None, dtype: torch.dtype | None = None
    ) -> list[Doing]:
        """What the layer, or a changed copy of it, makes of the reference's tensors.

        Raises whatever a layer raises that cannot be run.
        """
        dtype = dtype or tensors(self.args)[0].dtype
        module = copy.deepcopy(module or self.module).to(dtype)
        args = exchanged(self.args, {id(t): t.to(dtype) for t in tensors(self.args)})
        found: list[Doing] = []
        feed = _Below(ReferenceFeed(self.recorded, dtype), self.path)

        def hand_over(event: Event) -> None:
            if event.caller == "":
                call = self.recorded.calls.get((feed.full(event.path), event.number))
                keys = call.inputs if call else ()
                found.extend(
                    Doing(f"input of {event.path}", made, key)
                    for made, key in zip(event.inputs, keys, strict=False)
                    if key is not None
                )

        with torch.inference_mode(), Hooked(module, feed, hand_over):
            outputs = tensors(module(*args))
        call = self.recorded.calls.get((self.path, self.number))
        found.extend(
            Doing("output", made, key)
            for made, key in zip(outputs, call.outputs if call else (), strict=False)
            if key is not None
        )
        return found


def suspects(
    model: PicoDet, images: Tensor, recorded: ReferenceTensors, wanted: Iterable[CallId]
) -> dict[CallId, Suspect]:
    """The wanted calls with their arguments, from one run that is fed by the reference."""
    own = twin(model)
    found: dict[CallId, Suspect] = {}
    paths = {path for path, _ in wanted}
    numbers: dict[str, int] = {}
    feed = ReferenceFeed(recorded, images.dtype)
    with torch.inference_mode(), Hooked(own, feed, lambda _: None):
        for path in paths:

            def keep(module: nn.Module, args: Any, path: str = path) -> None:
                number = numbers[path] = numbers.get(path, -1) + 1
                found[path, number] = Suspect(
                    path, number, model.get_submodule(path), args, recorded
                )

            own.get_submodule(path).register_forward_pre_hook(keep)
        with suppress(*BROKEN):  # what comes after a layer that cannot be run cannot be asked
            own(images)
    return found


@dataclass(frozen=True)
class _Below:
    """A feed for the layers below one path, by their names from there."""

    feed: ReferenceFeed
    path: str

    def full(self, path: str) -> str:
        return f"{self.path}.{path}" if self.path else path

    def inputs(self, path: str, number: int) -> list[Tensor | None]:
        return self.feed.inputs(self.full(path), number)

    def outputs(self, path: str, number: int) -> list[Tensor | None]:
        return self.feed.outputs(self.full(path), number)
