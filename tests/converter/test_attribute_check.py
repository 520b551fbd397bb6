"""A graph with the right weights in the wrong operators is another network."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx_forms import nodes_of, onnx_model_of, set_attribute
from small_models import SMALL, V2, model_of

from picodet.converter.configure import ConvertOptions, FileHints
from picodet.converter.from_graph import from_graph
from picodet.converter.sources import GraphSource, Origin
from picodet.errors import GraphError
from picodet.graphs.onnx_reader import read_graph
from picodet.models.folding import fold_batch_norms

CONTENT = onnx_model_of(model_of(V2)).SerializeToString()
FOLDED = onnx_model_of(fold_batch_norms(model_of(V2))).SerializeToString()


@pytest.fixture
def proto():
    return onnx.ModelProto.FromString(CONTENT)


def read(proto):
    origin = Origin(Path("x.onnx"), "test")
    source = GraphSource(origin, read_graph(proto.graph), FileHints("x", (96, 128)))
    return from_graph(source, ConvertOptions(), allow_nonfinite=False)


def refused(proto):
    with pytest.raises(GraphError) as caught:
        read(proto)
    return str(caught.value)


def test_the_graph_as_it_is_passes(proto):
    assert read(proto)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        (
            "Conv",
            "strides",
            [1, 1],
            "has stride (1, 1); the matching layer of the model, backbone.conv1.conv, has (2, 2)",
        ),
        ("Conv", "strides", [2, 1], "has stride (2, 1)"),
        ("Conv", "pads", [0, 0, 0, 0], "has padding (0, 0, 0, 0)"),
        ("Conv", "pads", [0, 0, 1, 1], "backbone.conv1.conv, has (1, 1, 1, 1)"),
        ("Conv", "dilations", [2, 2], "has dilation (2, 2)"),
        ("Conv", "group", 3, "has groups 3; the matching layer of the model, backbone.conv1.conv"),
        ("BatchNormalization", "epsilon", 1e-3, "has epsilon 0.001"),
        ("BatchNormalization", "epsilon", float("nan"), "has epsilon nan"),
        ("HardSigmoid", "alpha", 0.2, "has slope 0.2"),
        ("HardSigmoid", "beta", 0.4, "has offset 0.4"),
    ],
)
def test_settings_that_no_weight_shows(proto, kind, name, value, message):
    set_attribute(nodes_of(proto, kind)[0], name, value)
    assert message in refused(proto).replace("0.20000000298023224", "0.2").replace(
        "0.4000000059604645", "0.4"
    ).replace("0.0010000000474974513", "0.001")


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [("BatchNormalization", "epsilon", 1.0001e-5), ("HardSigmoid", "alpha", 1 / 6)],
)
def test_a_number_that_was_written_as_a_decimal_is_the_same(proto, kind, name, value):
    for node in nodes_of(proto, kind):
        set_attribute(node, name, value)
    assert read(proto)


@pytest.mark.slow
def test_what_is_not_written_has_onnxs_default(proto):
    """A hard sigmoid of 0.2 and 0.5, which MobileNetV3 has and LCNet has not."""
    del nodes_of(proto, "HardSigmoid")[0].attribute[:]
    assert "has slope 0.2; the matching layer of the model, backbone.blocks6.0.se" in refused(proto)
    other = onnx.ModelProto()
    other.CopyFrom(onnx_model_of(model_of(SMALL["picodet_mobilenetv3_large_1x"])))
    for node in nodes_of(other, "HardSigmoid"):
        del node.attribute[:]
    assert read(other)


def test_another_activation(proto):
    nodes_of(proto, "HardSwish")[5].op_type = "Relu"
    assert "69 hardswish where the model has 70, 3 relu where the model has 2" in refused(proto)


def test_an_activation_that_is_missing(proto):
    node = nodes_of(proto, "HardSwish")[5]
    for other in proto.graph.node:
        other.input[:] = [node.input[0] if n == node.output[0] else n for n in other.input]
    assert "69 hardswish where the model has 70" in refused(proto)


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(0, 276))
def test_any_operator_that_is_missing_is_missed(i):
    proto = onnx.ModelProto.FromString(CONTENT)
    gone = proto.graph.node[i]
    for node in proto.graph.node:
        node.input[:] = [gone.input[0] if n == gone.output[0] else n for n in node.input]
    proto.graph.node.remove(gone)
    refused(proto)


def test_two_levels_that_were_exchanged(proto):
    """Both convolutions fit either place; what comes before and behind tells."""
    one, other = (n for n in nodes_of(proto, "Conv") if n.input[1] in _of_towers(proto))
    one.input[0], other.input[0] = other.input[0], one.input[0]
    with pytest.raises(GraphError):
        read(proto)


def _of_towers(proto):
    """The depthwise convolutions of the first two levels of the head: the same shape."""
    shapes = {t.name: list(t.dims) for t in proto.graph.initializer}
    towers = [n.input[1] for n in nodes_of(proto, "Conv") if shapes[n.input[1]] == [96, 1, 5, 5]]
    return towers[-8:-6]


def test_a_bias_that_has_no_place(proto):
    channels = numpy_helper.to_array(proto.graph.initializer[0]).shape[0]
    bias = numpy_helper.from_array(np.ones(channels, np.float32), "extra")
    proto.graph.initializer.append(bias)
    nodes_of(proto, "Conv")[0].input.append("extra")
    assert "has bias, which the matching layer of the model does not have (backbone" in refused(
        proto
    )


def test_a_number_that_is_added_on_the_way(proto):
    vector = numpy_helper.from_array(np.ones((1, 96, 1, 1), np.float32), "extra")
    proto.graph.initializer.append(vector)
    (add,) = nodes_of(proto, "Add")
    at = list(proto.graph.node).index(add)
    proto.graph.node.insert(at + 1, helper.make_node("Add", [add.output[0], "extra"], ["more"]))
    for node in list(proto.graph.node)[at + 2 :]:
        node.input[:] = ["more" if name == add.output[0] else name for name in node.input]
    assert "2 add where the model has 1" in refused(proto)


def test_one_norm_that_was_folded_among_others_that_were_not(proto):
    """The stem's: a bias in its convolution, and no norm behind it."""
    norm = nodes_of(proto, "BatchNormalization")[0]
    conv = next(node for node in nodes_of(proto, "Conv") if node.output[0] == norm.input[0])
    conv.input.append(norm.input[2])
    conv.output[0] = norm.output[0]
    proto.graph.node.remove(norm)
    found = read(proto)
    assert found.notes[-1].startswith("1 batch norms were folded")
    assert np.array_equal(
        found.weights["backbone.conv1.bn.bias"],
        numpy_helper.to_array(next(t for t in proto.graph.initializer if t.name == conv.input[2])),
    )


def test_a_norm_that_is_nowhere(proto):
    """Neither a bias nor a norm behind the convolution: nothing says what it was."""
    norm = nodes_of(proto, "BatchNormalization")[0]
    for node in proto.graph.node:
        node.input[:] = [norm.input[0] if n == norm.output[0] else n for n in node.input]
    proto.graph.node.remove(norm)
    assert "is conv; in the model it is conv and batch_norm" in refused(proto)


def test_a_folded_graph_with_a_wrong_stride():
    proto = onnx.ModelProto.FromString(FOLDED)
    set_attribute(nodes_of(proto, "Conv")[-1], "strides", [2, 2])
    assert "has stride (2, 2)" in refused(proto)
