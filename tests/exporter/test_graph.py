"""The exported graph has the model's operators and the names of its layers."""

import json
from collections import Counter
from dataclasses import replace

import onnx
import pytest
from onnx import helper
from onnx.utils import Extractor
from tracing import filled_model, seeded_checkpoint

from picodet.exporter import ort
from picodet.exporter.model_proto import build_model
from picodet.exporter.options import ExportOptions
from picodet.formats.meta import META_KEY, config_from_meta
from picodet.zoo.architectures import XS_LCNET


@pytest.fixture(scope="module")
def graph(seeded_model, meta):
    return build_model(seeded_model, ExportOptions("heads"), meta).graph


@pytest.fixture(scope="module", params=["esnet", "lcnet"])
def heads(request, seeded_model, meta):
    """The exported network without decoding, of both generations."""
    model = seeded_model
    if request.param == "lcnet":
        config = replace(XS_LCNET, classes=("a", "b", "c"), input_size=(96, 64))
        model = filled_model(config, seeded_checkpoint(config))
    return build_model(model, ExportOptions("heads"), meta)


def nodes(graph):
    """The names of all nodes, those in branches too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from nodes(attribute.g)


def kinds(proto):
    return [node.op_type for node in proto.graph.node]


def test_every_convolution_has_its_layers_name_and_a_bias(graph, seeded_model):
    convs = [node for node in graph.node if node.op_type == "Conv"]
    paths = {name.removesuffix(".weight") for name in seeded_model.state_dict()}
    assert len(convs) == 133
    for node in convs:
        assert node.name == node.output[0]
        assert node.name in paths
        assert node.input[1:] == [f"{node.name}.weight", f"{node.name}.bias"]


def test_operators_without_weights_are_named_after_their_block(graph):
    names = {node.name: node.op_type for node in graph.node}
    assert names["backbone.stage3.block2.se.avg_pool"] == "GlobalAveragePool"
    assert names["backbone.stage3.block2.shuffle"] == "Reshape"
    assert names["neck.downsamples.1.hardswish"] == "HardSwish"  # behind the depthwise one
    assert names["neck.downsamples.1.hardswish_2"] == "HardSwish"  # behind the pointwise one
    assert names["neck.upsample"] == names["neck.upsample_2"] == "Resize"
    assert names["head.conv_feat.levels.3.pw1.hardswish"] == "HardSwish"


@pytest.mark.slow
def test_names_are_unique(heads):
    graph = heads.graph
    names = [node.name for node in graph.node]
    tensors = [name for node in graph.node for name in node.output]
    tensors += [value.name for value in (*graph.input, *graph.initializer)]
    assert all(names)
    assert len(names) == len(set(names))
    assert len(tensors) == len(set(tensors))


def test_a_cut_before_a_convolution_cuts_no_other_reader(heads):
    """Otherwise NNCF's bias correction loses layers: it cuts by tensor names."""
    readers = Counter(name for node in heads.graph.node for name in node.input)
    shared = [
        node.name
        for node in heads.graph.node
        if node.op_type == "Conv" and readers[node.input[0]] > 1
    ]
    assert not shared


def test_every_block_can_be_extracted(heads):
    """By onnx's extractor, as other tools do it; a block is a path of three names."""
    blocks = {}
    for node in heads.graph.node:
        blocks.setdefault(".".join(node.name.split(".")[:3]), []).append(node)
    constants = {tensor.name for tensor in heads.graph.initializer}
    ends = {value.name for value in heads.graph.output}
    extractor = Extractor(heads)
    for path, block in blocks.items():
        written = {name for node in block for name in node.output}
        read = {name for node in block for name in node.input if name}
        within = {id(node) for node in block}
        outside = {
            name for node in heads.graph.node if id(node) not in within for name in node.input
        }
        inputs, outputs = sorted(read - written - constants), sorted(written & (outside | ends))
        extracted = extractor.extract_model(inputs, outputs)
        onnx.checker.check_model(extracted, full_check=True)
        assert {node.name for node in extracted.graph.node} == {node.name for node in block}, path
    assert len(blocks) > 30


