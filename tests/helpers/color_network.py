"""A small, fast ONNX that detects red, green and blue, with the outputs of a PicoDet.

The score of an anchor point is the amount of a color there; the box reaches one stride from it in
all directions, two at stride 8, slightly changed by the image. The input is 64 x 64.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from picodet.config import STRIDES
from picodet.formats.meta import META_KEY, make_meta
from picodet.zoo.architectures import S

CLASSES = ("red", "green", "blue")
CONFIG = replace(S, name="colors", classes=CLASSES, input_size=(64, 64))
BINS = 8
COLORS = np.eye(3) - 0.5 * (1 - np.eye(3))  # [classes, RGB]


def meta(**changes):
    """The metadata of picodet's exports."""
    return make_meta(CONFIG, "detector", "colors", "0" * 64) | changes


def write_color_network(
    path: Path, meta=None, form="heads", batch="batch", nan=False, input_side=64
):
    """meta None: no metadata, as in ppdet's files; nan: a score is NaN."""
    nodes, constants, scores, sides = [], [], [], []

    def constant(name, array):
        constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    constant("flat", np.array([0, -1], np.int64)[[0, 0, 1]])  # batch, channels, cells
    for stride in STRIDES:
        random = np.random.RandomState(stride)
        bins = random.normal(0, 0.3, (4 * BINS, 3))
        base = np.zeros((4, BINS))
        base[:, [2] if stride == 8 else [1]] = 6
        for kind, weights, bias in (
            ("score", 3 * COLORS, np.full(3, np.nan if nan else -1.5)),
            ("side", bins, base.ravel()),
        ):
            name = f"{kind}{stride}"
            kernel = np.repeat(np.repeat(weights[:, :, None, None], stride, 2), stride, 3)
            given = [
                "image",
                constant(f"{name}_w", (kernel / stride**2).astype(np.float32)),
                constant(f"{name}_b", bias.astype(np.float32)),
            ]
            nodes.append(helper.make_node("Conv", given, [f"{name}_map"], strides=[stride, stride]))
            nodes.append(helper.make_node("Reshape", [f"{name}_map", "flat"], [f"{name}_rows"]))
        nodes.append(helper.make_node("Sigmoid", [f"score{stride}_rows"], [f"score{stride}_s"]))
        for kind, of in (("score", f"score{stride}_s"), ("side", f"side{stride}_rows")):
            nodes.append(helper.make_node("Transpose", [of], [f"{kind}{stride}"], perm=[0, 2, 1]))
        scores.append(f"score{stride}")
        sides.append(f"side{stride}")
    outputs = {
        **{name: [batch, "cells", len(CLASSES)] for name in scores},
        **{name: [batch, "cells", 4 * BINS] for name in sides},
    }
    if form == "boxes":
        outputs = {"boxes": [batch, 85, 4], "scores": [batch, len(CLASSES), 85]}
        _write_boxes(nodes, constant)
    graph = helper.make_graph(
        nodes,
        "colors",
        [
            helper.make_tensor_value_info(
                "image", TensorProto.FLOAT, [batch, 3, input_side, input_side]
            )
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ],
        constants,
    )
    save(path, graph, meta)


def _write_boxes(nodes, constant):
    """The boxes around the anchor points; the image does not change them."""
    from picodet.config import feature_map_sizes
    from picodet.ops.anchor_points import make_anchor_points

    centers, strides = make_anchor_points(feature_map_sizes((64, 64)))
    side = np.where(strides == 8, 2, 1).astype(np.float32)
    fixed = np.concatenate([centers - side, centers + side], axis=1) * strides
    rows = [f"score{stride}_s" for stride in STRIDES]
    constant("nothing", np.zeros((1, 3, 4), np.float32)[:, :, :1])
    nodes += [
        helper.make_node("Concat", rows, ["scores"], axis=2),
        helper.make_node("Transpose", ["scores"], ["by_cell"], perm=[0, 2, 1]),
        helper.make_node(
            "MatMul", ["by_cell", constant("none", np.zeros((3, 4), np.float32))], ["zeros"]
        ),
        helper.make_node("Add", ["zeros", constant("fixed", fixed[None])], ["boxes"]),
    ]


def save(path, graph, meta=None):
    """Add the metadata."""
    opset = helper.make_opsetid("", 13)
    proto = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    if meta is not None:
        helper.set_model_props(
            proto, {META_KEY: meta if isinstance(meta, str) else json.dumps(meta)}
        )
    onnx.save(proto, path)


def write_constants(path, inputs, outputs, meta=None):
    """A network of constant outputs. inputs: shapes by name; outputs: arrays by name."""
    nodes = []
    constants = []
    for name, array in outputs.items():
        constants.append(numpy_helper.from_array(array, f"{name}_constant"))
        nodes.append(helper.make_node("Identity", [f"{name}_constant"], [name]))
    graph = helper.make_graph(
        nodes,
        "constants",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in inputs.items()
        ],
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in outputs.items()
        ],
        constants,
    )
    save(path, graph, meta)
