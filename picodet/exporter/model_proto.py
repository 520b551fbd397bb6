"""Builds a complete ONNX file: graph, inputs and outputs, and metadata."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import onnx
from onnx import TensorProto, helper, shape_inference

from picodet.config import STRIDES
from picodet.exporter.box_decoding import write_boxes, write_heads
from picodet.exporter.graph import PredictedMaps, Size, write_network
from picodet.exporter.nms import write_detections
from picodet.exporter.onnx_builder import OnnxBuilder
from picodet.exporter.options import ExportOptions
from picodet.formats.meta import META_KEY, make_meta
from picodet.models.picodet import PicoDet
from picodet.version import __version__

IMAGE, SCALE_FACTOR = "image", "scale_factor"  # ppdet's names of the inputs
Shape = list[int | str]  # a dynamic dimension has a name


def build_model(
    model: PicoDet, options: ExportOptions, origin: Mapping[str, Any]
) -> onnx.ModelProto:
    """The ONNX file with the shapes of all tensors. origin: meta of the file the model is from."""
    size = fixed_size(model, options)
    builder = OnnxBuilder(options.opset)
    predicted = write_network(builder, model, IMAGE, size)
    batch = options.batch if isinstance(options.batch, int) else "batch"
    inputs: dict[str, Shape] = {IMAGE: [batch, 3, *(size or ("height", "width"))]}
    if options.level == "detections" and not options.single_input:
        inputs[SCALE_FACTOR] = [batch, 2]
    outputs = _write_outputs(builder, predicted, model, options, batch)
    input_infos = [_value_info(name, shape) for name, shape in inputs.items()]
    graph = helper.make_graph(
        builder.nodes, model.config.name, input_infos, outputs, list(builder.constants.values())
    )
    opset = helper.make_opsetid("", options.opset)
    proto = helper.make_model(
        graph,
        opset_imports=[opset],
        ir_version=helper.find_min_ir_version_for([opset]),
        producer_name="picodet",
        producer_version=__version__,
    )
    helper.set_model_props(proto, {META_KEY: json.dumps(_meta(model, options, origin))})
    return shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)


def fixed_size(model: PicoDet, options: ExportOptions) -> Size:
    """Height and width of the input; None where they are dynamic."""
    if options.input_size == "dynamic":
        return None
    return options.input_size or model.config.input_size


def _write_outputs(
    builder: OnnxBuilder,
    predicted: PredictedMaps,
    model: PicoDet,
    options: ExportOptions,
    batch: int | str,
) -> list[onnx.ValueInfoProto]:
    """Write what follows the predictors, and return the outputs."""
    anchor_counts: list[int | str] = [
        m.size[0] * m.size[1] if m.size else f"anchors_{stride}"
        for m, stride in zip(predicted.logits, STRIDES, strict=True)
    ]
    if options.level == "heads":
        names = write_heads(builder, predicted)
        channels = [m.channels for m in (*predicted.logits, *predicted.reg)]
        each = zip(names, [*anchor_counts, *anchor_counts], channels, strict=True)
        return [_value_info(name, [batch, count, number]) for name, count, number in each]
    numbers = [count for count in anchor_counts if isinstance(count, int)]
    num_anchors = sum(numbers) if len(numbers) == len(anchor_counts) else None
    boxes, scores = write_boxes(builder, predicted, model.head.integral.project.numpy())
    if options.level == "boxes":
        count = num_anchors or "anchors"
        classes = len(model.config.classes)
        return [_value_info(boxes, [batch, count, 4]), _value_info(scores, [batch, classes, count])]
    rows, nums = write_detections(
        builder,
        boxes,
        scores,
        None if options.single_input else SCALE_FACTOR,
        options.score_threshold,
        options.iou_threshold,
        num_anchors,
    )
    return [_value_info(rows, ["detections", 6]), _value_info(nums, [batch], TensorProto.INT32)]


def _value_info(name: str, shape: Shape, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def _meta(model: PicoDet, options: ExportOptions, origin: Mapping[str, Any]) -> dict[str, Any]:
    """The meta of picodet's checkpoints, and what a reader of this level needs besides."""
    config = replace(model.config, input_size=fixed_size(model, options) or model.config.input_size)
    meta = make_meta(config, "detector", str(origin["source"]), str(origin["sha256"]))
    meta |= {"level": options.level, "project": model.head.integral.project.tolist()}
    if options.level == "detections":
        meta |= {
            "score_threshold": options.score_threshold,
            "iou_threshold": options.iou_threshold,
        }
    return meta