def test_all_batch_norms_are_folded(graph):
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    assert not [tensor.name for tensor in graph.initializer if "running" in tensor.name]


@pytest.mark.slow
def test_no_constant_is_unused(seeded_model, meta):
    for level in ("heads", "boxes", "detections"):
        for opset in (11, 13):
            proto = build_model(
                seeded_model, ExportOptions(level, opset, input_size=(256, 256)), meta
            )
            used = {name for node in nodes(proto.graph) for name in node.input}
            assert {tensor.name for tensor in proto.graph.initializer} <= used


@pytest.mark.slow
@pytest.mark.parametrize("opset", [11, 13, 14, ort.newest_opset()])
def test_hardswish_is_one_operator_from_14_on_and_two_before(seeded_model, meta, opset):
    found = kinds(build_model(seeded_model, ExportOptions("heads", opset), meta))
    assert found.count("HardSwish") == (87 if opset >= 14 else 0)
    assert found.count("HardSigmoid") == (13 if opset >= 14 else 13 + 87)


@pytest.mark.slow
@pytest.mark.parametrize(("opset", "version"), [(11, 6), (14, 7), (17, 8), (21, 10)])
def test_the_ir_is_as_old_as_the_opset(seeded_model, meta, opset, version):
    assert build_model(seeded_model, ExportOptions("heads", opset), meta).ir_version == version


def shapes(values):
    return {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in values
    }


def test_inputs_and_outputs(seeded_model, meta):
    proto = build_model(seeded_model, ExportOptions("heads"), meta)
    assert shapes(proto.graph.input) == {"image": [1, 3, 96, 64]}
    assert list(shapes(proto.graph.output).items()) == [
        ("scores_8", [1, 96, 3]),
        ("scores_16", [1, 24, 3]),
        ("scores_32", [1, 6, 3]),
        ("scores_64", [1, 2, 3]),
        ("reg_8", [1, 96, 32]),
        ("reg_16", [1, 24, 32]),
        ("reg_32", [1, 6, 32]),
        ("reg_64", [1, 2, 32]),
    ]
    proto = build_model(seeded_model, ExportOptions("boxes", batch="dynamic"), meta)
    assert shapes(proto.graph.input) == {"image": ["batch", 3, 96, 64]}
    assert shapes(proto.graph.output) == {"boxes": ["batch", 128, 4], "scores": ["batch", 3, 128]}
    proto = build_model(seeded_model, ExportOptions(batch=2, input_size="dynamic"), meta)
    assert shapes(proto.graph.input) == {
        "image": [2, 3, "height", "width"],
        "scale_factor": [2, 2],
    }
    assert shapes(proto.graph.output) == {"rows": ["detections", 6], "nums": [2]}


def test_metadata_is_the_checkpoints_and_what_the_level_needs(seeded_model, meta):
    options = ExportOptions(input_size=(64, 32), score_threshold=0.3)
    proto = build_model(seeded_model, options, meta)
    metadata = json.loads({entry.key: entry.value for entry in proto.metadata_props}[META_KEY])
    assert config_from_meta(metadata).input_size == (64, 32)
    assert config_from_meta(metadata).classes == ("a", "b", "c")
    assert (metadata["source"], metadata["sha256"]) == (meta["source"], meta["sha256"])
    assert metadata["project"] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert (metadata["level"], metadata["score_threshold"], metadata["iou_threshold"]) == (
        *("detections", 0.3, 0.6),
    )


@pytest.mark.slow
def test_candidates_are_counted_only_if_a_class_can_exceed_top_k(seeded_model, meta):
    few, many, any_size = (
        kinds(build_model(seeded_model, ExportOptions(input_size=size), meta))
        for size in ((192, 192), (256, 256), "dynamic")
    )
    assert (few.count("If"), many.count("If"), any_size.count("If")) == (0, 1, 1)


def test_the_requested_opset_is_written(seeded_model, meta):
    proto = build_model(seeded_model, ExportOptions("heads", 12), meta)
    assert list(proto.opset_import) == [helper.make_opsetid("", 12)]
