"""Which PicoDet a graph is, from its predictors and the shapes of its convolutions."""

import numpy as np
import pytest

from picodet.converter.recognize_graph import recognize_graph
from picodet.errors import GraphError
from picodet.graphs.graph import Graph, Node
from picodet.graphs.outputs import GraphOutputs

LEVELS = range(4)
OUTPUTS = GraphOutputs(
    tuple(f"score{k}" for k in LEVELS), tuple(f"side{k}" for k in LEVELS), None, None, None
)


def conv(name, weight):
    return Node("conv", ("x",), (name,), {"weight": weight})


def head_v1_graph(sections=(3, 32), channels=96, levels=LEVELS):
    """Predictors of classes and sides, cut in two."""
    nodes = []
    for k in levels:
        split = {} if sections is None else {"sections": sections}
        nodes.append(conv(f"p{k}", "w"))
        nodes.append(Node("split", (f"p{k}",), (f"side{k}", f"half{k}"), settings=split))
    out = 64 if sections is None else 35
    return Graph(tuple(nodes), ("x",), (), {"w": np.zeros((out, channels, 1, 1))})


def head_v2_graph(bins=32, classes=3, reg_weight=None):
    """Sides for themselves; a score is the root of a product, of which one sees one channel."""
    nodes = []
    for k in LEVELS:
        nodes += [conv(f"side{k}", "sides"), conv(f"c{k}", "classes"), conv(f"a{k}", "alignment")]
        nodes += [Node("sigmoid", (f"{c}{k}",), (f"{c}p{k}",)) for c in "ca"]
        nodes.append(Node("mul", (f"ap{k}", f"cp{k}"), (f"m{k}",)))
        nodes.append(Node("sqrt", (f"m{k}",), (f"score{k}",)))
    constants = {
        "sides": np.zeros((bins, 96, 1, 1) if reg_weight is None else reg_weight),
        "classes": np.zeros((classes, 96, 1, 1)),
        "alignment": np.zeros((1, 1, 5, 5)),
    }
    return Graph(tuple(nodes), ("x",), (), constants)


def recognized(graph):
    found = recognize_graph(graph, OUTPUTS)
    return found.variant.head, found.num_classes, found.reg_max


def test_predictors_tell_classes_and_bins():
    assert recognized(head_v1_graph()) == ("pico_head", 3, 7)
    assert recognized(head_v1_graph((19, 16))) == ("pico_head", 19, 3)
    assert recognized(head_v2_graph()) == ("pico_head_v2", 3, 7)
    assert recognized(head_v2_graph(64, 1)) == ("pico_head_v2", 1, 15)


def test_a_split_that_does_not_say_where_cuts_in_two():
    assert recognized(head_v1_graph(None)) == ("pico_head", 32, 7)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (
            head_v1_graph(channels=97),
            "not a PicoDet that this version supports: its predictors .*picodet_s 96",
        ),
        (
            head_v1_graph((3, 31)),
            r"side0 of the graph splits the 35 outputs of a predictor into \[3, 31\]",
        ),
        (head_v1_graph((0, 35)), r"into \[0, 35\]; expected two parts"),
        (head_v1_graph((1, 2, 32)), r"into \[1, 2, 32\]; expected two parts"),
        (
            head_v1_graph((5, 30)),
            "30 outputs for box regression; expected four times the number of bins",
        ),
        (head_v1_graph((31, 4)), "4 outputs for box regression"),
        (head_v2_graph(33), "33 outputs for box regression"),
        (head_v2_graph(reg_weight=(32,)), r"the convolution side0 has a weight of shape \[32\]"),
    ],
)
def test_what_no_picodet_has(graph, message):
    with pytest.raises(GraphError, match=message):
        recognize_graph(graph, OUTPUTS)


def test_a_head_that_nothing_makes():
    nodes = tuple(node for node in head_v1_graph().nodes if node.kind == "split")
    with pytest.raises(
        GraphError, match="side0 of the graph: expected a conv before it, found none"
    ):
        recognize_graph(Graph(nodes, ("x",), (), {}), OUTPUTS)
