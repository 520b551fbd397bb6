import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from picodet.alignment.recording import probes
from picodet.exporter import ort
from picodet.exporter.nms import write_detections
from picodet.exporter.onnx_builder import OnnxBuilder
from picodet.ops.postprocess import Candidates, apply_nms

OPSETS = (11, 13, 18, ort.newest_opset())


def nms_session(num_anchors, opset=14, divided=True, score_threshold=0.025, iou_threshold=0.6):
    """A session of the NMS alone; a number of anchor points of None is dynamic."""
    builder = OnnxBuilder(opset)
    factor = "scale_factor" if divided else None
    outputs = write_detections(
        builder, "boxes", "scores", factor, score_threshold, iou_threshold, num_anchors
    )
    shapes = {"boxes": ["b", "a", 4], "scores": ["b", "c", "a"], "scale_factor": ["b", 2]}
    graph = helper.make_graph(
        builder.nodes,
        "nms",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in shapes.items()
            if divided or name != "scale_factor"
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        list(builder.constants.values()),
    )
    imports = [helper.make_opsetid("", opset)]
    version = helper.find_min_ir_version_for(imports)
    model = helper.make_model(graph, opset_imports=imports, ir_version=version)
    return ort.create_session(model.SerializeToString())


def our_nms(boxes, scores, factors, **thresholds):
    found = [
        apply_nms(Candidates(*pair), factor, **thresholds)
        for *pair, factor in zip(boxes, scores, factors, strict=True)
    ]
    rows = [np.column_stack([each.classes, each.scores, each.boxes]) for each in found]
    return np.concatenate(rows).astype("f4"), [len(each) for each in found]


def assert_same(session, boxes, scores, factors, **thresholds):
    outputs = ort.run(session, {"boxes": boxes, "scores": scores, "scale_factor": factors})
    rows, nums = our_nms(boxes, scores, factors, **thresholds)
    assert outputs["nums"].tolist() == nums
    np.testing.assert_array_equal(outputs["rows"], rows)  # bit for bit, and in ppdet's order
    return nums


def crowded_boxes(random, batch, classes, num_anchors, spread, steps):
    """Boxes in clusters, with many equal scores."""
    centers = random.uniform(0, spread, (batch, num_anchors, 2))
    sizes = random.uniform(5, 60, (batch, num_anchors, 2))
    boxes = np.concatenate([centers - sizes, centers + sizes], axis=2).astype("f4")
    scores = random.integers(0, steps + 1, (batch, classes, num_anchors)) / steps
    return boxes, scores.astype("f4"), random.uniform(0.3, 3, (batch, 2)).astype("f4")


ANY = nms_session(None)  # one session for all examples


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    batch=st.integers(1, 4),
    classes=st.integers(1, 5),
    num_anchors=st.integers(1, 300),
    spread=st.sampled_from([0, 10, 300, 3000]),
    steps=st.sampled_from([1, 3, 40, 10**6]),
)
def test_keeps_what_our_nms_keeps(seed, batch, classes, num_anchors, spread, steps):
    random = np.random.default_rng(seed)
    assert_same(ANY, *crowded_boxes(random, batch, classes, num_anchors, spread, steps))


@pytest.mark.parametrize("opset", OPSETS)
def test_only_the_best_thousand_of_a_class_count(opset):
    """The best 1,000 boxes overlap; a separate box just after them is not considered."""
    boxes = np.tile(np.array([0, 0, 10, 10], "f4"), (2, 1500, 1))
    boxes[:, 1000:] += 100
    scores = np.full((2, 2, 1500), 0.5, "f4")
    scores[:, :, :1000] = 0.9
    scores[0, 1, 999] = 0.1  # class 1 of image 0: cell 1000 is its thousandth; 1001 ties with it
    factors = np.ones((2, 2), "f4")
    assert assert_same(nms_session(None, opset), boxes, scores, factors) == [3, 2]


def test_ties_at_the_thousandth_place_go_to_the_first_anchor_points():
    random = np.random.default_rng(3)
    boxes, scores, factors = crowded_boxes(random, 2, 3, 3598, 2000, 2)
    assert_same(ANY, boxes, scores, factors)
    assert_same(nms_session(3598), boxes, scores, factors)


def test_the_best_hundred_of_each_image_stay():
    random = np.random.default_rng(4)
    boxes, scores, factors = crowded_boxes(random, 3, 4, 900, 100_000, 5)
    scores[1, :, 3:] = 0  # which has few, and none of the others' places
    nums = assert_same(ANY, boxes, scores, factors)
    assert nums[0] == nums[2] == 100 > nums[1] > 0


def test_no_detections_are_no_rows():
    boxes, scores = np.zeros((2, 7, 4), "f4"), np.full((2, 3, 7), 0.025, "f4")
    assert assert_same(ANY, boxes, scores, np.ones((2, 2), "f4")) == [0, 0]


def test_the_thresholds_are_the_requested_ones():
    random = np.random.default_rng(5)
    candidates = crowded_boxes(random, 1, 3, 200, 200, 50)
    thresholds = {"score_threshold": 0.3, "iou_threshold": 0.45}
    assert_same(nms_session(200, **thresholds), *candidates, **thresholds)


def test_without_a_scale_factor_boxes_stay_as_they_are():
    random = np.random.default_rng(6)
    boxes, scores, _ = crowded_boxes(random, 2, 3, 200, 300, 50)
    assert_same(nms_session(200, divided=False), boxes, scores, np.ones((2, 2), "f4"))


@pytest.mark.parametrize("case", [case for case in probes.NMS_CASES if case != "degenerate"])
def test_nms_probes_give_paddles_outputs(case):
    """Except boxes with swapped corners, which onnxruntime swaps back and no network makes."""
    boxes, scores = probes.nms_inputs(case)
    factors = np.ones((1, 2), "f4")
    assert_same(ANY, boxes[None].astype("f4"), scores[None].astype("f4"), factors)
