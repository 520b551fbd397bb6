"""A model as a whole ONNX file: graph, inputs and outputs, and what it says of itself."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import onnx
from onnx import TensorProto, helper, shape_inference

from picodet.config import STRIDES
from picodet.exporter.box_decoding import write_boxes, write_heads
from picodet.exporter.graph import Predicted, Size, write_network
from picodet.exporter.nms import write_detections
from picodet.exporter.onnx_builder import GraphWriter
from picodet.exporter.options import ExportOptions
from picodet.formats.meta import META_KEY, make_meta
from picodet.models.picodet import PicoDet
from picodet.version import __version__

IMAGE, SCALE_FACTOR = "image", "scale_factor"  # inputs, as ppdet calls them
Shape = list[int | str]  # a side that is not fixed has a name


def build(model: PicoDet, wanted: ExportOptions, origin: Mapping[str, Any]) -> onnx.ModelProto:
    """The file, shapes of all tensors included. origin: meta of the file that the model is from."""
    size = fixed_size(model, wanted)
    writer = GraphWriter(wanted.opset)
    predicted = write_network(writer, model, IMAGE, size)
    batch = wanted.batch if isinstance(wanted.batch, int) else "batch"
    inputs: dict[str, Shape] = {IMAGE: [batch, 3, *(size or ("height", "width"))]}
    if wanted.level == "detections" and not wanted.single_input:
        inputs[SCALE_FACTOR] = [batch, 2]
    outputs = _write_ending(writer, predicted, model, wanted, batch)
    floats = [_value(name, shape) for name, shape in inputs.items()]
    graph = helper.make_graph(
        writer.nodes, model.config.name, floats, outputs, list(writer.constants.values())
    )
    opset = helper.make_opsetid("", wanted.opset)
    proto = helper.make_model(
        graph,
        opset_imports=[opset],
        ir_version=helper.find_min_ir_version_for([opset]),
        producer_name="picodet",
        producer_version=__version__,
    )
    helper.set_model_props(proto, {META_KEY: json.dumps(_meta(model, wanted, origin))})
    return shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)


def fixed_size(model: PicoDet, wanted: ExportOptions) -> Size:
    """Height and width of the input; None where any are taken."""
    if wanted.input_size == "dynamic":
        return None
    return wanted.input_size or model.config.input_size


def _write_ending(
    writer: GraphWriter,
    predicted: Predicted,
    model: PicoDet,
    wanted: ExportOptions,
    batch: int | str,
) -> list[onnx.ValueInfoProto]:
    """What follows the predictors; what is made of it."""
    cells: list[int | str] = [
        m.size[0] * m.size[1] if m.size else f"cells_{stride}"
        for m, stride in zip(predicted.logits, STRIDES, strict=True)
    ]
    if wanted.level == "heads":
        names = write_heads(writer, predicted)
        channels = [m.channels for m in (*predicted.logits, *predicted.sides)]
        each = zip(names, [*cells, *cells], channels, strict=True)
        return [_value(name, [batch, count, number]) for name, count, number in each]
    numbers = [count for count in cells if isinstance(count, int)]
    known = sum(numbers) if len(numbers) == len(cells) else None
    boxes, scores = write_boxes(writer, predicted, model.head.integral.project.numpy())
    if wanted.level == "boxes":
        count = known or "cells"
        classes = len(model.config.classes)
        return [_value(boxes, [batch, count, 4]), _value(scores, [batch, classes, count])]
    rows, nums = write_detections(
        writer,
        boxes,
        scores,
        None if wanted.single_input else SCALE_FACTOR,
        wanted.score_threshold,
        wanted.iou_threshold,
        known,
    )
    return [_value(rows, ["detections", 6]), _value(nums, [batch], TensorProto.INT32)]


def _value(name: str, shape: Shape, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def _meta(model: PicoDet, wanted: ExportOptions, origin: Mapping[str, Any]) -> dict[str, Any]:
    """What our checkpoints say, and what a reader of this level has to know beyond that."""
    config = replace(model.config, input_size=fixed_size(model, wanted) or model.config.input_size)
    meta = make_meta(config, "detector", str(origin["source"]), str(origin["sha256"]))
    meta |= {"level": wanted.level, "project": model.head.integral.project.tolist()}
    if wanted.level == "detections":
        meta |= {
            "score_threshold": wanted.score_threshold,
            "iou_threshold": wanted.iou_threshold,
        }
    return meta
