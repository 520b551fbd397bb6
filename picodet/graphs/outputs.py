"""Finds a static graph's outputs: its heads, and those of decoding and NMS if it has them.

NumPy only, as Paddle's process has no torch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from picodet.errors import GraphError
from picodet.graphs.graph import Graph, Node

LAYOUT_ONLY = ("reshape", "transpose")  # kinds that change only the layout of values
MAX_LEVELS = 16  # upper limit of levels; a PicoDet has four


@dataclass(frozen=True)
class GraphOutputs:
    """Names of the tensors that picodet.alignment.recording.index.RecordedOutputs has."""

    scores: tuple[str, ...]  # from the finest level to the coarsest
    reg: tuple[str, ...]
    boxes: str | None
    box_scores: str | None
    kept: str | None
    in_image: bool = True  # boxes are divided by a scale factor before the NMS

    def all_names(self) -> set[str]:
        optional = (self.boxes, self.box_scores, self.kept)
        return {*self.scores, *self.reg, *(name for name in optional if name)}


def find_outputs(graph: Graph) -> GraphOutputs:
    """Find the outputs of a PicoDet in a canonical graph.

    Raises GraphError where it has no head of a PicoDet.
    """
    scores, reg = _head_outputs(graph)
    nms = [node for node in graph.nodes if node.kind == "nms"]
    if graph.is_partial:
        return GraphOutputs(scores, reg, None, None, None)
    if nms:
        return GraphOutputs(scores, reg, *_nms_tensors(graph, nms), len(graph.inputs) > 1)
    box_scores = _concatenated_scores(graph, scores)
    boxes = [name for name in graph.outputs if name != box_scores]
    if box_scores is None:
        return GraphOutputs(scores, reg, None, None, None)
    if len(boxes) != 1:
        raise GraphError(
            f"the graph concatenates the scores of all levels in {box_scores}; expected one more "
            f"output, the boxes, found {', '.join(boxes) or 'none'}"
        )
    return GraphOutputs(scores, reg, boxes[0], box_scores, None)


def flatten_map(array: np.ndarray, name: str) -> np.ndarray:
    """[1, C, h, w] or [1, C, A] -> [1, C, A], A anchor points; GraphError for other shapes."""
    if array.ndim not in (3, 4) or array.shape[0] != 1:
        raise GraphError(
            f"{name} of the graph has the shape {list(array.shape)}; expected "
            "[1, channels, height, width] or [1, channels, anchor points]"
        )
    return array.reshape(1, array.shape[1], -1)


def _head_outputs(graph: Graph) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of scores and reg per level, finest first: a coarser level has more ancestors.

    In a head of 2021 a predictor's output is split; in one of 2022 a score is the root of a product
    of two probabilities, and reg has a predictor of its own.
    """
    ancestors = _ancestors(graph)
    predictors = _predictors(graph, ancestors)
    consumers = _consumers(graph)
    producers = graph.producers()

    def ordered(names: Iterable[str]) -> tuple[str, ...]:
        found = tuple(sorted(names, key=lambda name: ancestors[name].bit_count()))
        if len(found) > MAX_LEVELS:
            raise GraphError(f"the graph has heads on {len(found):,} levels; a PicoDet has four")
        return found

    splits = ordered(
        end.name for end in predictors if end.kind == "split" and len(end.outputs) == 2
    )
    if splits:
        return (
            tuple(_scores_after(producers[split].outputs[0], consumers) for split in splits),
            tuple(producers[split].outputs[1] for split in splits),
        )
    scores = ordered(node.name for node in graph.nodes if _is_v2_score(node, producers))
    probabilities = {node.inputs[0] for node in graph.nodes if node.kind == "sigmoid"}
    reg = ordered(end.name for end in predictors if end.name not in probabilities)
    if not scores or len(scores) != len(reg):
        raise GraphError(
            "no head of a PicoDet in the graph: neither final convolutions, each split in two "
            "(2021), nor roots of the product of two sigmoids beside as many other "
            f"convolutions (2022). It ends with {_describe(graph.nodes[-3:])}"
        )
    return scores, reg


