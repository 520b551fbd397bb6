"""The canonical form of each difference between exporters, and broken graphs."""

import numpy as np
import pytest

from picodet.errors import GraphError
from picodet.graphs.graph import Graph, Node, canonicalize, to_operators
from picodet.graphs.operators import Operator, Source

CONSTANTS = {
    "w": np.ones((2, 3, 1, 1)),
    "b": np.array([5.0, 6.0]),
    "one": np.array(1.0),
    **{str(n): np.array([n]) for n in (3, 6)},
}
CONV = Node("conv", ("x",), ("c",), {"weight": "w"})


def canonical_graph(*nodes, outputs=("y",), constants=CONSTANTS):
    return canonicalize(Graph(nodes, ("x", "scale_factor"), outputs, constants))


def kinds(graph):
    return [node.kind for node in graph.nodes]


RESHAPE = Node("reshape", ("b",), ("r",), settings={"shape": (1, 2, 1, 1)})


@pytest.mark.parametrize(
    "nodes",
    [
        [Node("add", ("c", "b"), ("y",), settings={"axis": 1})],  # old Paddle
        [RESHAPE, Node("add", ("c", "r"), ("y",))],  # new Paddle
        [RESHAPE, Node("add", ("r", "c"), ("y",))],
    ],
)
def test_an_added_bias_belongs_to_the_convolution(nodes):
    graph = canonical_graph(CONV, *nodes)
    assert graph.nodes == (Node("conv", ("x",), ("y",), {"weight": "w", "bias": "b"}),)
    assert graph.constants["b"].tolist() == [5, 6]


@pytest.mark.parametrize(
    "nodes",
    [
        [Node("add", ("c", "b"), ("y",))],  # along the width, not the channels
        [Node("add", ("c", "one"), ("y",))],
        [Node("add", ("c", "x"), ("y",))],
    ],
)
def test_other_additions_are_not_a_bias(nodes):
    assert kinds(canonical_graph(CONV, *nodes)) == ["conv", "add"]


def test_a_convolution_has_one_bias():
    biased = Node("conv", ("x",), ("c",), {"weight": "w", "bias": "b"})
    graph = canonical_graph(biased, Node("add", ("c", "b"), ("y",), settings={"axis": 1}))
    assert kinds(graph) == ["conv", "add"]


HARDSWISH = [
    Node("add", ("x", "3"), ("a",)),
    Node("clip", ("a",), ("b2",), settings={"low": 0, "high": 6}),
    Node("mul", ("b2", "x"), ("m",)),
    Node("div", ("m", "6"), ("y",)),
]


def test_hardswish_in_four_operators():
    assert canonical_graph(*HARDSWISH).nodes == (Node("hardswish", ("x",), ("y",)),)


@pytest.mark.parametrize(
    ("slope", "operand", "found"),
    [
        (0.1666666716337204, "x", ["hardswish"]),
        (0.16666670143604279, "x", ["hardsigmoid", "mul"]),  # that of a squeeze-and-excitation
        (0.1666666716337204, "z", ["hardsigmoid", "mul"]),
    ],
)
def test_hardswish_as_a_product_with_its_hardsigmoid(slope, operand, found):
    graph = canonical_graph(
        Node("relu", ("x",), ("z",)),
        Node("hardsigmoid", ("x",), ("gate",), settings={"slope": slope, "offset": 0.5}),
        Node("mul", (operand, "gate"), ("y",)),
    )
    assert [kind for kind in kinds(graph) if kind != "relu"] == found


def test_parts_of_a_hardswish_that_are_used_elsewhere_stay():
    graph = canonical_graph(*HARDSWISH, Node("relu", ("a",), ("z",)), outputs=("y", "z"))
    assert kinds(graph) == ["add", "hardswish", "relu"]


@pytest.mark.parametrize(
    ("permutation", "found"),
    [
        ((0, 2, 1, 3, 4), ["shuffle"]),
        ((0, 2, 1, 3), ["shuffle"]),  # rows and columns as one axis
        ((0, 1, 2, 4, 3), ["reshape", "transpose", "reshape"]),
    ],
)
def test_shuffle_whatever_computes_its_shapes(permutation, found):
    graph = canonical_graph(
        Node("shape", ("x",), ("s",)),
        Node("reshape", ("x",), ("cut",)),
        Node("transpose", ("cut",), ("turned",), settings={"permutation": permutation}),
        Node("slice", ("s",), ("n",)),
        Node("reshape", ("turned",), ("y",)),
    )
    assert kinds(graph) == found


def test_identities_are_removed():
    graph = canonical_graph(
        Node("identity", ("x",), ("i",)),
        Node("relu", ("i",), ("r",)),
        Node("identity", ("r",), ("y",)),
    )
    assert graph.nodes == (Node("relu", ("x",), ("r",)),)
    assert graph.outputs == ("r",)


def test_constants_of_more_than_a_number_are_weights():
    graph = canonical_graph(Node("mul", ("x", "one"), ("m",)), Node("add", ("b", "m"), ("y",)))
    assert [node.weights for node in graph.nodes] == [{}, {"input0": "b"}]
    assert [node.inputs for node in graph.nodes] == [("x",), ("m",)]
    assert list(graph.constants) == ["b"]


def test_what_follows_the_nms_is_left_out():
    graph = canonical_graph(
        Node("relu", ("x",), ("boxes",)),
        Node("nms", ("boxes", "boxes"), ("n",)),
        Node("gather", ("n",), ("y",)),
    )
    assert kinds(graph) == ["relu", "nms"]
    assert graph.outputs == ("y",)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([Node("relu", ("x",), ("y",))] * 2, "writes the tensor y twice"),
        ([Node("relu", ("z",), ("y",))], "relu y takes z, which no operator"),
        ([Node("conv", ("x",), ("y",), {"weight": "q"})], "weight of conv y, q, is not a constant"),
        ([Node("reshape", ("b",), ("y",))], "reshape y of the constant b: unknown shape"),
    ],
)
def test_broken_graphs_are_refused(nodes, message):
    with pytest.raises(GraphError, match=message):
        canonical_graph(*nodes)


def test_operators_have_the_sources_of_their_inputs():
    graph = canonical_graph(
        Node("split", ("x",), ("p", "q")),
        Node("div", ("q", "scale_factor"), ("y",)),
    )
    keys = {"p": "key p", "q": "key q", "y": "key y"}
    assert to_operators(graph, keys) == (
        Operator("split", "p", (Source(-1),), ("key p", "key q")),
        Operator("div", "y", (Source(0, 1), Source(-1, 1)), ("key y",)),
    )
