"""Programs of Paddle 3, written by hand and real; and invalid ones."""

import numpy as np
import paddle_files as files
import pytest
from paddle_files import PirBuilder, value_type

from picodet.errors import CheckpointError, GraphError
from picodet.graphs import pir
from picodet.graphs.graph import Node, canonicalize

SMALL = files.small_pir()
NOTHING = {"#": "NULL"}
TENSOR = value_type((1,))


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    path, weights = folder / "model.json", folder / "model.pdiparams"

    def read_bytes(content, arrays=()):
        path.write_bytes(content)
        weights.write_bytes(files.pdiparams(dict(arrays)))
        return pir.read(path, weights)

    return read_bytes


class PirWithInput(PirBuilder):
    """A program with an image as input."""

    def __init__(self):
        super().__init__()
        self.image = self.input("image", (1, 3, 8, 8))

    def fetch(self, value):
        self.add("1.fetch", [value])
        return self.content()


def node_of(read, kind, *operands, results=1, **attributes):
    """A program of one operator and its operands, None for a missing one."""
    program = PirWithInput()
    values = [
        program.numbers(*value) if isinstance(value, tuple) else program.number(value)
        for value in operands
    ]
    result = program.add(f"1.{kind}", [program.image, *values], results, **attributes)
    (node,) = read(program.fetch(result if results == 1 else result[0])).graph.nodes
    return node


def test_a_small_program(read):
    program = read(SMALL, files.WEIGHTS)
    graph = program.graph
    assert program.shapes == {"image": (None, 3, 8, 8)}
    assert (graph.inputs, graph.outputs) == (("image",), ("/scale_0",))
    norm = {"weight": "w", "bias": "b", "running_mean": "m", "running_var": "v"}
    reshaped = ("conv_0.b_0",), ("/Net/reshape_0",)
    assert graph.nodes == (
        Node("conv", ("image",), ("/Net/conv2d_0",), {"weight": "conv_0.w_0"}),
        Node("reshape", *reshaped, {}, {"shape": (1, 4, 1, 1)}),
        Node("add", ("/Net/conv2d_0", "/Net/reshape_0"), ("/Net/add_0",)),
        Node(
            "batch_norm",
            ("/Net/add_0",),
            ("/Net/batch_norm_0",),
            {role: f"bn_0.{name}" for role, name in norm.items()},
            {"epsilon": files.EPSILON},
        ),
        Node("hardswish", ("/Net/batch_norm_0",), ("/Net/hardswish_0",)),
        Node("avg_pool", ("/Net/hardswish_0",), ("/pool2d_0",)),
        Node("identity", ("/pool2d_0",), ("/scale_0",)),
    )
    assert {name: graph.constants[name].tolist() for name in ("/full_int_array_0", "/full_0")} == {
        **{"/full_int_array_0": [1, 4, 1, 1], "/full_0": [1.0]},
    }
    assert all(np.array_equal(graph.constants[name], files.WEIGHTS[name]) for name in files.WEIGHTS)
    conv, index = program.results["/Net/conv2d_0"]
    assert (program.operators[conv], index) == ("pd_op.conv2d", 0)


def test_both_formats_of_one_network_give_equal_graphs(read, tmp_path):
    from picodet.graphs import pdmodel

    old, weights = tmp_path / "model.pdmodel", tmp_path / "model.pdiparams"
    old.write_bytes(files.small_pdmodel())
    weights.write_bytes(files.pdiparams(files.WEIGHTS))
    graphs = pdmodel.read(old, weights).graph, read(SMALL, files.WEIGHTS).graph
    kinds, roles = zip(
        *[
            ([node.kind for node in nodes], [node.weights for node in nodes])
            for nodes in (canonicalize(graph).nodes for graph in graphs)
        ],
        strict=True,
    )
    assert kinds[0] == kinds[1]
    assert roles[0] == roles[1]


POOL = {"adaptive": False, "global_pooling": False}


