"""Which PicoDet a static graph is, told from the shapes of its convolutions alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from picodet.config import STRIDES, ModelConfig
from picodet.converter.names.recognize import MAX_HEAD_CONVS, RecognizedModel
from picodet.errors import GraphError
from picodet.graphs.graph import Graph, Node
from picodet.graphs.outputs import GraphOutputs
from picodet.models.shapes import shapes_of
from picodet.zoo.architectures import VARIANTS


def recognize_graph(graph: Graph, graph_outputs: GraphOutputs) -> RecognizedModel:
    """graph: in canonical form. Raises GraphError where it is no PicoDet that we know."""
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
            f"no PicoDet that this version knows. Its predictors are {[list(h) for h in heads]}; "
            f"expected are {len(STRIDES)} with the same number of outputs and of inputs "
            f"({_known_variants(split is not None)})"
        )
    variant = max(fitting, key=lambda v: _shape_overlap(v, shapes))
    if split is not None:
        classes, bins = _split_sections(split, heads[0][0])
    else:
        classes, bins = _num_classes(graph_outputs.scores[0], graph, variant.channels), heads[0][0]
    if bins % 4 or bins < 8:
        raise GraphError(
            f"the predictors have {bins} outputs for the sides of boxes; four times the number of "
            "bins is expected"
        )
    config = replace(variant, classes=("",) * classes, reg_max=bins // 4 - 1, head_convs=0)
    per_level = 2 * len(STRIDES)
    depth = round((len(convs) - _num_convolutions(config)) / per_level)
    # a graph that lacks one is still recognised
    return RecognizedModel(variant, classes, min(max(depth, 0), MAX_HEAD_CONVS), config.reg_max)


def _shape_overlap(variant: ModelConfig, shapes: Sequence[tuple[int, ...]]) -> int:
    """How many of the convolutions have a partner of the same shape, less those that have none."""
    tensors, _ = shapes_of(variant, "detector")
    ours = Counter[tuple[int, ...]](shape for shape in tensors.values() if len(shape) == 4)
    theirs = Counter(shapes)
    return (ours & theirs).total() - (ours - theirs).total()


def _conv_shape(node: Node, graph: Graph) -> tuple[int, ...]:
    """Of the weight of the convolution that an end belongs to."""
    shape = graph.constants[_find_upstream(node, "conv", graph).weights["weight"]].shape
    if len(shape) != 4:
        raise GraphError(f"the convolution {node.name} has a weight of shape {list(shape)}")
    return shape


def _find_upstream(node: Node, kind: str, graph: Graph) -> Node:
    """The node itself, or the nearest of this kind on the way back to the picture."""
    producers, name = graph.producers(), node.name
    while node.kind != kind:
        if not node.inputs or node.inputs[0] not in producers:
            raise GraphError(f"before {name} of the graph a {kind} is expected, found none")
        node = producers[node.inputs[0]]
    return node


def _split_sections(split: Node, channels: int) -> tuple[int, int]:
    """Of scores and of sides."""
    sections = split.settings.get("sections", (channels // 2, channels // 2))
    if len(sections) != 2 or sum(sections) != channels or min(sections) < 1:
        raise GraphError(
            f"{split.name} of the graph cuts the {channels} outputs of a predictor into "
            f"{list(sections)}; two parts are expected, of classes and of sides"
        )
    return int(sections[0]), int(sections[1])


def _num_classes(score: str, graph: Graph, channels: int) -> int:
    """Of the two convolutions behind a score the one that sees all channels: not the alignment."""
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
