"""Damaged, false and maliciously expensive ONNX files give one clear error quickly."""

from itertools import pairwise

import bad_files
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from paddle_files import field

from picodet.errors import CheckpointError, GraphError
from picodet.graphs.onnx_reader import read_onnx

MANY = 5_900  # operators, fewer than are refused for their number


def tensor(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def model(nodes, weights=(), inputs=("x",), outputs=("y",)):
    values = [helper.make_tensor_value_info(n, 1, [1, 3, 8, 8]) for n in (*inputs, *outputs)]
    weights = [tensor("w", np.ones((3, 3, 1, 1), np.float32)), *weights]
    ends = values[: len(inputs)], values[len(inputs) :]
    return helper.make_model(helper.make_graph(list(nodes), "g", *ends, weights))


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


RELU = node("Relu", "x", "y")


@pytest.fixture
def refused(tmp_path):
    def refused_of(content, kind=CheckpointError):
        path = tmp_path / "x.onnx"
        path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
        with pytest.raises(kind) as caught:
            read_onnx(path)
        text = str(caught.value)
        assert text.startswith(f"{path}: ")
        return text

    return refused_of


def changed(weight, **fields):
    """A graph with one changed weight."""
    proto = tensor("v", weight)
    for name, value in fields.items():
        if name == "dims":
            del proto.dims[:]
            proto.dims.extend(value)
        else:
            setattr(proto, name, value)
    return model([RELU], [proto])


ONES = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (changed(ONES, dims=[50_000, 50_000]), r"'v' of shape [50000, 50000] holds 6 numbers"),
        (changed(ONES, dims=[2**62, 4]), "holds 6 numbers"),
        (changed(ONES, dims=[-2, -3]), "'v' has the shape [-2, -3]"),
        (changed(ONES, dims=[0, 10**12]), "'v' has the shape [0,"),
        (changed(ONES, dims=[1] * 100_000), "'v' has the shape [1, 1"),
        (changed(ONES, raw_data=bytes(23)), "holds 5.75 numbers"),
        (changed(ONES, raw_data=b""), "holds 0 numbers"),
        (changed(ONES, data_type=TensorProto.STRING), "has a dtype that weights do not have"),
        (changed(ONES, data_type=TensorProto.FLOAT8E4M3FN), "has a dtype that weights do not have"),
        (changed(ONES, data_type=77), "has a dtype that weights do not have"),
        (changed(ONES, name="w"), "w is there twice"),
    ],
)
def test_inconsistent_weights(refused, weight, message):
    assert message in refused(weight)


def test_values_outside_the_range_of_their_dtype(refused):
    half = TensorProto(name="v", dims=[1], data_type=TensorProto.FLOAT16, int32_data=[70_000])
    assert "'v' holds values outside the range of its type" in refused(model([RELU], [half]))


@pytest.mark.parametrize(
    ("written", "dtype"),
    [
        (helper.make_tensor("v", TensorProto.FLOAT16, [2], [1.0, -2.0]), "float16"),
        (tensor("v", np.array([1, -2], np.float16)), "float16"),
        (helper.make_tensor("v", TensorProto.BFLOAT16, [2], [1.0, -2.0]), "uint16"),
        (helper.make_tensor("v", TensorProto.DOUBLE, [2], [1.0, -2.0]), "float64"),
        (helper.make_tensor("v", TensorProto.INT64, [2], [1, -2]), "int64"),
        (helper.make_tensor("v", TensorProto.INT8, [2], [1, -2]), "int8"),
    ],
)
def test_dtypes(tmp_path, written, dtype):
    (tmp_path / "x.onnx").write_bytes(model([RELU], [written]).SerializeToString())
    array = read_onnx(tmp_path / "x.onnx")[1].constants["v"]
    assert array.dtype == dtype
    assert array.tolist() == ([0x3F80, 0xC000] if dtype == "uint16" else [1, -2])