@pytest.mark.parametrize(
    ("kind", "operands", "attributes", "expected", "settings"),
    [
        ("relu_", (), {}, "relu", {}),
        ("relu6", (), {}, "relu6", {}),
        ("swish", (), {}, "swish", {}),
        ("sqrt", (), {}, "sqrt", {}),
        ("hardsigmoid", (), {"slope": 0.25, "offset": 0.5}, None, {"slope": 0.25, "offset": 0.5}),
        ("clip", (0.0, 6.0), {}, "clip", {"low": 0.0, "high": 6.0}),
        ("pow", (), {"y": 2.0}, "pow", {"exponent": 2.0}),
        ("scale", (1.0,), {"bias": 0.0}, "identity", {}),
        ("scale", (1.0,), {"bias": 1.0}, "scale", {}),
        ("scale", (2.0,), {"bias": 0.0}, "scale", {}),
        ("scale", (None,), {"bias": 0.0}, "scale", {}),
        ("reshape", ((0, -1),), {}, "reshape", {"shape": (0, -1)}),
        ("reshape", (None,), {}, "reshape", {}),
        ("transpose", (), {"perm": [0, 2, 1]}, "transpose", {"permutation": (0, 2, 1)}),
        ("pool2d", ((3, 3),), {"pooling_type": "max", **POOL}, "max_pool", {}),
        ("pool2d", ((3, 3),), {"pooling_type": "avg", **POOL}, "other_avg_pool", {}),
        ("nearest_interp", (None,), {}, "upsample", {}),
    ],
)
def test_operators_of_one_input(read, kind, operands, attributes, expected, settings):
    node = node_of(read, kind, *operands, **attributes)
    name = f"/{kind.rstrip('_')}_0"
    assert node == Node(expected or "hardsigmoid", ("image",), (name,), {}, settings)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("add", "add"), ("subtract", "sub"), ("multiply", "mul"), ("divide", "div")],
)
def test_operators_of_two_inputs(read, kind, expected):
    node = node_of(read, kind, 3.0)
    assert node == Node(expected, ("image", "/full_0"), (f"/{kind}_0",))


def test_an_unknown_operator_keeps_its_name_inputs_and_outputs(read):
    node = node_of(read, "unique", None, 2.0, results=[TENSOR, NOTHING, TENSOR])
    assert node == Node("unique", ("image", "/full_0"), ("/unique_0", "/unique_0:2"))


def test_lists_are_flattened(read):
    program = PirWithInput()
    sections, axis = program.numbers(1, 2), program.number(1.0)
    whole = program.add("1.split", [program.image, sections, axis], struct_name="/Net/")
    left, right = program.add("0.split", [whole], 2)
    both = program.add("0.combine", [right, left])
    found = read(program.fetch(program.add("1.concat", [both, axis])))
    split, concat = found.graph.nodes
    names = ("/Net/split_0.0", "/Net/split_0.1")
    assert split == Node("split", ("image",), names, {}, {"sections": (1, 2)})
    assert concat == Node("concat", names[::-1], ("/concat_0",))
    assert found.operators[found.results[names[1]][0]] == "builtin.split"
    assert found.results[names[1]][1] == 1


def test_constants(read):
    program = PirWithInput()
    program.add("1.full", value=7.0, shape=(2, 1))
    program.operators[-1]["A"][0]["AT"] = {"#": "0.a_f64", "VD": "-INF"}
    graph = read(program.fetch(program.add("1.relu", [program.image]))).graph
    assert graph.constants["/full_0"].tolist() == [[-np.inf], [-np.inf]]


@pytest.mark.parametrize("kind", ["float16", "uint16", "int64"])
def test_weights_of_other_formats(read, kind):
    program, array = PirWithInput(), np.arange(3).astype(kind)
    program.weight("w", array)
    graph = read(program.fetch(program.image), {"w": array}).graph
    assert graph.constants["w"].dtype == array.dtype


