"""Heads, decoding and NMS are found by their ancestors."""

import numpy as np
import pytest

from picodet.errors import GraphError
from picodet.graphs.graph import Graph, Node
from picodet.graphs.outputs import GraphOutputs, find_outputs, flatten_map


def level(name, source):
    """A predictor whose scores are reshaped before the sigmoid."""
    return [
        Node("conv", (source,), (name,), {"weight": "w"}),
        Node("split", (name,), (f"{name}_cls", f"{name}_sides")),
        Node("reshape", (f"{name}_cls",), (f"{name}_flat",)),
        Node("sigmoid", (f"{name}_flat",), (f"{name}_scores",)),
    ]


# the coarse level is made from the fine one, and written first
LEVELS = [
    Node("relu", ("image",), ("fine",)),
    Node("relu", ("fine",), ("coarse",)),
    *level("c", "coarse"),
    *level("f", "fine"),
]
CONCATENATED = [
    Node("concat", ("f_scores", "c_scores"), ("scores",)),
    Node("concat", ("f_sides", "c_sides"), ("boxes",)),
]
NMS = [
    Node("div", ("boxes", "scale_factor"), ("scaled",)),
    Node("nms", ("scaled", "scores"), ("selected",)),
]
HEADS = ("f_scores", "c_scores"), ("f_sides", "c_sides")


def outputs_of(nodes, outputs=("kept",)):
    return find_outputs(Graph(tuple(nodes), ("image", "scale_factor"), outputs, {}))


def test_heads_from_the_finest_level_on():
    assert outputs_of(LEVELS) == GraphOutputs(*HEADS, None, None, None)


def v2_level(name, source, added):
    """A head of 2022: logits, alignment and reg, each with a predictor of its own."""
    return [
        *(Node("conv", (source,), (f"{name}_{x}",), {"weight": "w"}) for x in ("c", "a", "sides")),
        Node("batch_norm", (f"{name}_a",), (f"{name}_n",)),
        Node("sigmoid", (f"{name}_n",), (f"{name}_q",)),
        Node("sigmoid", (f"{name}_c",), (f"{name}_p",)),
        Node("mul", (f"{name}_p", f"{name}_q"), (f"{name}_m",)),
        *([Node(added, (f"{name}_m",), (f"{name}_e",))] if added else []),
        Node("sqrt", (f"{name}_e" if added else f"{name}_m",), (f"{name}_scores",)),
    ]


@pytest.mark.parametrize("added", ["scale", "add", None])
def test_heads_of_2022(added):
    levels = [*LEVELS[:2], *v2_level("c", "coarse", added), *v2_level("f", "fine", added)]
    assert outputs_of(levels) == GraphOutputs(*HEADS, None, None, None)
    found = outputs_of(levels + CONCATENATED + NMS)
    assert found == GraphOutputs(*HEADS, "boxes", "scores", "kept")
    with pytest.raises(GraphError, match="no head of a PicoDet in the graph"):
        outputs_of([node for node in levels if node.kind != "sqrt"])


def test_decoded_boxes():
    outputs = ("boxes", "scores")
    assert outputs_of(LEVELS + CONCATENATED, outputs) == GraphOutputs(*HEADS, *outputs, None)
    with pytest.raises(GraphError, match="expected one more output, the boxes, found none"):
        outputs_of(LEVELS + CONCATENATED, ("scores",))


def test_nms():
    found = outputs_of(LEVELS + CONCATENATED + NMS)
    assert found == GraphOutputs(*HEADS, "boxes", "scores", "kept")


def test_nms_of_unscaled_boxes_with_a_single_input():
    nodes = (*LEVELS, *CONCATENATED, Node("nms", ("boxes", "scores"), ("kept",)))
    found = find_outputs(Graph(nodes, ("image",), ("kept",), {}))
    assert found == GraphOutputs(*HEADS, "boxes", "scores", "kept", in_image=False)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (LEVELS[:2], "no head of a PicoDet in the graph.* It ends with relu fine, relu coarse"),
        (LEVELS[:-1], "after f_flat, .* expected one sigmoid, found nothing"),
        (
            LEVELS + CONCATENATED + [Node("nms", ("boxes", "scores"), ("s",))],
            "division by the scale",
        ),
        (LEVELS + CONCATENATED + NMS + NMS[1:], "expected one NMS of boxes and scores"),
    ],
)
def test_other_outputs_are_refused(nodes, message):
    with pytest.raises(GraphError, match=message):
        outputs_of(nodes)


def test_flatten_map():
    assert flatten_map(np.zeros((1, 80, 4, 6)), "t").shape == (1, 80, 24)
    assert flatten_map(np.zeros((1, 80, 24)), "t").shape == (1, 80, 24)
    with pytest.raises(GraphError, match=r"t of the graph has the shape \[2, 80, 24\]"):
        flatten_map(np.zeros((2, 80, 24)), "t")
