"""ONNX files of several exporters, recorded and paired with the model they came from."""

from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from exporting import export_onnx
from onnx import TensorProto, helper, numpy_helper
from tracing import SMALL, filled_model, seeded_checkpoint

from picodet.alignment.pairing.by_structure import pair_by_structure
from picodet.alignment.recording.index import Index
from picodet.alignment.recording.reader import Recording
from picodet.alignment.recording.writer import RecordingWriter
from picodet.alignment.reference.onnx_runtime import record_onnx
from picodet.errors import CheckpointError, GraphError, RecordingError
from picodet.formats import pdparams
from picodet.graphs.graph import canonicalize
from picodet.graphs.onnx_reader import read_graph
from picodet.zoo.official import CONFIGS


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    found = [t for part in value for t in tensors(part)] if isinstance(value, tuple) else []
    return list({id(tensor): tensor for tensor in found}.values())


def recorded(file, path, size):
    """A recording of an ONNX file, run on noise."""
    images = np.random.default_rng(0).standard_normal((1, 3, *size)).astype(np.float32)
    steps = []
    with RecordingWriter(0) as writer:
        record = record_onnx(file, writer, images, np.ones(2), lambda *step: steps.append(step))
        assert steps[-1] == (len(steps), len(steps))
        numbers = {"versions": {}, "precision": "float32", "samples": 0, "scale_factor": (1, 1)}
        empty_fields = {"image": None, "settings": None, "steps": (), "calls": (), "probes": {}}
        index = Index(
            kind="onnx",
            file=file.name,
            sha256="",
            input=writer.add(images),
            weights=record.weights,
            operators=record.operators,
            network_outputs=record.outputs,
            tensors=writer.tensors,
            **numbers,
            **empty_fields,
        )
        writer.write(path, index)
    return Recording(path)


def greatest_error(model, recording):
    """Over all layers' inputs and outputs, relative to the tensor's scale; and how many."""
    errors = []
    calls = iter(pair_by_structure(model.config, recording.index).calls)

    def hook(path):
        def compare(_layer, taken, returned):
            call = next(calls)
            assert call.path == path
            for ours, keys in ((tensors(taken), call.inputs), (tensors(returned), call.outputs)):
                assert len(ours) == len(keys)
                for tensor, key in zip(ours, keys, strict=True):
                    if key is not None:
                        theirs = recording.tensor(key)
                        assert theirs.shape == tuple(tensor.shape)
                        errors.append(np.abs(theirs - tensor.numpy()).max() / np.abs(theirs).max())

        return compare

    for path, layer in model.named_modules():
        if path:
            layer.register_forward_hook(hook(path))
    with torch.inference_mode():
        model(torch.from_numpy(recording.tensor(recording.index.input)))
    assert next(calls, None) is None
    return max(errors), len(errors)


@pytest.mark.slow
@pytest.mark.parametrize(("folded", "compared"), [(False, 807), (True, 601)])
def test_every_layer_of_an_export_is_found(folded, compared, tmp_path):
    model = filled_model(SMALL, seeded_checkpoint(SMALL))
    export_onnx(model, tmp_path / "small.onnx", folded)
    recording = recorded(tmp_path / "small.onnx", tmp_path / "r.safetensors", SMALL.input_size)
    error, count = greatest_error(model, recording)
    assert count == compared  # all but two sides of each of 103 batch norms
    assert error < 2e-3  # random weights amplify rounding; a swapped tensor would be off by 1
    kinds = Counter(operator.kind for operator in recording.index.operators)
    assert kinds["batch_norm"] == (0 if folded else 103)
    assert (kinds["hardswish"], kinds["shuffle"], kinds["reshape"]) == (87, 10, 0)
    shapes = [recording.index.tensors[key].shape for key in recording.index.network_outputs.scores]
    assert shapes == [(1, 3, 256), (1, 3, 64), (1, 3, 16), (1, 3, 4)]


