import numpy as np
import pytest

from picodet.errors import GraphError
from picodet.graphs.graph import Graph, Node, canonicalize
from picodet.graphs.passes.float_graph import to_float

WEIGHT = np.arange(-4, 4, dtype=np.float32).reshape(2, 4, 1, 1)


def graph(nodes, **constants):
    return Graph(tuple(nodes), ("x",), (nodes[-1].name,), constants)


def conv(weight="w", image="x"):
    return Node("conv", (image,), ("y",), {"weight": weight})


def float_weight(given):
    """The weight of the only convolution, once the graph is canonical."""
    (node,) = canonicalize(to_float(given).graph).nodes
    assert node.inputs == ("x",)
    return to_float(given).graph.constants[node.weights["weight"]]


def test_a_graph_in_floats_stays_as_it_is():
    given = graph([Node("cast", ("x",), ("c",)), conv(image="c")], w=WEIGHT)
    assert to_float(given) == (type(to_float(given)))(given)
    assert to_float(given).graph is given


def test_half_precision_with_its_casts():
    half = WEIGHT.astype(np.float16)
    casts = Node("cast", ("x",), ("c",)), Node("cast", ("w",), ("v",))
    found = float_weight(graph([*casts, conv("v", "c")], w=half))
    assert found.dtype == np.float16
    assert np.array_equal(found, half)


def test_fake_quantization_leaves_the_weights_as_they_are():
    fake = [Node("fake_quantization", (n,), (m,)) for n, m in (("x", "c"), ("w", "v"))]
    assert np.array_equal(float_weight(graph([*fake, conv("v", "c")], w=WEIGHT)), WEIGHT)
    assert to_float(graph([*fake, conv("v", "c")], w=WEIGHT)).notes == (
        "2 operators that quantize are left out: the model computes in floats",
    )


def test_quantized_and_dequantized_floats_are_the_floats():
    pair = [Node("quantize", ("w", "s"), ("q",)), Node("dequantize", ("q", "s"), ("v",))]
    given = graph([*pair, conv("v")], w=WEIGHT, s=np.float32([0.5]))
    assert np.array_equal(float_weight(given), WEIGHT)


def test_a_tensor_that_is_quantized_twice():
    """As Paddle does it: once for each operator that takes it."""
    twice = [Node("quantize", ("x", "s"), ("q",))] * 2
    given = graph(
        [*twice, Node("dequantize", ("q", "s"), ("c",)), conv(image="c")],
        w=WEIGHT,
        s=np.float32([0.5]),
    )
    assert np.array_equal(float_weight(given), WEIGHT)


@pytest.mark.parametrize("dtype", ["int8", "float32"])  # Paddle may store either
def test_integers_become_integers_times_scale(dtype):
    settings = {"axis": 0, "levels": 127.0}
    given = graph(
        [Node("dequantize", ("w", "s", "z"), ("v",), settings=settings), conv("v")],
        w=WEIGHT.astype(dtype),
        s=np.float32([127, 254]),
        z=np.zeros(2, np.int32),
    )
    found = float_weight(given)
    assert found[:, :, 0, 0].tolist() == [[-4, -3, -2, -1], [0, 2, 4, 6]]
    assert "1 weights are stored as integers" in to_float(given).notes[0]


def test_a_zero_point():
    """onnxruntime's uint8: (integer - zero point) * scale."""
    given = graph(
        [Node("dequantize", ("w", "s", "z"), ("v",), settings={"axis": 1}), conv("v")],
        w=np.uint8([[0, 128, 255, 130]]).reshape(1, 4, 1, 1),
        s=np.float32([0.5]),
        z=np.uint8([128]),
    )
    assert float_weight(given).ravel().tolist() == [-64, 0, 63.5, 1]


@pytest.mark.parametrize(
    ("scales", "settings"),
    [
        ({"s": np.float32([127, 254])}, {}),  # of each channel
        ({"s": np.float32([127])}, {"max_range": 127.0}),  # 127^2 / 127 for all
    ],
)
def test_integers_before_a_convolution_that_is_dequantized(scales, settings):
    end = Node("output_dequantization", ("y", "s"), ("z",), settings=settings)
    given = graph([conv(), end], w=WEIGHT, **scales)
    (node,) = canonicalize(to_float(given).graph).nodes
    found = to_float(given).graph.constants[node.weights["weight"]]
    second = [0, 1, 2, 3] if settings else [0, 2, 4, 6]
    assert found[:, :, 0, 0].tolist() == [[-4, -3, -2, -1], second]


def test_floats_before_a_convolution_that_is_dequantized():
    end = Node("output_dequantization", ("y", "s"), ("z",))
    given = graph([conv(), end], w=WEIGHT + np.float32(0.25), s=np.float32([127, 254]))
    assert np.array_equal(to_float(given).graph.constants["w"], WEIGHT + np.float32(0.25))


@pytest.mark.parametrize(
    ("scale", "found"),
    [
        (np.float32([1, 2, 3]), r"the scale \[3\] at axis 0"),
        (np.float32([np.nan]), r"the scale \[1\] at axis 0"),
        (None, "the scale none"),
    ],
)
def test_integers_without_a_usable_scale(scale, found):
    constants = {} if scale is None else {"s": scale}
    nodes = [Node("dequantize", ("w", "s"), ("v",)), conv("v")]
    with pytest.raises(GraphError, match=rf"the integers w of shape \[2, 4, 1, 1\] have {found}"):
        to_float(graph(nodes, w=WEIGHT, **constants))


def test_fractions_are_no_integers():
    nodes = [Node("dequantize", ("w", "s"), ("v",)), conv("v")]
    with pytest.raises(GraphError, match="w: expected integers to dequantize, found fractions"):
        to_float(graph(nodes, w=WEIGHT / 3, s=np.float32([1])))


def test_convolutions_of_integers():
    with pytest.raises(GraphError, match="qlinearconv y computes with integers"):
        to_float(graph([Node("qlinearconv", ("x", "w"), ("y",))], w=WEIGHT))


def test_scales_are_listed_by_name():
    pair = [Node("quantize", ("w", "a@scale"), ("q",)), Node("dequantize", ("q", "b"), ("v",))]
    given = graph([*pair, conv("v")], w=WEIGHT, b=np.float32([1]), **{"a@scale": np.float32([1])})
    assert to_float(given).scales == ("a@scale",)
    assert to_float(graph([conv()], w=WEIGHT, scale=WEIGHT)).scales == ()


@pytest.mark.parametrize(
    ("zero", "kinds"),
    [
        (np.uint8(0), ["conv", "relu"]),
        (np.int8(-128), ["conv", "relu"]),
        (np.uint8(3), ["conv"]),
        (np.int8(0), ["conv"]),
    ],
)
def test_a_relu_that_is_in_the_quantizer(zero, kinds):
    """onnxruntime's: what is below the zero point is cut off."""
    ends = Node("quantize", ("y", "s", "z"), ("q",)), Node("dequantize", ("q", "s", "z"), ("v",))
    given = graph([conv(), *ends], w=WEIGHT, s=np.float32(1), z=zero)
    assert [node.kind for node in canonicalize(to_float(given).graph).nodes] == kinds
