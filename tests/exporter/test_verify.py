"""Correct exports pass with all options; planted faults are found."""

import json

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from picodet.errors import PicoDetError
from picodet.exporter import graph, nms, ort
from picodet.exporter.model_proto import build_model
from picodet.exporter.options import EXPORT_LEVELS, ExportOptions
from picodet.exporter.verify import verify
from picodet.exporter.verify_inputs import make_verify_inputs
from picodet.formats.meta import META_KEY

NEWEST = ort.newest_opset()
OPSETS = (11, 13, 14, 18, NEWEST)


@pytest.fixture
def verified(model, meta, tmp_path):
    """The Verification of an export that was built and changed."""

    def verified(options, change=lambda proto: None, images=()):
        proto = build_model(model, options, meta)
        change(proto)
        path = tmp_path / "export.onnx"
        onnx.save(proto, path)
        return verify(path, model, options, list(make_verify_inputs(model.config, options, images)))

    return verified


def constant(proto, name):
    return next(tensor for tensor in proto.graph.initializer if tensor.name == name)


def set_constant(proto, name, change):
    tensor = constant(proto, name)
    changed = change(numpy_helper.to_array(tensor)).astype("f4")
    tensor.CopyFrom(numpy_helper.from_array(changed, name))


def node(proto, output):
    return next(node for node in proto.graph.node if output in node.output)


# right ones


RIGHT = [(level, opset) for level in EXPORT_LEVELS for opset in OPSETS]


@pytest.mark.slow
@pytest.mark.parametrize(("level", "opset"), RIGHT)
def test_a_right_export_passes(verified, level, opset):
    found = verified(ExportOptions(level, opset))
    assert found.ok, found
    assert any(
        difference.error for difference in found.differences.values()
    )  # onnxruntime is not torch
    expected = {"heads": 8, "boxes": 2, "detections": 4}[level]
    assert len(found.differences) == expected
    assert found.runs == 2  # an image and its left half


@pytest.mark.slow
@pytest.mark.parametrize(
    ("level", "opset"),
    [("heads", 11), ("boxes", NEWEST), ("detections", 11), ("detections", NEWEST)],
)
def test_any_batch_and_any_size_pass(verified, level, opset):
    found = verified(ExportOptions(level, opset, "dynamic", "dynamic"))
    assert found.ok, found
    assert found.runs == 6  # in ones and as a pair, at two sizes


@pytest.mark.slow
@pytest.mark.parametrize("level", EXPORT_LEVELS)
def test_a_fixed_batch_at_another_size_passes(verified, level):
    assert verified(ExportOptions(level, batch=3, input_size=(64, 128))).ok


@pytest.mark.slow
def test_a_single_input_passes(verified):
    assert verified(ExportOptions(single_input=True)).ok


@pytest.mark.slow
def test_other_thresholds_pass(verified):
    assert verified(ExportOptions(score_threshold=0.2, iou_threshold=0.4)).ok


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("gray", [25, 55])
def test_an_image_of_one_pixel_passes(verified, tmp_path, gray, threads):
    """It has one color: every summand shifts onnxruntime's means the same way."""
    cv2.imwrite(str(tmp_path / "pixel.png"), np.full((1, 1, 3), gray, np.uint8))
    torch.set_num_threads(threads)  # `one_thread` sets it back
    found = verified(ExportOptions("heads", input_size=(320, 320)), images=[tmp_path / "pixel.png"])
    assert found.ok, found
    assert max(difference.error_over_noise for difference in found.differences.values()) < 5


@pytest.mark.slow
def test_kept_boxes_are_counted_against_torchs(verified):
    shared, theirs = verified(ExportOptions()).kept
    assert theirs > 0
    # a seeded network is all noise: hundreds of its boxes lie on a threshold, which 1e-5 decides
    assert shared >= 0.9 * theirs


# wrong ones


def worst_of(found):
    assert not found.ok
    return found.worst


@pytest.mark.slow
def test_another_epsilon_in_one_batch_norm_is_found(verified, monkeypatch):
    right = graph.fold_batch_norm
    monkeypatch.setattr(
        graph, "fold_batch_norm", lambda weight, norm, epsilon: right(weight, norm, 1e-3)
    )
    assert worst_of(verified(ExportOptions("heads")))


@pytest.mark.slow
def test_reg_in_another_order_is_found(verified):
    def swap(proto):
        set_constant(proto, "head.predictors.2.bias", lambda bias: np.roll(bias, 8))

    assert worst_of(verified(ExportOptions("heads"), swap)).endswith("_32")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("corners", lambda signs: -signs),
        ("anchor_points.centers", lambda centers: centers[:, [1, 0, 3, 2]]),
        ("anchor_points.centers", lambda centers: centers + 1e-3),
        ("head.integral.project", lambda project: project * 1.0001),
    ],
    ids=["signs", "x and y", "a thousandth of a cell", "bins"],
)
def test_wrong_decoding_is_found(verified, name, change):
    found = verified(ExportOptions("boxes"), lambda proto: set_constant(proto, name, change))
    assert worst_of(found) == "boxes"
    assert found.differences["scores"].ok


@pytest.mark.slow
def test_the_slope_of_another_hard_sigmoid_is_found(verified):
    def bend(proto):
        gate = node(proto, "backbone.stage3.block4.se.hardsigmoid")
        gate.attribute[0].f = 0.2

    assert worst_of(verified(ExportOptions("heads"), bend))


@pytest.mark.slow
def test_a_scale_factor_in_another_order_is_found(verified):
    def exchange(proto):
        order = constant(proto, "integers_1_0_1_0")
        order.CopyFrom(numpy_helper.from_array(np.array([0, 1, 0, 1]), order.name))

    found = verified(ExportOptions(), exchange)
    assert worst_of(found) == "rows"
    assert found.differences["boxes"].ok


@pytest.mark.slow
@pytest.mark.parametrize("name", ["score_threshold", "iou_threshold"])
def test_another_threshold_is_found(verified, name):
    found = verified(
        ExportOptions(), lambda proto: set_constant(proto, name, lambda value: value * 1.2)
    )
    assert worst_of(found) in ("rows", "nums")


@pytest.mark.slow
def test_fewer_kept_boxes_are_found(verified, monkeypatch):
    monkeypatch.setattr(nms, "KEEP_TOP_K", 20)
    assert worst_of(verified(ExportOptions())) in ("rows", "nums")


def test_a_file_that_cannot_be_run_is_refused(verified):
    def cut(proto):
        set_constant(proto, "head.predictors.2.weight", lambda weight: weight[:, 1:])

    with pytest.raises(PicoDetError, match=r"not valid ONNX|onnxruntime cannot run"):
        verified(ExportOptions("heads"), cut)


def test_metadata_of_another_size_is_refused(verified):
    def resize(proto):
        entry = next(entry for entry in proto.metadata_props if entry.key == META_KEY)
        entry.value = json.dumps({**json.loads(entry.value), "input_size": [96, 96]})

    with pytest.raises(PicoDetError, match="does not describe the model"):
        verified(ExportOptions("heads"), resize)


def test_metadata_with_other_bins_is_refused(verified):
    """For raw heads nothing else states the values of the bins."""

    def scale(proto):
        entry = next(entry for entry in proto.metadata_props if entry.key == META_KEY)
        meta = json.loads(entry.value)
        entry.value = json.dumps(meta | {"project": [1.019 * value for value in meta["project"]]})

    with pytest.raises(PicoDetError, match="does not describe the model"):
        verified(ExportOptions("heads"), scale)
