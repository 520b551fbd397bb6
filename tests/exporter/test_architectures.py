"""The export of every architecture, in small, computes what the model does."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tracing import filled_model, seeded_checkpoint

from picodet.exporter import ort
from picodet.exporter.model_proto import build_model
from picodet.exporter.options import ExportOptions
from picodet.exporter.verify import SQUARED_SUFFIX, verify
from picodet.exporter.verify_inputs import make_verify_inputs
from picodet.formats.meta import make_meta
from picodet.zoo.architectures import MOBILENET, RESNET, S_NPU, SHUFFLENET, VARIANTS, XS_LCNET

NEWEST = ort.newest_opset()


def small(variant):
    config = replace(variant, classes=("a", "b", "c"), input_size=(96, 64))
    return filled_model(config, seeded_checkpoint(config))


def built(model, options):
    return build_model(model, options, make_meta(model.config, "detector", "seeded", "ab" * 32))


@pytest.fixture
def verified(tmp_path):
    """The Verification of an export that was built and changed."""

    def verified(model, options, change=lambda proto: None):
        proto = built(model, options)
        change(proto)
        onnx.save(proto, tmp_path / "export.onnx")
        all_inputs = list(make_verify_inputs(model.config, options, ()))
        return verify(tmp_path / "export.onnx", model, options, all_inputs)

    return verified


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_architecture_is_exported(verified, variant):
    model = small(variant)
    found = verified(model, ExportOptions("heads", 11))
    assert found.ok, found
    proto = built(model, ExportOptions("heads", 11))
    convs = {node.name for node in proto.graph.node if node.op_type == "Conv"}
    ours = {name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Conv2d)}
    assert convs == ours
    assert "BatchNormalization" not in {node.op_type for node in proto.graph.node}


@pytest.mark.slow
@pytest.mark.parametrize("variant", [RESNET, SHUFFLENET, S_NPU], ids=lambda variant: variant.name)
@pytest.mark.parametrize(("level", "opset"), [("boxes", 11), ("detections", NEWEST)])
def test_any_batch_and_any_size_pass(verified, variant, level, opset):
    found = verified(small(variant), ExportOptions(level, opset, "dynamic", "dynamic"))
    assert found.ok, found
    assert found.runs == 6


@pytest.mark.slow
def test_squares_of_scores_are_compared_for_pico_head_v2(verified):
    found = verified(small(XS_LCNET), ExportOptions())
    assert set(found.differences) == {"rows", "nums", "boxes", "scores" + SQUARED_SUFFIX}
    shared, theirs = found.kept
    assert shared >= 0.9 * theirs > 0


def node(proto, name):
    return next(node for node in proto.graph.node if node.name == name)


def redirect(name, operator):
    """A change that replaces the operator of a node."""
    return lambda proto: setattr(node(proto, name), "op_type", operator)


def bend(name, attribute, value):
    def change(proto):
        (found,) = (a for a in node(proto, name).attribute if a.name == attribute)
        found.f = value

    return change


def set_six(proto):
    constant = next(tensor for tensor in proto.graph.initializer if tensor.name == "number_6.0")
    constant.CopyFrom(numpy_helper.from_array(np.array(5.9, "f4"), constant.name))


def square_probabilities(proto):
    """A fault: class probabilities are squared instead of multiplied by the alignment."""
    product = node(proto, "head.predictors.classes1.product")
    product.input[1] = product.input[0]


def take_the_maximum(proto):
    pool = node(proto, "backbone.res3.res3a.shortcut.pool")
    pool.op_type = "MaxPool"
    kept = [a for a in pool.attribute if a.name != "count_include_pad"]
    del pool.attribute[:]
    pool.attribute.extend(kept)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "change"),
    [
        (XS_LCNET, square_probabilities),
        (XS_LCNET, redirect("head.predictors.classes2.scores", "Identity")),
        (XS_LCNET, redirect("head.conv_feat.se.1.sigmoid", "HardSigmoid")),
        (S_NPU, set_six),
        (MOBILENET, bend("backbone.conv5.se.hardsigmoid", "alpha", 1 / 6)),
        (RESNET, take_the_maximum),
    ],
    ids=["alignment", "no root", "gate", "six", "slope", "pool"],
)
def test_faults_are_found(verified, variant, change):
    assert not verified(small(variant), ExportOptions("heads"), change).ok


def test_operators_of_the_others_are_named_after_their_blocks():
    names = {n.name: n.op_type for n in built(small(S_NPU), ExportOptions("heads")).graph.node}
    assert names["backbone.conv1.act"] == "Clip"  # a layer
    assert names["neck.conv_t.convs.0.relu6"] == "Clip"  # a function
    assert names["head.conv_feat.levels.3.pw3.avg_pool"] == "GlobalAveragePool"
    assert names["head.conv_feat.se.3.sigmoid"] == "Sigmoid"
    assert names["head.alignment.0.relu6"] == "Clip"
    assert names["head.predictors.classes0.scores"] == "Sqrt"


@pytest.mark.slow
@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 1)])
def test_average_pooling_at_an_odd_edge_ignores_missing_cells(size):
    """No official input size has one; for others the export computes what torch does."""
    model = small(RESNET)
    pool = node(built(model, ExportOptions("heads", 11)), "backbone.res3.res3a.shortcut.pool")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy")
    pool.input[:], pool.output[:] = ["x"], ["y"]
    graph = helper.make_graph([pool], "pool", [x], [y])
    opset = [helper.make_opsetid("", 11)]
    proto = helper.make_model(graph, opset_imports=opset, ir_version=6)
    images = np.random.default_rng(0).normal(size=(1, 2, *size)).astype("f4")
    made = ort.run(ort.create_session(proto.SerializeToString()), {"x": images})["y"]
    expected = model.backbone.res3.res3a.shortcut.pool(torch.from_numpy(images))
    np.testing.assert_allclose(made, expected.numpy(), rtol=1e-6)
