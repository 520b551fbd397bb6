"""Where a static graph ends: its heads, and its decoding and NMS if it has them.

NumPy only: it runs where Paddle is and torch is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from picodet.errors import GraphError
from picodet.graphs.graph import Graph, Node

NO_CHANGE = ("reshape", "transpose")  # of values; only of where they lie


@dataclass(frozen=True)
class EndingNames:
    """Names of the tensors that index.Ending speaks of."""

    scores: tuple[str, ...]  # from the finest level to the coarsest
    sides: tuple[str, ...]
    boxes: str | None
    box_scores: str | None
    kept: str | None
    in_picture: bool = True  # boxes are divided by a scale factor before the NMS

    def all(self) -> set[str]:
        perhaps = (self.boxes, self.box_scores, self.kept)
        return {*self.scores, *self.sides, *(name for name in perhaps if name)}


def find_ending(graph: Graph) -> EndingNames:
    """Look for the heads of a PicoDet in a canonical graph.

    Raises GraphError where they are not there.
    """
    splits = _head_splits(graph)
    if not splits:
        raise GraphError(
            "no head of a PicoDet of 2021 in the graph: a convolution that no other follows, cut "
            f"in two by a split. It ends with {_list(graph.nodes[-3:])}"
        )
    users = _users(graph)
    scores = tuple(_sigmoid(split, users) for split in splits)
    sides = tuple(split.outputs[1] for split in splits)
    nms = [node for node in graph.nodes if node.kind == "nms"]
    if nms:
        return EndingNames(scores, sides, *_suppressed(graph, nms), len(graph.inputs) > 1)
    box_scores = _joined(graph, scores)
    boxes = [name for name in graph.outputs if name != box_scores]
    if box_scores is None:
        return EndingNames(scores, sides, None, None, None)
    if len(boxes) != 1:
        raise GraphError(
            f"the graph joins the scores of all levels in {box_scores}; beside it one output, the "
            f"boxes, is expected, found {', '.join(boxes) or 'none'}"
        )
    return EndingNames(scores, sides, boxes[0], box_scores, None)


def per_cell(array: np.ndarray, name: str) -> np.ndarray:
    """[1, C, h, w] or [1, C, cells] -> [1, C, cells]."""
    if array.ndim not in (3, 4) or array.shape[0] != 1:
        raise GraphError(
            f"{name} of the graph has the shape {list(array.shape)}; expected is "
            "[1, channels, height, width] or [1, channels, cells]"
        )
    return array.reshape(1, array.shape[1], -1)


def _head_splits(graph: Graph) -> list[Node]:
    """The split behind each predictor: a convolution that no other convolution follows.

    Ordered by how much goes into them: each level is made from those that are finer.
    """
    ancestors: dict[str, set[int]] = {name: set() for name in graph.inputs}
    for i, node in enumerate(graph.nodes):
        before = {i}.union(*(ancestors[name] for name in node.inputs))
        ancestors |= dict.fromkeys(node.outputs, before)
    convs = {i for i, node in enumerate(graph.nodes) if node.kind == "conv"}
    followed = set().union(*(ancestors[graph.nodes[i].name] & convs - {i} for i in convs))
    last = {graph.nodes[i].name for i in convs - followed}
    splits = [
        node
        for node in graph.nodes
        if node.kind == "split" and node.inputs[0] in last and len(node.outputs) == 2
    ]
    return sorted(splits, key=lambda split: len(ancestors[split.name]))


def _sigmoid(split: Node, users: Mapping[str, list[Node]]) -> str:
    """The scores that are made of the first part of a predictor's output."""
    name, found = split.outputs[0], ""
    while True:
        match users.get(name, []):
            case [Node(kind="sigmoid") as sigmoid]:
                return sigmoid.name
            case [Node(kind="reshape") as reshape]:
                name = reshape.name
            case others:
                found = _list(others) or "nothing"
                raise GraphError(
                    f"behind {name}, the first part of a predictor's output, one sigmoid is "
                    f"expected, found {found}"
                )


def _suppressed(graph: Graph, nms: list[Node]) -> tuple[str, str, str]:
    """Boxes in the network's input, their scores, and what is kept of them."""
    if len(nms) != 1 or len(nms[0].inputs) != 2:
        raise GraphError(f"one NMS of boxes and scores is expected, found {_list(nms)}")
    boxes, scores = nms[0].inputs
    if len(graph.inputs) == 1:  # no scale factor: boxes stay in pixels of the network's input
        return boxes, scores, graph.outputs[0]
    division = graph.producers().get(boxes)
    if division is None or division.kind != "div" or len(division.inputs) != 2:
        raise GraphError(
            f"the boxes that go into the NMS, {boxes}, are expected to be a division by the scale "
            f"factor, found {division.kind if division else 'an input'}"
        )
    return division.inputs[0], scores, graph.outputs[0]


def _joined(graph: Graph, scores: tuple[str, ...]) -> str | None:
    """The concatenation of all levels' scores, if there is one."""
    producers = graph.producers()

    def origin(name: str) -> str:
        while name not in scores and name in producers and producers[name].kind in NO_CHANGE:
            name = producers[name].inputs[0]
        return name

    for node in graph.nodes:
        if node.kind == "concat" and tuple(map(origin, node.inputs)) == scores:
            return node.name
    return None


def _users(graph: Graph) -> dict[str, list[Node]]:
    users: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            users.setdefault(name, []).append(node)
    return users


def _list(nodes: list[Node] | tuple[Node, ...]) -> str:
    return ", ".join(f"{node.kind} {node.name}" for node in nodes)