@pytest.mark.parametrize("place", ["initializer", "constant"])
def test_no_other_file_is_opened(refused, tmp_path, place):
    external = tensor("v", ONES)
    external.ClearField("raw_data")
    external.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "/etc/passwd"), ("offset", "0"), ("length", "24")):
        external.external_data.add(key=key, value=value)
    if place == "initializer":
        written = model([RELU], [external])
    else:
        written = model([node("Constant", "", "v", value=external), RELU])
    assert "'v' stores its values in another file, which was not opened" in refused(written)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (b"", "it has 0 inputs and 0 outputs"),
        (b"no protobuf", "a field of the unknown wire type 6"),
        (b"\x3a\xff\xff\xff\xff\x0f", "bytes are missing"),
        (b"\x3a" + b"\xff" * 20, "an unterminated number"),
        (b"\x0b" * 1000, "a field of the unknown wire type 3"),  # groups in groups
        (model([]).SerializeToString() + b"\x3a\x80\x89\x7a" + b"\x0a\x00" * 1_000_000, "fields"),
        (model([RELU] * 6_001), "6,001 operators"),
        (model([RELU], inputs=("x", "x")), "two inputs have the same name"),
        (model([RELU], outputs=()), "1 inputs and 0 outputs"),
        (model([node("Constant", "", "c"), RELU]), "the constant c holds no value"),
        (model([node("Constant", "", "c", value_string="a"), RELU]), "holds no value"),
        (model([node("Constant", "", "", value_int=1), RELU]), "is there twice"),
        (model([node("Constant", "", "w", value_int=1), RELU]), "w is there twice"),
        (model([node("Conv", "x w", "y", strides=[1] * 10**5)]), "100,000 whole numbers"),
        (model([node("Conv", "x w", "y", strides=[1.5])]), "whole numbers"),
        (model([node("Conv", "x w", "y", group="a")]), "whole numbers"),
        (model([node("BatchNormalization", "x w w w w", "y", epsilon="a")]), "could not convert"),
        (model([node("Split", "x", "y z", split=[1, 2, 3])]), "a split into [1, 2, 3] makes 2"),
        (model([node("Clip", "x w", "y")]), "can only convert an array of size 1"),
    ],
)
def test_files_that_cannot_be_read(refused, graph, message):
    assert message in refused(graph)


def test_names_that_are_not_utf8(refused):
    for written in (model([RELU]), model([node("Relu", "x", "qq"), node("Relu", "qq", "y")])):
        content = written.SerializeToString()
        for name in (b"\x01x", b"\x01y", b"\x04Relu", b"\x02qq", b"\x01w"):
            if name in content:
                assert "not UTF-8" in refused(content.replace(name, name[:-1] + b"\xff"))


def test_a_duplicate_attribute(refused):
    conv = node("Conv", "x w", "y", group=1)
    conv.attribute.append(conv.attribute[0])
    assert "Conv y has an attribute twice" in refused(model([conv]))


@pytest.mark.parametrize(
    "lacking",
    [
        node("Relu", "", "y"),
        node("Relu", "x", ""),
        node("Identity", "", "y"),
        node("Conv", "x", "y"),
        node("BatchNormalization", "x w w w", "y"),
        node("NonMaxSuppression", "x", "y"),
        node("Div", "", "y"),
        helper.make_node("Sqrt", [""], ["y"]),
    ],
)
def test_operators_that_lack_something(refused, lacking):
    assert "has too few inputs or no output" in refused(model([lacking]), GraphError)


