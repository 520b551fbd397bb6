import pytest

from picodet.errors import GraphError
from picodet.graphs.graph import Graph, Node
from picodet.graphs.passes.control_flow import cut


def graph(*nodes, outputs=("kept",)):
    return Graph(tuple(Node(*node) for node in nodes), ("image",), outputs, {})


NETWORK = ("conv", ("image",), ("a",)), ("sigmoid", ("a",), ("b",))
LOOP = (
    ("while", ("b", "counter"), ("kept", "counter")),
    ("scale", ("kept",), ("larger",)),
)


def test_a_network_without_control_flow_stays_as_it_is():
    whole = graph(*NETWORK, outputs=("b",))
    assert cut(whole) is whole


def test_a_loop_and_what_depends_on_it_is_left_out():
    found = cut(graph(*NETWORK, *LOOP, outputs=("larger", "a")))
    assert [node.kind for node in found.nodes] == ["conv", "sigmoid"]
    assert found.outputs == ("a", "b")  # the loop takes b
    assert found.is_partial


def test_operators_that_change_a_tensor_in_place_are_left_out():
    written = ("relu", ("a",), ("b",))
    found = cut(graph(*NETWORK, written, ("increment", ("b",), ("b",))))
    assert [node.name for node in found.nodes] == ["a", "b"]
    assert found.nodes[1].kind == "sigmoid"
    assert found.outputs == ("a", "b")


@pytest.mark.parametrize(
    "kind", ["conditional_block", "write_to_array", "if", "loop", "increment_"]
)
def test_kinds_of_control_flow(kind):
    assert cut(graph(*NETWORK, (kind, ("b",), ("kept",)))).outputs == ("b",)


def test_a_network_in_a_loop():
    with pytest.raises(GraphError, match=r"the network itself has control flow \(while\)"):
        cut(graph(("while", ("image",), ("a",)), ("conv", ("a",), ("kept",))))
