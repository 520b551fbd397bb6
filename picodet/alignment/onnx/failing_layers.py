"""Guilty layers of an ONNX model: their subgraphs run again, and their attributes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from picodet.alignment.diagnosis.replay import CallId, FailingLayer, ProducedTensor
from picodet.alignment.onnx.runs import ReferenceFedRun
from picodet.graphs.onnx_reader import attributes_of
from picodet.graphs.operators import Source
from picodet.graphs.tracing import TracedModel
from picodet.models.layers import BatchNorm2d
from picodet.models.picodet import PicoDet

OperatorWithModule = tuple[onnx.NodeProto, nn.Module]  # and the module with the right settings
OPERATORS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("Conv",),
    BatchNorm2d: ("BatchNormalization",),
    nn.MaxPool2d: ("MaxPool",),
    nn.AdaptiveAvgPool2d: ("GlobalAveragePool",),
    nn.Upsample: ("Resize", "Upsample"),
}


@dataclass(frozen=True)
class OnnxFailingLayer(FailingLayer):
    """A guilty layer; `module` is its counterpart in the PyTorch model."""

    run: ReferenceFedRun
    call_index: int  # of run.calls
    operators: tuple[OperatorWithModule, ...]  # of a leaf layer

    def produced_tensors(
        self, module: nn.Module | None = None, dtype: torch.dtype | None = None
    ) -> list[ProducedTensor]:
        """Outputs of the subgraph; `module` and `dtype` change nothing here."""
        call = self.run.calls[self.call_index]
        found = []
        for i, child in enumerate(self.run.calls[: self.call_index]):
            if self.run.caller(i) is call:
                name = child.path.removeprefix(f"{self.path}.")
                found += [
                    ProducedTensor(
                        f"input of {name}", self.run.input_tensor(i, source), self.run.keys[source]
                    )
                    for source in child.inputs
                    if source in self.run.keys
                ]
        return found + [
            ProducedTensor(
                "output", self.run.output_tensor(self.call_index, source), self.run.keys[source]
            )
            for source in call.outputs
            if source in self.run.keys
        ]

    def wrong_setting(self) -> str | None:
        """The attributes of its operators that differ from the module's."""
        wrong = []
        for operator, module in self.operators:
            kind, kinds = operator.op_type, OPERATORS.get(type(module), ())
            if kind not in kinds:
                wrong += [f"{kind}; the reference has {kinds[0]}"] if kinds else []
                continue
            wrong += [
                f"{name} of {kind} is {found}; the reference's is {expected}"
                for name, found, expected in _settings(operator, module)
                if found != expected
            ]
        return " and ".join(wrong) or None

    def variants(self, module: nn.Module | None = None) -> Iterator[tuple[str, nn.Module]]:
        """None: the module is not what is wrong."""
        return iter(())

    def with_reference_weights(self) -> nn.Module | None:
        """None: the weights are the graph's."""
        return None


def onnx_failing_layers(
    run: ReferenceFedRun, model: PicoDet, traced: TracedModel, wanted: Iterable[CallId]
) -> dict[CallId, FailingLayer]:
    """The wanted calls, with the reference's tensors for arguments."""
    found: dict[CallId, FailingLayer] = {}
    for i, call in enumerate(traced.calls):
        key = call.path, call.number
        if key in wanted:
            args = tuple(run.recorded.tensor(run.keys[s]) for s in call.inputs if s in run.keys)
            module = model.get_submodule(call.path)
            leaf = not [*module.children()]
            nodes = (
                tuple(_operators_of(run, model, traced, call.operators[0], module)) if leaf else ()
            )
            found[key] = OnnxFailingLayer(*key, module, args, run.recorded, run, i, nodes)
    return found


def _operators_of(
    run: ReferenceFedRun, model: PicoDet, traced: TracedModel, number: int, module: nn.Module
) -> Iterator[OperatorWithModule]:
    """The ONNX operator of a traced operator; of a folded pair both, if there are two."""
    operator = traced.operators[number]
    before = operator.sources[0]
    if operator.kind == "batch_norm" and before not in run.keys:
        conv = traced.operators[before.operator].weights["weight"].removesuffix(".weight")
        yield from _operators_of(run, model, traced, before.operator, model.get_submodule(conv))
    if before in run.node_mapping.internal:
        return
    node = run.subgraphs.producer(run.node_mapping.tensor_names.get(Source(number), ""))
    partner = run.node_mapping.partners.get(number)
    if partner and partner.kind == "conv":  # its bias may be a separate operator behind it
        weight = partner.weights["weight"]
        convs = (n for n in run.subgraphs.nodes if n.op_type == "Conv" and weight in n.input)
        node = next(convs, node)
    if node is not None:
        yield node, module


def _settings(operator: onnx.NodeProto, module: nn.Module) -> Iterator[tuple[str, Any, Any]]:
    """Name of an attribute, its value, and the right value."""
    found = attributes_of(operator)
    if isinstance(module, nn.Conv2d | nn.MaxPool2d):
        for name, default, expected in _window(module):
            yield name, list(found.get(name, default)), expected
    if isinstance(module, nn.Conv2d):
        yield "group", found.get("group", 1), module.groups
    elif isinstance(module, nn.MaxPool2d):
        yield "ceil_mode", bool(found.get("ceil_mode", 0)), module.ceil_mode
    elif isinstance(module, nn.BatchNorm2d):
        epsilon = float(np.float32(module.eps))
        yield "epsilon", float(f"{found.get('epsilon', 1e-5):.6g}"), float(f"{epsilon:.6g}")
    elif isinstance(module, nn.Upsample):
        yield "mode", found.get("mode", b"nearest").decode(), module.mode


def _window(module: nn.Conv2d | nn.MaxPool2d) -> Iterator[tuple[str, list[int], list[int]]]:
    def pair(value: Any) -> list[int]:
        return [value] * 2 if isinstance(value, int) else list(value)

    kernel = pair(module.kernel_size)
    yield "kernel_shape", kernel, kernel
    yield "strides", [1, 1], pair(module.stride)
    yield "dilations", [1, 1], pair(module.dilation)
    yield "pads", [0] * 4, pair(module.padding) * 2
