"""Recognizes the PicoDet variant of a static graph from the shapes of its convolutions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from picodet.config import STRIDES, Activation, ModelConfig
from picodet.converter.activations import Activations
from picodet.converter.names.recognize import MAX_HEAD_CONVS, RecognizedModel
from picodet.errors import GraphError
from picodet.graphs.graph import Graph, Node
from picodet.graphs.outputs import GraphOutputs
from picodet.models.shapes import shapes_of
from picodet.zoo.architectures import VARIANTS


def recognize_graph(graph: Graph, graph_outputs: GraphOutputs) -> RecognizedModel:
    """The variant of a graph in canonical form. Raises GraphError if it is not a known PicoDet."""
    producers = graph.producers()
    convs = [node for node in graph.nodes if node.kind == "conv"]
    shapes = [graph.constants[conv.weights["weight"]].shape for conv in convs]
    heads = [_conv_shape(producers[name], graph) for name in graph_outputs.reg]
    split = (
        producers[graph_outputs.reg[0]] if producers[graph_outputs.reg[0]].kind == "split" else None
    )
    fitting = [
        variant
        for variant in VARIANTS
        if {shape[1] for shape in heads} == {variant.channels}
        and (variant.head == "pico_head") == (split is not None)
    ]
    if not fitting or len({shape[0] for shape in heads}) > 1 or len(heads) != len(STRIDES):
        raise GraphError(
            "not a PicoDet that this version supports: its predictors have the shapes "
            f"{[list(h) for h in heads]}; expected {len(STRIDES)} with the same number of outputs "
            f"and of inputs ({_known_variants(split is not None)})"
        )
    variant = max(fitting, key=lambda v: _shape_overlap(v, shapes))
    if split is not None:
        classes, bins = _split_sections(split, heads[0][0])
    else:
        classes, bins = _num_classes(graph_outputs.scores[0], graph, variant.channels), heads[0][0]
    if bins % 4 or bins < 8:
        raise GraphError(
            f"the predictors have {bins} outputs for box regression; expected four times the "
            "number of bins"
        )
    config = replace(variant, classes=("",) * classes, reg_max=bins // 4 - 1, head_convs=0)
    per_level = 2 * len(STRIDES)
    depth = round((len(convs) - _num_convolutions(config)) / per_level)
    # a graph that lacks one is still recognized
    return RecognizedModel(variant, classes, min(max(depth, 0), MAX_HEAD_CONVS), config.reg_max)


def find_activations(graph: Graph, graph_outputs: GraphOutputs) -> Activations:
    """The activations of a graph in canonical form: after the stem, and before a predictor."""
    producers = graph.producers()
    conv = _find_upstream(producers[graph_outputs.reg[0]], "conv", graph)
    before = producers.get(conv.inputs[0])
    name, stem = graph.inputs[0], None
    for node in graph.nodes:  # in a topological order
        if name in node.inputs and node.kind in ("conv", "batch_norm"):
            name = node.name
        elif node.inputs == (name,) and node.kind in get_args(Activation):
            stem = node
            break
    return Activations(_activation(stem), _activation(before))


def _activation(node: Node | None) -> Activation | None:
    known: tuple[Activation, ...] = get_args(Activation)
    return next((kind for kind in known if node is not None and node.kind == kind), None)


def _shape_overlap(variant: ModelConfig, shapes: Sequence[tuple[int, ...]]) -> int:
    """Number of convolutions with a counterpart of the same shape, minus those without one."""
    tensors, _ = shapes_of(variant, "detector")
    expected = Counter[tuple[int, ...]](shape for shape in tensors.values() if len(shape) == 4)
    found = Counter(shapes)
    return (expected & found).total() - (expected - found).total()


def _conv_shape(node: Node, graph: Graph) -> tuple[int, ...]:
    """The weight shape [O, I, k, k] of the convolution that produces an output."""
    shape = graph.constants[_find_upstream(node, "conv", graph).weights["weight"]].shape
    if len(shape) != 4:
        raise GraphError(
            f"the convolution {node.name} has a weight of shape {list(shape)}; expected four "
            "dimensions"
        )
    return shape


def _find_upstream(node: Node, kind: str, graph: Graph) -> Node:
    """The node itself, or the nearest of this kind upstream."""
    producers, name = graph.producers(), node.name
    while node.kind != kind:
        if not node.inputs or node.inputs[0] not in producers:
            raise GraphError(f"{name} of the graph: expected a {kind} before it, found none")
        node = producers[node.inputs[0]]
    return node


def _split_sections(split: Node, channels: int) -> tuple[int, int]:
    """Channels of the class scores and of the box regression."""
    sections = split.settings.get("sections", (channels // 2, channels // 2))
    if len(sections) != 2 or sum(sections) != channels or min(sections) < 1:
        raise GraphError(
            f"{split.name} of the graph splits the {channels} outputs of a predictor into "
            f"{list(sections)}; expected two parts, class scores and box regression"
        )
    return int(sections[0]), int(sections[1])


def _num_classes(score: str, graph: Graph, channels: int) -> int:
    """Outputs of the convolution behind a score that sees all channels: not the alignment's."""
    producers = graph.producers()
    product = _find_upstream(producers[score], "mul", graph)
    found = [_conv_shape(producers[name], graph) for name in product.inputs if name in producers]
    return max((shape[0] for shape in found if shape[1] == channels), default=1)


def _num_convolutions(config: ModelConfig) -> int:
    tensors, _ = shapes_of(config, "detector")
    return sum(len(shape) == 4 for shape in tensors.values())


def _known_variants(split: bool) -> str:
    head = "pico_head" if split else "pico_head_v2"
    fitting: Sequence[ModelConfig] = [v for v in VARIANTS if v.head == head]
    return ", ".join(f"{variant.name} {variant.channels}" for variant in fitting)