CYCLE = (node("Relu", "b", "a"), node("Relu", "a", "b"), node("Add", "a b", "y"))
THEN = helper.make_graph([RELU], "then", [], [helper.make_tensor_value_info("y", 1, [1])])
HOSTILE = {
    "which no operator before it makes": [
        model(CYCLE),
        model([node("Relu", "y", "y")]),
        model([node("Relu", "b", "a"), node("Relu", "x", "b"), node("Add", "a b", "y")]),
        model([node("Relu", "nowhere", "y")]),
    ],
    "writes the tensor": [
        model([RELU, RELU]),
        model([node("Relu", "x", "x")]),
        model([node("Relu", "x", "w")]),
        model([node("Identity", "x", "y"), RELU]),
    ],
    "the weight of conv": [
        model([node("Conv", "x x", "y")]),
        model([node("Conv", "x v", "y")], [tensor("v", ONES)]),
    ],
    "have the scale [": [model([node("DequantizeLinear", "w w", "v"), node("Conv", "x v", "y")])],
    "the network itself has control flow (if)": [
        model([node("If", "x", "y", then_branch=THEN, else_branch=THEN)])
    ],
    "convinteger y computes with integers": [model([node("ConvInteger", "x w", "y")])],
    "takes only constants": [model([node("Sigmoid", "w", "y")]), model([node("Sqrt", "w", "y")])],
    "of the constant": [model([node("Reshape", "w s", "y")], [tensor("s", [7, -1])])],
    "no head of a PicoDet": [
        model([helper.make_node("Conv", ["x", "w"], ["y"], domain="someone's")]),
        model([RELU], inputs=("x", *(f"i{i}" for i in range(10_000)))),
        model([helper.make_node("Concat", ["x"] * 90_000, ["y"])]),
    ],
}


@pytest.mark.parametrize(
    ("graph", "message"), [(graph, text) for text, graphs in HOSTILE.items() for graph in graphs]
)
def test_graphs_that_are_not_a_picodet(tmp_path, graph, message):
    path = tmp_path / "x.onnx"
    path.write_bytes(graph.SerializeToString())
    error = bad_files.check(path).error
    assert isinstance(error, GraphError)
    assert str(error).startswith(f"{path}: ")
    assert message in str(error)


def chain(kind, inputs="{}"):
    names = ["x", *(f"r{i}" for i in range(MANY))]
    nodes = [node(kind, inputs.format(a), b) for a, b in pairwise(names)]
    return model(nodes, outputs=names[-1:])


def side_by_side(second, *weights):
    half = MANY // 2
    nodes = [node("Conv", "x w", f"c{i}") for i in range(half)]
    nodes += [second(i) for i in range(half)]
    return model(nodes, weights, outputs=nodes[-1].output[:1])


EXPENSIVE = {
    "relu": chain("Relu"),
    "sqrt": chain("Sqrt"),
    "identity": chain("Identity"),
    "conv": chain("Conv", "{} w"),
    "reshape": chain("Reshape", "{}"),
    "square": chain("Mul", "{0} {0}"),
    "splits": side_by_side(lambda i: node("Split", f"c{i}", f"s{i} t{i}")),
    "sums": side_by_side(lambda i: node("Add", f"{f's{i - 1}' if i else 'x'} c{i}", f"s{i}")),
    "norms": side_by_side(lambda i: node("BatchNormalization", f"c{i} w w w w", f"s{i}")),
}


@pytest.mark.slow
@pytest.mark.parametrize("graph", EXPENSIVE.values(), ids=EXPENSIVE)
def test_graphs_that_are_made_to_be_expensive(tmp_path, graph):
    (tmp_path / "x.onnx").write_bytes(graph.SerializeToString())
    outcome = bad_files.check(tmp_path / "x.onnx")
    assert isinstance(outcome.error, GraphError)


def test_branches_in_branches(refused):
    content = b""
    for _ in range(300):  # a graph in an attribute of an operator of a graph
        for number in (6, 5, 1):
            content = field(number, content)
    assert "not a readable ONNX file: Error parsing" in refused(field(7, content))


def test_more_bytes_than_any_picodet(refused, tmp_path):
    with (tmp_path / "x.onnx").open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(CheckpointError, match="more than 128,000,000 bytes"):
        read_onnx(tmp_path / "x.onnx")


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_onnx(tmp_path / "x.onnx")
