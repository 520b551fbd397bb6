"""Programs of Paddle 2, written by hand and real; and invalid ones."""

import numpy as np
import paddle_files as files
import pytest
from paddle_files import feed, fetch, field, operator

from picodet.errors import CheckpointError, GraphError
from picodet.graphs import pdmodel
from picodet.graphs.graph import Node, canonicalize

CONV = {"conv_0.w_0": np.ones((4, 3, 1, 1), np.float32)}
SMALL = files.small_pdmodel()


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    path, weights = folder / "model.pdmodel", folder / "model.pdiparams"

    def read_bytes(content, arrays=CONV):
        path.write_bytes(content)
        weights.write_bytes(files.pdiparams(arrays))
        return pdmodel.read(path, weights)

    return read_bytes


def node_of(read, kind, inputs=None, outputs=None, weights=None, **attributes):
    """A program of one operator between a feed and a fetch."""
    inputs, outputs = inputs or {"X": "image"}, outputs or {"Out": "y"}
    operators = [feed("image"), operator(kind, inputs, outputs, **attributes), fetch("y")]
    (node,) = read(files.pdmodel(operators, weights or {}), weights or {}).graph.nodes
    return node


def test_a_small_program(read):
    program = read(SMALL, files.WEIGHTS)
    graph = program.graph
    assert program.shapes == {"image": (None, 3, 8, 8)}
    assert (graph.inputs, graph.outputs) == (("image",), ("out",))
    norm = {"weight": "w", "bias": "b", "running_mean": "m", "running_var": "v"}
    assert graph.nodes == (
        Node("conv", ("image",), ("d",), {"weight": "conv_0.w_0"}),
        Node("add", ("d", "conv_0.b_0"), ("c",), {}, {"axis": 1}),
        Node(
            "batch_norm",
            ("c",),
            ("n",),
            {role: f"bn_0.{name}" for role, name in norm.items()},
            {"epsilon": files.EPSILON},
        ),
        Node("hardswish", ("n",), ("h",)),
        Node("avg_pool", ("h",), ("p",)),
        Node("identity", ("p",), ("out",)),
    )
    assert set(graph.constants) == set(files.WEIGHTS)
    assert all(np.array_equal(graph.constants[name], files.WEIGHTS[name]) for name in files.WEIGHTS)
    assert [node.kind for node in canonicalize(graph).nodes] == [
        *("conv", "batch_norm", "hardswish", "avg_pool"),
    ]


X = ("image",)


@pytest.mark.parametrize(
    ("kind", "attributes", "expected", "settings"),
    [
        ("relu", {}, "relu", {}),
        ("relu6", {"threshold": 6.0}, "relu6", {}),
        ("swish", {"beta": 1.0}, "swish", {}),
        ("sqrt", {}, "sqrt", {}),
        ("assign", {}, "identity", {}),
        ("hard_swish", {}, "hardswish", {}),
        ("hard_swish", {"offset": 2.0}, "other_hardswish", {}),
        ("hard_sigmoid", {"slope": 0.25, "offset": 0.5}, None, {"slope": 0.25, "offset": 0.5}),
        ("hard_sigmoid", {}, None, {"slope": 0.2, "offset": 0.5}),
        ("clip", {"min": 0.0, "max": 6.0}, "clip", {"low": 0.0, "high": 6.0}),
        ("pow", {"factor": 0.5}, "pow", {"exponent": 0.5}),
        ("scale", {"scale": 1.0, "bias": 0.0}, "identity", {}),
        ("scale", {}, "identity", {}),
        ("scale", {"scale": 2.0}, "scale", {}),
        ("scale", {"bias": 1.0}, "scale", {}),
        ("reshape2", {"shape": [0, -1]}, "reshape", {"shape": (0, -1)}),
        ("transpose2", {"axis": [0, 2, 1]}, "transpose", {"permutation": (0, 2, 1)}),
        ("split", {"sections": [4]}, "split", {"sections": (4,)}),
        ("split", {"num": 1, "sections": []}, "split", {}),
        ("pool2d", {"pooling_type": "max", "ksize": [3, 3]}, "max_pool", {}),
        ("pool2d", {"pooling_type": "max", "global_pooling": True}, "other_max_pool", {}),
        ("pool2d", {"pooling_type": "avg", "ksize": [3, 3]}, "other_avg_pool", {}),
        ("pool2d", {"pooling_type": "avg", "global_pooling": True}, "avg_pool", {}),
        ("pool2d", {"pooling_type": "avg", "adaptive": True, "ksize": [1, 1]}, "avg_pool", {}),
        ("nearest_interp_v2", {"scale": [2, 2]}, "upsample", {}),
        ("mish", {"threshold": 20.0}, "mish", {}),
    ],
)
def test_operators_of_one_input(read, kind, attributes, expected, settings):
    expected = expected or "hardsigmoid"
    assert node_of(read, kind, **attributes) == Node(expected, X, ("y",), {}, settings)


@pytest.mark.parametrize("kind", ["add", "sub", "mul", "div", "max", "min", "pow"])
def test_operators_of_two_inputs(read, kind):
    node = node_of(read, f"elementwise_{kind}", {"Y": "image", "X": "image"}, axis=-1)
    assert node == Node(kind, ("image", "image"), ("y",), {}, {"axis": -1})


@pytest.mark.parametrize(
    ("kind", "slot", "attributes", "expected"),
    [
        ("reshape2", "Shape", {"shape": [1]}, "reshape"),
        ("reshape2", "ShapeTensor", {"shape": [1]}, "reshape"),
        ("scale", "ScaleTensor", {"scale": 1.0}, "scale"),
        ("clip", "Max", {"min": 0.0, "max": 6.0}, "clip"),
    ],
)
def test_computed_values_are_not_settings(read, kind, slot, attributes, expected):
    node = node_of(read, kind, {"X": "image", slot: "image"}, **attributes)
    assert (node.kind, node.settings.get("shape"), node.settings.get("high")) == (
        *(expected, None, None),
    )


