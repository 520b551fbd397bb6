"""An ONNX model's layers as events, like those of a run of ours.

As a whole it is run as it is. Fed with the reference's tensors it is run piece by piece: of each
layer what the graph has between the reference's tensors before it and its own output, of each
block what the graph has between its children.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.lockstep_runs import LayerCall, LayerError
from picodet.alignment.onnx.subgraph import SubgraphError, Subgraphs
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.graphs.node_mapping import NodeMapping
from picodet.graphs.operators import Source, TensorKey
from picodet.graphs.tracing import TracedCall

MAX_OUTPUTS = (
    48  # tensors that one run of the whole gives; each further run begins from the picture
)
MISSING = torch.empty(0)  # in place of a tensor that could not be made, or that nobody asks for


@dataclass(frozen=True)
class WholeGraphRun:
    """The whole graph, run as it is."""

    subgraphs: Subgraphs
    places: NodeMapping
    calls: Sequence[TracedCall]

    def layer_calls(self) -> Iterator[LayerCall]:
        """Raises LayerError at the first layer that cannot be run."""
        group: list[TracedCall] = []
        names: set[str] = set()
        for call in self.calls:
            group.append(call)
            names |= self._names([call])
            if len(names) >= MAX_OUTPUTS:
                yield from self._run_group(group)
                group, names = [], set()
        yield from self._run_group(group)

    def _names(self, calls: Sequence[TracedCall]) -> set[str]:
        sources = (source for call in calls for source in call.outputs)
        return {
            self.places.tensor_names[source]
            for source in sources
            if source in self.places.tensor_names
        }

    def _run_group(self, calls: Sequence[TracedCall]) -> Iterator[LayerCall]:
        names = sorted(self._names(calls))
        try:
            values = self.subgraphs.run(names, threads=0) if names else []
            made = dict(zip(names, values, strict=True))
        except SubgraphError as error:
            if len(calls) == 1:
                raise LayerError(calls[0].path, error) from error
            half = len(calls) // 2
            yield from self._run_group(calls[:half])
            yield from self._run_group(calls[half:])
            return
        for call in calls:
            arrays = [made.get(self.places.tensor_names.get(source, "")) for source in call.outputs]
            outputs = [MISSING if array is None else torch.from_numpy(array) for array in arrays]
            yield LayerCall(call.path, call.number, call.type, "", [], outputs)


class ReferenceFedRun:
    """The same graph with the reference's tensors, so that each layer answers for itself alone.

    A tensor of the graph may be two of ours, where an operator between them is missing: then it is
    the earlier one to whoever makes the later, and the later one to everybody else.
    """

    def __init__(
        self,
        subgraphs: Subgraphs,
        places: NodeMapping,
        calls: Sequence[TracedCall],
        recorded: ReferenceTensors,
    ) -> None:
        self.subgraphs, self.places, self.calls, self.recorded = subgraphs, places, calls, recorded
        self.keys: dict[Source, TensorKey] = {Source(-1): recorded.recording.index.input}
        for call in calls:
            if paired := recorded.calls.get((call.path, call.number)):
                both = ((call.inputs, paired.inputs), (call.outputs, paired.outputs))
                for sources, keys in both:
                    known = zip(sources, keys, strict=False)
                    self.keys |= {source: key for source, key in known if key is not None}
        self.returned = {Source(-1), *(source for call in calls for source in call.outputs)}
        self.holders: dict[str, list[Source]] = {}  # by name: what it is of ours, in order
        for source in sorted(self.keys, key=_order):
            if name := places.tensor_names.get(source):
                self.holders.setdefault(name, []).append(source)

    def layer_calls(self) -> Iterator[LayerCall]:
        for i, call in enumerate(self.calls):
            caller = self.caller(i)
            yield LayerCall(
                call.path,
                call.number,
                call.type,
                caller.path if caller else "",
                [_or_missing(self.input_tensor, i, source) for source in call.inputs],
                [_or_missing(self.output_tensor, i, source) for source in call.outputs],
            )

    def caller(self, number: int) -> TracedCall | None:
        """Of a call by its number; None for the whole model."""
        path = self.calls[number].path
        later = self.calls[number + 1 :]
        return next((call for call in later if path.startswith(f"{call.path}.")), None)

    def input_tensor(self, number: int, source: Source) -> Tensor:
        """What the caller gives to a call. Raises PieceError."""
        if source not in self.keys:
            return MISSING
        name = self._input_name(self.calls[number], source)
        caller = self.caller(number)
        passed = caller and source in caller.inputs and self._input_name(caller, source) == name
        if passed or (source in self.returned and self.places.tensor_names.get(source) == name):
            return self._reference(source)  # whoever made it has answered for it
        return self._value(name, source)

    def output_tensor(self, number: int, source: Source) -> Tensor:
        """What a call returns. Raises PieceError."""
        if source not in self.keys:
            return MISSING
        call = self.calls[number]
        below = (c for c in self.calls[:number] if c.path.startswith(f"{call.path}."))
        if any(source in c.outputs for c in below):
            return self._reference(source)
        return self._value(self.places.tensor_names.get(source), source, call)

    def _input_name(self, call: TracedCall, source: Source) -> str | None:
        """What the graph has where an operator in the call takes a tensor of ours."""
        takers = (self.places.input_names.get(i, {}) for i in call.operators)
        found = (names[source] for names in takers if source in names)
        return next(found, self.places.tensor_names.get(source))

    def _reference_inputs(self, call: TracedCall) -> dict[str | None, Source]:
        """What the graph has where a call takes a tensor: right or wrong is its caller's doing.

        Of a folded pair it is the convolution that takes one.
        """
        known = {}
        for source in call.inputs:
            if source in self.keys:
                known[self._input_name(call, source)] = source
            else:
                for before in self.calls:
                    known |= self._reference_inputs(before) if source in before.outputs else {}
        return known

    def _value(self, name: str | None, target: Source, maker: TracedCall | None = None) -> Tensor:
        if name is None:
            raise SubgraphError(
                "it has another structure here; what takes its place cannot be told"
            )
        if (holder := self._holder(name, target)) is not None:
            return self._reference(holder)

        known = self._reference_inputs(maker) if maker else {}

        def given(name: str) -> np.ndarray | None:
            holder = known.get(name, self._holder(name, target))
            return None if holder is None else self._reference(holder).numpy()

        (array,) = self.subgraphs.run([name], given)
        return torch.from_numpy(array)

    def _holder(self, name: str, target: Source) -> Source | None:
        """Which tensor of the reference's stands for one of the graph, on the way to `target`."""
        before = [s for s in self.holders.get(name, ()) if _order(s) < _order(target)]
        return before[-1] if before else None

    def _reference(self, source: Source) -> Tensor:
        return self.recorded.tensor(self.keys[source])


def _order(source: Source) -> tuple[int, int]:
    return source.operator, source.index


def _or_missing(make: Callable[[int, Source], Tensor], number: int, source: Source) -> Tensor:
    """What cannot be made has no shape that fits, and its layer is guilty."""
    try:
        return make(number, source)
    except SubgraphError:
        return MISSING