def _ancestors(graph: Graph) -> dict[str, int]:
    """Tensor -> all operators that it depends on, as bits of an integer."""
    ancestors = dict.fromkeys(graph.inputs, 0)
    for i, node in enumerate(graph.nodes):
        upstream = 1 << i
        for name in node.inputs:
            upstream |= ancestors[name]
        ancestors |= dict.fromkeys(node.outputs, upstream)
    return ancestors


def _predictors(graph: Graph, ancestors: Mapping[str, int]) -> list[Node]:
    """The convolutions that no other follows, or the batch norm or split after one."""
    convs = [i for i, node in enumerate(graph.nodes) if node.kind == "conv"]
    followed = 0
    for i in convs:
        followed |= ancestors[graph.nodes[i].name] & ~(1 << i)
    found = {graph.nodes[i].name: graph.nodes[i] for i in convs if not followed >> i & 1}
    for kind in ("batch_norm", "split"):
        for node in graph.nodes:
            if node.kind == kind and node.inputs[0] in found:
                del found[node.inputs[0]]
                found[node.name] = node
    return list(found.values())


def _is_v2_score(node: Node, producers: Mapping[str, Node]) -> bool:
    """Whether it is the root of a product of two sigmoids, perhaps plus a small constant."""
    product = producers.get(node.inputs[0]) if node.kind == "sqrt" else None
    if product and product.kind in ("add", "scale") and len(product.inputs) == 1:
        product = producers.get(product.inputs[0])
    factors = [producers.get(name) for name in product.inputs] if product else []
    return (
        product is not None
        and product.kind == "mul"
        and [factor.kind for factor in factors if factor] == ["sigmoid"] * 2
    )


def _scores_after(name: str, consumers: Mapping[str, list[Node]]) -> str:
    """The name of the sigmoid of `name`, the first part of a predictor's output."""
    found = ""
    while True:
        match consumers.get(name, []):
            case [Node(kind="sigmoid") as sigmoid]:
                return sigmoid.name
            case [Node(kind="reshape") as reshape]:
                name = reshape.name
            case others:
                found = _describe(others) or "nothing"
                raise GraphError(
                    f"after {name}, the first part of a predictor's output, expected one sigmoid, "
                    f"found {found}"
                )


def _nms_tensors(graph: Graph, nms: list[Node]) -> tuple[str, str, str]:
    """Names of the boxes in the network's input, of their scores, and of the detections."""
    if len(nms) != 1 or len(nms[0].inputs) != 2:
        raise GraphError(f"expected one NMS of boxes and scores, found {_describe(nms)}")
    boxes, scores = nms[0].inputs
    if len(graph.inputs) == 1:  # no scale factor: boxes stay in pixels of the network's input
        return boxes, scores, graph.outputs[0]
    division = graph.producers().get(boxes)
    if division is None or division.kind != "div" or len(division.inputs) != 2:
        raise GraphError(
            f"the input boxes of the NMS, {boxes}: expected a division by the scale factor, "
            f"found {division.kind if division else 'an input'}"
        )
    return division.inputs[0], scores, graph.outputs[0]


def _concatenated_scores(graph: Graph, scores: tuple[str, ...]) -> str | None:
    """The concatenation of all levels' scores, if there is one."""
    origins = {name: name for name in scores}  # tensor -> what it is a reshape of
    for node in graph.nodes:
        if node.kind in LAYOUT_ONLY and node.inputs:
            origins.setdefault(node.name, origins.get(node.inputs[0], node.inputs[0]))
        elif node.kind == "concat" and tuple(origins.get(n, n) for n in node.inputs) == scores:
            return node.name
    return None


def _consumers(graph: Graph) -> dict[str, list[Node]]:
    consumers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            consumers.setdefault(name, []).append(node)
    return consumers


def _describe(nodes: list[Node] | tuple[Node, ...]) -> str:
    return ", ".join(f"{node.kind} {node.name}" for node in nodes)
