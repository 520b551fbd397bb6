"""Traces picodet's model: its operators, in the kinds of graph.py, and its calls of layers."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from picodet.config import ModelConfig
from picodet.graphs.operators import Operator, Source
from picodet.models.layers import BatchNorm2d, channel_shuffle, hard_sigmoid
from picodet.models.lcnet import HardSigmoid
from picodet.models.picodet import PicoDet

MODULE_KINDS = {
    nn.Conv2d: "conv",
    BatchNorm2d: "batch_norm",
    nn.Hardswish: "hardswish",
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.LeakyReLU: "leaky_relu",
    HardSigmoid: "hardsigmoid",
    nn.MaxPool2d: "max_pool",
    nn.AdaptiveAvgPool2d: "avg_pool",  # global
    nn.AvgPool2d: "other_avg_pool",
    nn.Upsample: "upsample",
}
FUNCTION_KINDS: dict[Any, str] = {
    F.hardswish: "hardswish",
    F.relu: "relu",
    F.relu6: "relu6",
    F.leaky_relu: "leaky_relu",
    torch.sigmoid: "sigmoid",
    hard_sigmoid: "hardsigmoid",
    F.max_pool2d: "max_pool",
    F.adaptive_avg_pool2d: "avg_pool",
    channel_shuffle: "shuffle",
    torch.cat: "concat",
    operator.mul: "mul",
    operator.add: "add",
    "chunk": "split",  # tensor methods
    "split": "split",
}
WEIGHT_ROLES = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class TracedCall:
    """One call of one layer, leaf or block, with its inputs and outputs."""

    path: str
    number: int  # index among the calls of this layer
    type: str
    inputs: tuple[Source, ...]
    outputs: tuple[Source, ...]
    operators: range  # indices of those that run during the call


@dataclass(frozen=True)
class TracedModel:
    """A traced model. Operators' `outputs` are empty; weights have picodet's names."""

    operators: tuple[Operator, ...]
    calls: tuple[TracedCall, ...]  # in the order in which they return
    shapes: dict[str, tuple[int, ...]]  # of the state_dict


def trace(config: ModelConfig) -> TracedModel:
    """Trace the model that this package builds from a config, without weights."""
    with torch.device("meta"):  # needs no memory for whatever sizes a file claims
        model = PicoDet(config)
    tracer = _Tracer()
    graph = tracer.trace(model)
    sources: dict[fx.Node, Source] = {}
    operators: list[Operator] = []
    before = [0]  # number of operators before each node, and in all
    for node in graph.nodes:
        if node.op == "placeholder":
            sources[node] = Source(-1)
        elif node.target is operator.getitem:
            whole, index = node.args
            sources[node] = Source(sources[whole].operator, index)
        elif kind := _kind(model, node):
            arguments: list[fx.Node] = []
            fx.node.map_arg((node.args, node.kwargs), arguments.append)
            inputs = tuple(sources[before] for before in arguments)
            sources[node] = Source(len(operators))
            operators.append(Operator(kind, node.name, inputs, (), _weights(model, node)))
        before.append(len(operators))
    numbers: dict[str, int] = {}
    calls = []
    for path, layer_type, given, returned, start, stop in tracer.calls:
        numbers[path] = numbers.get(path, -1) + 1
        inputs, outputs = (_sources_in(value, sources) for value in (given, returned))
        within = range(before[start], before[stop])
        calls.append(TracedCall(path, numbers[path], layer_type, inputs, outputs, within))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return TracedModel(tuple(operators), tuple(calls), shapes)


class _Tracer(fx.Tracer):
    """Traces into blocks, not into leaves, and records every call of both when it returns."""

    def __init__(self) -> None:
        super().__init__(autowrap_functions=(channel_shuffle, hard_sigmoid))
        self.calls: list[tuple[str, str, Any, Any, int, int]] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in MODULE_KINDS

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        start = len(self.graph.nodes)
        returned = super().call_module(m, forward, args, kwargs)
        arguments, stop = (args, tuple(kwargs.values())), len(self.graph.nodes)
        path = self.path_of_module(m)
        self.calls.append((path, type(m).__name__, arguments, returned, start, stop))
        return returned


def _kind(model: nn.Module, node: fx.Node) -> str | None:
    """The kind of a node's operator; None for the output and the tuple around it."""
    if node.op == "call_module":
        return MODULE_KINDS[type(model.get_submodule(str(node.target)))]
    if node.op == "output" or isinstance(node.target, type):
        return None
    if node.target not in FUNCTION_KINDS:
        raise NotImplementedError(f"{node.target} in the model has no kind among operators")
    return FUNCTION_KINDS[node.target]


def _weights(model: nn.Module, node: fx.Node) -> dict[str, str]:
    if node.op != "call_module":
        return {}
    layer = model.get_submodule(str(node.target))
    return {
        role: f"{node.target}.{role}"
        for role in WEIGHT_ROLES
        if getattr(layer, role, None) is not None
    }


def _sources_in(value: Any, sources: Mapping[fx.Node, Source]) -> tuple[Source, ...]:
    """The tensors in a layer's inputs or outputs, each once."""
    found: dict[Source, None] = {}

    def search(value: Any) -> None:
        if isinstance(value, fx.Proxy):
            found[sources[value.node]] = None
        elif isinstance(value, tuple | list):
            for item in value:
                search(item)

    search(value)
    return tuple(found)
