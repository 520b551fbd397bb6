"""The layers of an ONNX model as LayerCalls, like those of a PyTorch run.

The whole graph is run unchanged. Fed with the reference's tensors it is run in subgraphs: for each
layer from the reference's tensors before it to its own output, for each block what lies between its
layers.
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

MAX_OUTPUTS = 48  # tensors of one run of the whole graph; further runs start from the image again
MISSING = torch.empty(0)  # instead of a tensor that could not be computed, or is not compared


@dataclass(frozen=True)
class WholeGraphRun:
    """The whole graph, run unchanged."""

    subgraphs: Subgraphs
    node_mapping: NodeMapping
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
            self.node_mapping.tensor_names[source]
            for source in sources
            if source in self.node_mapping.tensor_names
        }

    def _run_group(self, calls: Sequence[TracedCall]) -> Iterator[LayerCall]:
        names = sorted(self._names(calls))
        try:
            values = self.subgraphs.run(names, threads=0) if names else []
            computed = dict(zip(names, values, strict=True))
        except SubgraphError as error:
            if len(calls) == 1:
                raise LayerError(calls[0].path, error) from error
            half = len(calls) // 2
            yield from self._run_group(calls[:half])
            yield from self._run_group(calls[half:])
            return
        for call in calls:
            arrays = [
                computed.get(self.node_mapping.tensor_names.get(source, ""))
                for source in call.outputs
            ]
            outputs = [MISSING if array is None else torch.from_numpy(array) for array in arrays]
            yield LayerCall(call.path, call.number, call.type, "", [], outputs)


class ReferenceFedRun:
    """The graph fed with the reference's tensors, so that each layer is judged alone.

    A tensor of the graph may be two of the model's, where an operator between them is missing: for
    the operator that should make the later one it is the earlier one, for all others the later.
    """

    def __init__(
        self,
        subgraphs: Subgraphs,
        node_mapping: NodeMapping,
        calls: Sequence[TracedCall],
        recorded: ReferenceTensors,
    ) -> None:
        self.subgraphs, self.node_mapping, self.calls, self.recorded = (
            subgraphs,
            node_mapping,
            calls,
            recorded,
        )
        self.keys: dict[Source, TensorKey] = {Source(-1): recorded.recording.index.input}
        for call in calls:
            if paired := recorded.calls.get((call.path, call.number)):
                both = ((call.inputs, paired.inputs), (call.outputs, paired.outputs))
                for sources, keys in both:
                    known = zip(sources, keys, strict=False)
                    self.keys |= {source: key for source, key in known if key is not None}
        self.returned = {Source(-1), *(source for call in calls for source in call.outputs)}
        self.holders: dict[
            str, list[Source]
        ] = {}  # by name: the model's tensors that it is, in order
        for source in sorted(self.keys, key=_order):
            if name := node_mapping.tensor_names.get(source):
                self.holders.setdefault(name, []).append(source)

    def layer_calls(self) -> Iterator[LayerCall]:
        """Every call; a tensor that cannot be computed is MISSING."""
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
        """The call that made the call with a number; None for the whole model."""
        path = self.calls[number].path
        later = self.calls[number + 1 :]
        return next((call for call in later if path.startswith(f"{call.path}.")), None)

    def input_tensor(self, number: int, source: Source) -> Tensor:
        """What the caller passes to a call; MISSING if it is not paired. Raises SubgraphError."""
        if source not in self.keys:
            return MISSING
        name = self._input_name(self.calls[number], source)
        caller = self.caller(number)
        passed = caller and source in caller.inputs and self._input_name(caller, source) == name
        if passed or (
            source in self.returned and self.node_mapping.tensor_names.get(source) == name
        ):
            return self._reference(source)  # the layer that made it is judged by it
        return self._value(name, source)

    def output_tensor(self, number: int, source: Source) -> Tensor:
        """What a call returns; MISSING if it is not paired. Raises SubgraphError."""
        if source not in self.keys:
            return MISSING
        call = self.calls[number]
        below = (c for c in self.calls[:number] if c.path.startswith(f"{call.path}."))
        if any(source in c.outputs for c in below):
            return self._reference(source)
        return self._value(self.node_mapping.tensor_names.get(source), source, call)

    def _input_name(self, call: TracedCall, source: Source) -> str | None:
        """The graph's tensor that an operator in the call takes for one of the model's."""
        takers = (self.node_mapping.input_names.get(i, {}) for i in call.operators)
        found = (names[source] for names in takers if source in names)
        return next(found, self.node_mapping.tensor_names.get(source))

    def _reference_inputs(self, call: TracedCall) -> dict[str | None, Source]:
        """The graph's tensors that a call takes, right or wrong, as that depends on its caller.

        Of a folded pair the convolution takes them.
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
            raise SubgraphError("the graph has another structure here; no tensor corresponds")
        if (holder := self._holder(name, target)) is not None:
            return self._reference(holder)

        known = self._reference_inputs(maker) if maker else {}

        def given(name: str) -> np.ndarray | None:
            holder = known.get(name, self._holder(name, target))
            return None if holder is None else self._reference(holder).numpy()

        (array,) = self.subgraphs.run([name], given)
        return torch.from_numpy(array)

    def _holder(self, name: str, target: Source) -> Source | None:
        """The paired tensor that one of the graph stands for, on the way to `target`."""
        before = [s for s in self.holders.get(name, ()) if _order(s) < _order(target)]
        return before[-1] if before else None

    def _reference(self, source: Source) -> Tensor:
        return self.recorded.tensor(self.keys[source])


def _order(source: Source) -> tuple[int, int]:
    return source.operator, source.index


def _or_missing(make: Callable[[int, Source], Tensor], number: int, source: Source) -> Tensor:
    """MISSING where a tensor cannot be computed: its shape fits nowhere, so the layer is guilty."""
    try:
        return make(number, source)
    except SubgraphError:
        return MISSING