def graph_error(program):
    """A program with an operator that no network has."""
    builder = PirWithInput()
    last = program(builder)
    return builder.fetch(last if isinstance(last, int) else builder.image)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PirBuilder().content(), "0 inputs and 0 outputs"),
        (PirWithInput().content(), "1 inputs and 0 outputs"),
        (
            graph_error(lambda p: p.add("1.relu", [99])),
            "value 99 is used before an operator makes it",
        ),
        (graph_error(lambda p: p.add("1.relu", [p.count + 1])), "value 2 is used"),
        (graph_error(lambda p: p.add("1.relu", [0])), "too few inputs to make /relu_0"),
        (graph_error(lambda p: p.add("1.relu", [p.image], [])), "too few inputs to make nothing"),
        (graph_error(lambda p: p.input("image", (1,))), "two tensors named image"),
        (graph_error(lambda p: p.add("1.data", [])), "an input whose name is None"),
        (graph_error(lambda p: p.add("1.data", [], 2, name="x")), "makes 2 values; expected one"),
        (graph_error(lambda p: p.add("1.fetch", [p.image, p.image])), "its fetch is not of one"),
        (graph_error(lambda p: p.add("1.conv2d", [p.image])), "conv /conv2d_0 has no constant"),
        (
            graph_error(lambda p: p.add("0.combine", [p.add("0.combine", [p.image] * 2)] * 2)),
            "a list of something other than tensors",
        ),
        (
            graph_error(lambda p: p.add("1.full", shape=(10**5, 10**5), value=0.0)),
            "more than 1,000,000 values in all constants",
        ),
        (graph_error(lambda p: p.add("1.full", shape=(-1,), value=0.0)), r"full of the shape \(-1"),
        (
            graph_error(lambda p: p.add("1.full", shape=(1,), value="x")),
            "full of 'x'; expected a num",
        ),
        (graph_error(lambda p: p.add("1.full", value=0.0)), "full of the shape None"),
        (graph_error(lambda p: p.numbers(2**63)), "full_int_array of"),
        (graph_error(lambda p: p.numbers()), "full_int_array of"),
        (
            graph_error(lambda p: p.add("1.transpose", [p.image], perm="x")),
            "the perm of an operator is str 'x'; tuple expected",
        ),
        (
            graph_error(lambda p: p.add("1.relu", [p.image], struct_name="x" * 1001)),
            "the struct_name of relu is not a name",
        ),
        (
            graph_error(lambda p: p.add("1.reshape", [p.number(1.0), p.numbers(2, -1)])),
            r"reshape /reshape_0 of 1 constant values to \[2, -1\]",
        ),
    ],
)
def test_a_program_that_is_not_a_network(read, content, message):
    with pytest.raises(GraphError, match=message) as caught:
        read(content)
    assert "model.json: " in str(caught.value)


def test_a_duplicate_key(read):
    with pytest.raises(CheckpointError, match=r"model\.json: .*duplicate key"):
        read(files.small_pir().lstrip().replace(b"{", b'{"base_code": 1, ', 1))


def test_a_value_that_is_made_twice(read):
    program = PirWithInput()
    program.count = 0
    with pytest.raises(GraphError, match="makes value 1 twice"):
        read(program.fetch(program.add("1.relu", [program.image])))


def test_lists_of_lists_of_operands_stay_bounded(read):
    program = PirWithInput()
    both = program.add("0.combine", [program.image] * 1000)
    for _ in range(500):
        program.add("1.concat", [both])
    with pytest.raises(GraphError, match="take more than 200,000 values"):
        read(program.fetch(program.image))


@pytest.mark.parametrize(
    ("name", "convolutions", "operators"),
    [("picodet_s_416_coco", 133, 595), ("picodet_xs_320_coco_lcnet", 98, 374)],
)
def test_real_programs(shared, name, convolutions, operators):
    file = shared / "reference" / name / "export_nms" / name / "model.json"
    found = pir.read(file, file.with_suffix(".pdiparams"))
    assert found.graph.inputs == ("image", "scale_factor")
    assert len(found.graph.nodes) == operators
    nodes = canonicalize(found.graph).nodes
    assert sum(node.kind == "conv" for node in nodes) == convolutions
    assert nodes[-1].kind == "nms"
