"""A normalization at the front of a graph: what it computes, and that it is taken off."""

from dataclasses import replace

import numpy as np
import pytest

from picodet.config import Preprocessing
from picodet.graphs.graph import Graph, Node
from picodet.graphs.passes.normalization import NOT_NORMALIZED, take_normalization

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
IMAGENET = Preprocessing()
CONV = Node("conv", ("y",), ("z",), {"weight": "w"})


def channels(values, ndim=4):
    return np.asarray(values, np.float32).reshape(*[1] * (ndim - 3), 3, 1, 1)


FUSED = {"s": channels(1 / 255 / STD), "b": channels(-MEAN / STD)}  # as ppdet's fuse_normalize
MULTIPLY, ADD = Node("mul", ("image", "s"), ("x",)), Node("add", ("b", "x"), ("y",))


def graph(*nodes, **constants):
    weights = {"w": np.zeros((4, 3, 3, 3), np.float32)}
    return Graph(nodes, ("image", "scale_factor"), ("z",), constants | weights)


def test_what_ppdet_fuses():
    whole = graph(MULTIPLY, ADD, CONV, **FUSED)
    bare, found = take_normalization(whole)
    assert bare.nodes[-1] == replace(CONV, inputs=("image",))
    assert found.output == "y"
    assert found.after(NOT_NORMALIZED) == replace(IMAGENET, interp=2)
    assert np.allclose(found.factor, 1 / 255 / STD)


def test_the_interp_of_the_settings_stays():
    _, found = take_normalization(graph(MULTIPLY, ADD, CONV, **FUSED))
    assert found.after(replace(NOT_NORMALIZED, interp=1)) == replace(IMAGENET, interp=1)


def test_values_from_0_to_1_that_nobody_states():
    divide = Node("sub", ("image", "m"), ("x",)), Node("div", ("x", "d"), ("y",))
    _, found = take_normalization(graph(*divide, CONV, m=channels(MEAN, 3), d=channels(STD, 3)))
    assert found.after(None) == IMAGENET


def test_bytes_that_nobody_states():
    _, found = take_normalization(graph(MULTIPLY, ADD, CONV, **FUSED))
    assert found.after(None) == IMAGENET


def test_after_a_normalization_that_the_settings_state():
    """(x / 255 - 0.5) / 0.25, then * 2 + 1: the same as (x / 255 - 0.375) / 0.125."""
    stated = Preprocessing((0.5,) * 3, (0.25,) * 3)
    half = Node("mul", ("image", "two"), ("x",)), Node("add", ("x", "one"), ("y",))
    _, found = take_normalization(graph(*half, CONV, two=np.float32(2), one=np.float32([1])))
    assert found.after(stated) == Preprocessing((0.375,) * 3, (0.125,) * 3)


def test_numbers_that_are_no_share_of_255_stay_of_bytes():
    _, found = take_normalization(
        graph(Node("sub", ("image", "m"), ("y",)), CONV, m=channels([103.94, 116.78, 123.68]))
    )
    numbers = found.after(NOT_NORMALIZED)
    assert numbers.std == (1, 1, 1) or numbers.is_scale
    mean = np.array(numbers.mean) * (255 if numbers.is_scale else 1)
    assert mean == pytest.approx([103.94, 116.78, 123.68], abs=1e-3)


def test_a_scale_of_paddle_and_an_axis():
    nodes = (
        Node("scale", ("image",), ("x",), settings={"factor": 1 / 255, "bias": 0.0}),
        Node("sub", ("x", "m"), ("v",), settings={"axis": 1}),
        Node("div", ("v", "d"), ("y",), settings={"axis": 1}),
    )
    _, found = take_normalization(
        graph(*nodes, CONV, m=MEAN.astype(np.float32), d=STD.astype(np.float32))
    )
    assert found.after(NOT_NORMALIZED) == IMAGENET


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ((Node("relu", ("image",), ("y",)), CONV), {}),
        ((Node("identity", ("image",), ("y",)), CONV), {}),
        ((MULTIPLY, Node("sub", ("b", "x"), ("y",)), CONV), FUSED),  # b - x turns it around
        ((MULTIPLY, Node("add", ("x", "x"), ("y",)), CONV), FUSED),
        ((MULTIPLY, Node("div", ("x", "zero"), ("y",)), CONV), FUSED | {"zero": np.float32(0)}),
        ((Node("mul", ("image", "s"), ("y",)), CONV), {"s": channels([-1, 1, 1])}),
        ((Node("mul", ("image", "s"), ("y",)), CONV), {"s": np.ones((1, 1, 8, 8), "f4")}),
        ((Node("mul", ("image", "s"), ("y",)), Node("relu", ("y",), ("z",))), FUSED),
        ((MULTIPLY, ADD, CONV, Node("add", ("image", "b"), ("other",))), FUSED),
        ((replace(CONV, inputs=("image",)),), {}),
    ],
)
def test_what_is_no_normalization_stays(nodes, constants):
    whole = graph(*nodes, **constants)
    assert take_normalization(whole) == (whole, None)
