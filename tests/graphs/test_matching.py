"""Small networks whose operators can be distinguished, and two whose cannot."""

import pytest

from picodet.errors import GraphError
from picodet.graphs.matching import Vertex, build_network, match_networks
from picodet.graphs.operators import Operator, Source


def vertex(kind, *sources, shape=()):
    return Vertex(
        kind, shape, tuple(Source(*s) if isinstance(s, tuple) else Source(s) for s in sources), ()
    )


RELU, SIGMOID = vertex("relu", -1), vertex("sigmoid", -1)


def test_order_and_names_do_not_matter():
    ours = [RELU, SIGMOID, vertex("concat", 0, 1)]
    theirs = [SIGMOID, RELU, vertex("concat", 1, 0)]
    assert match_networks(ours, theirs, ["b", "a", "c"]) == {0: 1, 1: 0, 2: 2}


def test_branches_that_begin_alike_are_recognized_by_where_they_end():
    convs = [vertex("conv", -1, shape=(8, 8, 1, 1))] * 2
    ours = [*convs, vertex("relu", 0), vertex("concat", 2, 1)]
    theirs = [*convs, vertex("relu", 1), vertex("concat", 2, 0)]
    assert match_networks(ours, theirs, list("abcd")) == {0: 1, 1: 0, 2: 2, 3: 3}


def test_a_concatenation_has_an_order_and_a_sum_has_none():
    ours = [RELU, SIGMOID, vertex("concat", 0, 1), vertex("add", 0, 1)]
    theirs = [RELU, SIGMOID, vertex("concat", 0, 1), vertex("add", 1, 0)]
    assert match_networks(ours, theirs, list("abcd")) == {i: i for i in range(4)}
    with pytest.raises(GraphError, match=r"first without a partner: concat c of the reference"):
        match_networks(
            ours, [RELU, SIGMOID, vertex("concat", 1, 0), vertex("add", 1, 0)], list("abcd")
        )


def test_halves_of_a_split_are_distinguished():
    ours = [vertex("split", -1), vertex("relu", (0, 0)), vertex("relu", (0, 1))]
    theirs = [ours[0], ours[2], ours[1]]
    assert match_networks(ours, theirs, list("abc")) == {0: 0, 1: 2, 2: 1}


def test_an_error_counts_differences_and_names_the_first():
    ours = [RELU, vertex("conv", 0, shape=(8, 8, 1, 1)), vertex("relu", 1)]
    theirs = [RELU, vertex("conv", 0, shape=(4, 8, 1, 1)), vertex("sigmoid", 1)]
    with pytest.raises(GraphError) as caught:
        match_networks(ours, theirs, ["r", "conv2d_7", "s"])
    message = str(caught.value)
    assert "1 relu where the model has 2, 1 sigmoid where the model has 0; " in message
    assert "conv [4, 8, 1, 1] conv2d_7 of the reference, conv [8, 8, 1, 1] of the model" in message


def test_an_extra_operator():
    theirs = [RELU, vertex("relu", -1)]
    with pytest.raises(GraphError, match="relu b of the reference, none of the model"):
        match_networks([RELU], theirs, ["a", "b"])


def test_indistinguishable_operators_are_refused():
    twins = [RELU, RELU]
    with pytest.raises(GraphError, match="a and b of the reference have the same place"):
        match_networks(twins, twins, ["a", "b"])


CONV = Operator("conv", "c", (Source(-1),), (), {"weight": "w"})
NORM = Operator("batch_norm", "n", (Source(0),), ())
HEAD = [
    Operator("conv", "h", (Source(1),), (), {"weight": "w"}),
    Operator("split", "s", (Source(2),), ()),
]


def test_network_ends_at_the_heads():
    after_head = [
        Operator("sigmoid", "p", (Source(3),), ()),
        Operator("relu", "aside", (Source(0),), ()),
    ]
    found = build_network([CONV, NORM, *HEAD, *after_head], {"w": (8, 8, 1, 1)})
    assert [v.parts for v in found] == [(0, 1), (2,), (3,)]
    assert [v.sources for v in found] == [(Source(-1),), (Source(0),), (Source(1),)]


def test_a_batch_norm_that_shares_its_convolution_stands_alone():
    add = Operator("add", "a", (Source(0), Source(1)), ())
    head = [
        Operator("conv", "h", (Source(2),), (), {"weight": "w"}),
        Operator("split", "s", (Source(3),), ()),
    ]
    found = build_network([CONV, NORM, add, *head], {"w": (8, 8, 1, 1)})
    assert [v.kind for v in found] == ["conv", "batch_norm", "add", "conv", "split"]