def test_an_unknown_operator_keeps_its_name_and_inputs(read):
    outputs = {"XShape": "shape", "Out": "y"}
    node = node_of(read, "flatten", {"Z": "image", "A": ["image", "image"]}, outputs)
    assert node == Node("flatten", ("image",) * 3, ("y", "shape"))  # in the order of the slots


def test_inputs_and_outputs_are_in_the_order_of_their_columns(read):
    inputs = [("scale_factor", (1, 2)), ("image", (1, 3, 8, 8))]
    operators = [
        feed("image", 1),
        feed("scale_factor", 0),
        operator("relu", {"X": "image"}, {"Out": "a"}),
        operator("relu", {"X": "a"}, {"Out": "b"}),
        fetch("b", 1),
        fetch("a", 0),
    ]
    graph = read(files.pdmodel(operators, {}, inputs), {}).graph
    assert graph.inputs == ("image", "scale_factor")  # an image has four dimensions
    assert graph.outputs == ("a", "b")


def relu(source="image", name="y"):
    return operator("relu", {"X": source}, {"Out": name})


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        ([relu(), fetch("y")], "0 operators feed"),
        ([feed("image"), feed("image"), relu(), fetch("y")], "2 operators feed"),
        ([feed("other"), relu("other"), fetch("y")], "its input other is not declared"),
        ([feed("image"), relu()], "0 operators fetch"),
        ([feed("image"), relu(), operator("fetch", {}, {})], "a fetch of 0 tensors"),
        (
            [feed("image"), relu("nothing"), fetch("y")],
            "relu takes nothing, which no operator before",
        ),
        (
            [feed("image"), relu("b", "a"), relu("a", "b"), fetch("b")],
            "relu takes b, which no operator",
        ),
        ([feed("image"), relu("y"), fetch("y")], "relu takes y, which no operator before it makes"),
        ([feed("image"), relu(name="image"), fetch("image")], "relu writes image, an input"),
        ([feed("image"), relu(name="conv_0.w_0"), fetch("y")], "relu writes conv_0.w_0, an input"),
        (
            [feed("image"), operator("relu", {}, {"Out": "y"}), fetch("y")],
            "too few inputs to make y",
        ),
        ([feed("image"), relu(name=[]), fetch("y")], "too few inputs to make nothing"),
        (
            [feed("image"), operator("elementwise_add", {"X": "image"}, {"Out": "y"}), fetch("y")],
            "an operator elementwise_add has too few inputs",
        ),
        (
            [feed("image"), operator("conv2d", {"Input": "image"}, {"Output": "y"}), fetch("y")],
            "conv y has no constant weight",
        ),
        (
            [
                feed("image"),
                operator("conv2d", {"Input": "image", "Filter": "image"}, {"Output": "y"}),
                fetch("y"),
            ],
            "conv y has no constant weight",
        ),
        (
            [
                feed("image"),
                operator("reshape2", {"X": "conv_0.w_0"}, {"Out": "y"}, shape=[-1, 5]),
                fetch("y"),
            ],
            r"reshape y of 12 constant values to \[-1, 5\]",
        ),
        (
            [
                feed("image"),
                operator("split", {"X": "image"}, {"Out": ["y", "z"]}, sections=[1, 1, 1]),
                fetch("y"),
            ],
            r"a split into \[1, 1, 1\] makes 2 tensors",
        ),
        (
            [
                feed("image"),
                operator("hard_sigmoid", {"X": "image"}, {"Out": "y"}, slope="steep"),
                fetch("y"),
            ],
            "the slope of an operator is str 'steep'; float expected",
        ),
    ],
)
def test_a_program_that_is_not_a_network(read, operators, message):
    with pytest.raises(GraphError, match=message) as caught:
        read(files.pdmodel(operators, CONV))
    assert "model.pdmodel: " in str(caught.value)


def test_two_weights_of_one_name(read):
    twice = [files.variable("w", (1,), persistable=True)] * 2
    weights = {"w": np.ones(1, np.float32)}
    program = field(1, files.block([feed("image"), relu(), fetch("y")], twice))
    with pytest.raises(CheckpointError, match="two weights named w"):
        read(program, weights)


@pytest.mark.parametrize(
    ("folder", "convolutions", "operators"),
    [
        ("weights/picodet_s_192_pedestrian", 133, 512),
        ("reference/picodet_s_416_coco/export_raw_pdmodel/picodet_s_416_coco", 133, 542),
        (
            "reference/picodet_xs_320_coco_lcnet/export_raw_pdmodel/picodet_xs_320_coco_lcnet",
            98,
            361,
        ),
    ],
)
def test_real_programs(shared, folder, convolutions, operators):
    file = shared / folder / "model.pdmodel"
    graph = pdmodel.read(file, file.with_suffix(".pdiparams")).graph
    assert len(graph.nodes) == operators
    nodes = canonicalize(graph).nodes
    assert sum(node.kind == "conv" for node in nodes) == convolutions
    assert {node.kind for node in nodes} <= {
        *(
            "conv",
            "batch_norm",
            "hardswish",
            "relu",
            "hardsigmoid",
            "sigmoid",
            "add",
            "mul",
            "scale",
        ),
        *("concat", "split", "shuffle", "max_pool", "avg_pool", "upsample", "reshape", "transpose"),
        *("other_avg_pool", "sqrt"),
    }
