"""Checks that a graph's operators have the attributes of the layers they were matched to.

Operator kinds and weights are compared when the graph is matched; stride, padding, dilation,
groups, epsilon and the slope of hard sigmoids are compared here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from picodet.config import ModelConfig
from picodet.errors import GraphError
from picodet.graphs.graph import Graph
from picodet.graphs.node_mapping import NodeMapping
from picodet.graphs.tracing import TracedModel
from picodet.models.layers import HARD_SIGMOID_SLOPE, LEAKY_RELU_SLOPE, SqueezeExcite
from picodet.models.picodet import PicoDet

RELATIVE_TOLERANCE = 1e-3  # a float32 that was written as a decimal counts as the same number


def check_attributes(
    config: ModelConfig, traced: TracedModel, node_mapping: NodeMapping, graph: Graph
) -> None:
    """Raise GraphError for the first operator whose attributes differ from the model's layer.

    Attributes that the graph does not state are not compared.
    """
    with torch.device("meta"):
        model = PicoDet(config)
    makers = graph.producers()
    for k, partner in node_mapping.partners.items():
        path = _path(traced, k)
        layer, attributes = model.get_submodule(path), makers[partner.name].settings
        for name, expected, found in _attribute_differences(partner.kind, layer, attributes):
            raise GraphError(
                f"{partner.kind} {partner.name} of the graph has {name} {found}; the matching "
                f"layer of the model, {path}, has {expected}"
            )


def _path(traced: TracedModel, k: int) -> str:
    """The path of the layer that operator k belongs to, or of the block that calls it."""
    around = [call for call in traced.calls if k in call.operators]
    return min(around, key=lambda call: len(call.operators)).path


def check_names(
    traced: TracedModel,
    node_mapping: NodeMapping,
    ppdet_names: Mapping[str, str],
    torch_names: Mapping[str, str],
) -> None:
    """Raise GraphError where the structure and the stored names give a constant different layers.

    ppdet_names: ppdet's names of some constants; torch_names: the model's names by ppdet's.
    """
    for k, partner in node_mapping.partners.items():
        for role, name in traced.operators[k].weights.items():
            constant = partner.weights.get(role, "")
            if constant in ppdet_names and torch_names.get(ppdet_names[constant], name) != name:
                raise GraphError(
                    f"{constant} is {name} by the structure of the graph, but the names stored "
                    f"beside it say {ppdet_names[constant]}"
                )


def _attribute_differences(
    kind: str, layer: nn.Module, attributes: Mapping[str, Any]
) -> Iterator[tuple[str, object, object]]:
    if isinstance(layer, nn.Conv2d):
        yield from _compare_exact(
            attributes,
            stride=layer.stride,
            padding=(*layer.padding, *layer.padding),
            dilation=layer.dilation,
            groups=layer.groups,
        )
    elif isinstance(layer, nn.BatchNorm2d):
        yield from _compare_close(attributes, epsilon=layer.eps)
    elif kind == "hardsigmoid":
        slope = layer.slope if isinstance(layer, SqueezeExcite) else HARD_SIGMOID_SLOPE
        yield from _compare_close(attributes, slope=slope, offset=0.5)
    elif kind == "leaky_relu":
        yield from _compare_close(attributes, slope=LEAKY_RELU_SLOPE)


def _compare_exact(
    attributes: Mapping[str, Any], **expected: Any
) -> Iterator[tuple[str, object, object]]:
    for name, value in expected.items():
        if name in attributes and attributes[name] != value:
            yield name, value, attributes[name]


def _compare_close(
    attributes: Mapping[str, Any], **expected: float
) -> Iterator[tuple[str, object, object]]:
    for name, value in expected.items():
        if name in attributes and not abs(attributes[name] - value) <= RELATIVE_TOLERANCE * value:
            yield name, value, attributes[name]