OFFICIAL = "weights/picodet_s_416_coco.onnx", "weights/picodet_s_416_coco.pdparams"
RAW, NMS = (
    (
        f"reference/picodet_s_416_coco/{name}",
        "reference/picodet_s_416_coco/picodet_s_416_coco.pdparams",
    )
    for name in ("export_raw.onnx", "export_nms.onnx")
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "weights", "noise"),
    [(*OFFICIAL, 1e-4), (*RAW, 1e-3), (*NMS, 1e-3)],
    ids=["official", "raw", "nms"],
)
def test_real_exports(shared, file, weights, noise, tmp_path):
    config = CONFIGS["picodet_s_416_coco"]
    model = filled_model(config, pdparams.read(shared / weights))
    recording = recorded(shared / file, tmp_path / "r.safetensors", config.input_size)
    assert greatest_error(model, recording)[0] < noise  # the last two have random weights
    ending = recording.index.network_outputs
    decoded = [recording.index.tensors[key].shape for key in (ending.boxes, ending.kept) if key]
    assert decoded == ([(1, 3598, 4), (100, 6)] if "nms" in file else [])


SIDES = (("x", 3), ("y", 2))


def test_another_network_is_rejected(tmp_path):
    constant = numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w")
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    sides = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, c, 64, 64]) for name, c in SIDES
    )
    graph = helper.make_graph(nodes, "small", [next(sides)], [next(sides)], [constant])
    file = tmp_path / "other.onnx"
    onnx.save(helper.make_model(graph), file)
    with pytest.raises(GraphError, match="no head of a PicoDet in the graph"):
        recorded(file, tmp_path / "r", (64, 64))


def small_graph(nodes, constants=(), constant_inputs=()):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])]
    inputs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in constant_inputs]
    output = helper.make_empty_tensor_value_info("y")
    initializers = [numpy_helper.from_array(array, name) for name, array in constants]
    return helper.make_graph(nodes, "small", inputs, [output], initializers)


WEIGHT = ("w", np.ones((2, 2, 1, 1), np.float32))


def test_weights_may_be_inputs_and_operators():
    bias = helper.make_tensor("", TensorProto.FLOAT, [2], [3.0, 4.0])
    nodes = [
        helper.make_node("Constant", [], ["b"], value=bias),
        helper.make_node("Conv", ["x", "w", "b"], ["y"]),
    ]
    graph = canonicalize(read_graph(small_graph(nodes, [WEIGHT], ["w"])))
    assert graph.inputs == ("x",)
    assert graph.nodes[0].weights == {"weight": "w", "bias": "b"}
    assert graph.constants["b"].tolist() == [3, 4]


@pytest.mark.parametrize(
    ("limits", "attributes", "found"),
    [
        (["zero", "six"], {}, ["hardswish"]),
        ([], {"min": 0.0, "max": 6.0}, ["hardswish"]),  # before opset 11
        (["zero", "seven"], {}, ["add", "clip", "mul", "div"]),
        ([], {}, ["add", "clip", "mul", "div"]),
    ],
)
def test_hardswish_in_four_operators(limits, attributes, found):
    nodes = [
        helper.make_node("Add", ["x", "three"], ["a"]),
        helper.make_node("Clip", ["a", *limits], ["b"], **attributes),
        helper.make_node("Mul", ["x", "b"], ["c"]),
        helper.make_node("Div", ["c", "six"], ["y"]),
    ]
    numbers = {"zero": 0, "three": 3, "six": 6, "seven": 7}
    constants = [(name, np.array(value, np.float32)) for name, value in numbers.items()]
    graph = canonicalize(read_graph(small_graph(nodes, constants)))
    assert [node.kind for node in graph.nodes] == found


def test_unknown_operators_keep_their_name():
    graph = read_graph(small_graph([helper.make_node("Erf", ["x"], ["y"])]))
    assert graph.nodes[0].kind == "erf"


@pytest.mark.parametrize("content", [b"", b"no model", bytes(range(256))])
def test_a_file_that_is_no_onnx(content, tmp_path):
    (tmp_path / "no.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match="not a readable ONNX file"):
        recorded(tmp_path / "no.onnx", tmp_path / "r.safetensors", (128, 128))


def test_inputs_that_do_not_fit(tmp_path):
    model = filled_model(SMALL, seeded_checkpoint(SMALL))
    file = tmp_path / "small.onnx"
    export_onnx(model, file)
    with pytest.raises(RecordingError, match=r"\[1, 3, 64, 64\].*for \[1, 3, 128, 128\]"):
        recorded(file, tmp_path / "r.safetensors", (64, 64))
    content = onnx.load(file)
    content.graph.input.append(helper.make_tensor_value_info("im_shape", TensorProto.FLOAT, [1, 2]))
    file.write_bytes(content.SerializeToString())
    with pytest.raises(RecordingError, match="unknown inputs im_shape; expected the image"):
        recorded(file, tmp_path / "r.safetensors", (128, 128))
