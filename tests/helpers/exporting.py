"""Writes a model as ONNX with the operators that other exporters use."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from picodet.config import STRIDES, MobileNetV3Config
from picodet.graphs.operators import Operator, Source
from picodet.graphs.tracing import trace
from picodet.models import mobilenet_v3
from picodet.models.head import SCORE_EPSILON
from picodet.models.layers import HARD_SIGMOID_SLOPE
from picodet.models.picodet import PicoDet

ONNX_OPERATORS = {
    "avg_pool": ("GlobalAveragePool", {}),
    "concat": ("Concat", {"axis": 1}),
    "hardswish": ("HardSwish", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}),
    "max_pool": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "other_avg_pool": ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
}


def export_onnx(
    model: PicoDet, path: Path, folded: bool = False, epsilon: float | None = SCORE_EPSILON
) -> None:
    """Raw heads, scores ready. `folded`: BN in convolutions, hard-swish in pieces.

    epsilon: added under the roots of the scores of 2022; None adds nothing, as paddle2onnx does.
    """
    path.write_bytes(_Export(model, folded, epsilon).build().SerializeToString())


class _Export:
    def __init__(self, model: PicoDet, folded: bool, epsilon: float | None) -> None:
        self.model, self.folded, self.epsilon = model, folded, epsilon
        self.operators = trace(model.config).operators
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.outputs: list[str] = []
        self.names: dict[Source, str] = {Source(-1): "image"}

    def build(self) -> onnx.ModelProto:
        for i, operator in enumerate(self.operators):
            self._write(i, operator)
        if self.model.config.head == "pico_head_v2":
            self._aligned_scores()
        height, width = self.model.config.input_size
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width])
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, list("nchw"))
            for name in self.outputs
        ]
        graph = helper.make_graph(self.nodes, "picodet", [image], outputs, self.constants)
        opset = helper.make_opsetid("", 14)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)

    def _write(self, i: int, operator: Operator) -> None:
        taken = [self.names[source] for source in operator.sources]
        out = f"t{i}"
        self.names[Source(i)] = out
        match operator.kind:
            case "conv":
                self._conv(i, operator, taken, out)
            case "batch_norm" if self.folded:
                self.names[Source(i)] = taken[0]
            case "batch_norm":
                layer = self._layer(operator)
                roles = ("weight", "bias", "running_mean", "running_var")
                values = [self._constant(getattr(layer, role), out + role) for role in roles]
                self._add("BatchNormalization", [*taken, *values], out, epsilon=layer.eps)
            case "hardswish" if self.folded:
                three, zero, six = (self._number(n) for n in (3, 0, 6))
                self._add("Add", [*taken, three], out + "a")
                self._add("Clip", [out + "a", zero, six], out + "b")
                self._add("Mul", [*taken, out + "b"], out + "c")
                self._add("Div", [out + "c", six], out)
            case "relu6":
                self._add("Clip", [*taken, self._number(0), self._number(6)], out)
            case "hardsigmoid":
                self._add("HardSigmoid", taken, out, alpha=self._slope(), beta=0.5)
            case "shuffle":
                self._shuffle(taken[0], out)
            case "split":
                self._split(i, operator, taken[0])
            case "upsample":
                scales = self._constant(torch.tensor([1.0, 1.0, 2.0, 2.0]), out + "scales")
                how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                self._add("Resize", [*taken, "", scales], out, mode="nearest", **how)
            case kind:
                name, attributes = ONNX_OPERATORS.get(kind, (kind.capitalize(), {}))
                self._add(name, taken, out, **attributes)

    def _conv(self, i: int, operator: Operator, taken: list[str], out: str) -> None:
        layer = self._layer(operator)
        following = self.operators[i + 1 : i + 2]
        if self.folded and following and following[0].kind == "batch_norm":
            layer = fuse_conv_bn_eval(layer, self._layer(following[0]))
        given = [*taken, self._constant(layer.weight, out + "w")]
        if layer.bias is not None:
            given.append(self._constant(layer.bias, out + "b"))
        pads = [*layer.padding, *layer.padding]
        self._add("Conv", given, out, group=layer.groups, strides=list(layer.stride), pads=pads)

    def _shuffle(self, taken: str, out: str) -> None:
        """Reshape to a shape that is computed in the graph, as paddle2onnx does."""
        self._add("Shape", [taken], out + "s")
        self._add("Slice", [out + "s", self._whole([0]), self._whole([1])], out + "n")
        self._add("Slice", [out + "s", self._whole([2]), self._whole([4])], out + "hw")
        self._add("Concat", [out + "n", self._whole([2, -1]), out + "hw"], out + "cut", axis=0)
        self._add("Reshape", [taken, out + "cut"], out + "r")
        self._add("Transpose", [out + "r"], out + "t", perm=[0, 2, 1, 3, 4])
        self._add("Reshape", [out + "t", out + "s"], out)

    def _split(self, i: int, operator: Operator, taken: str) -> None:
        parts = [f"t{i}_{part}" for part in range(2)]
        self.names |= {Source(i, part): name for part, name in enumerate(parts)}
        before = self.operators[operator.sources[0].operator]
        if not before.weights.get("weight", "").startswith("head.predictors"):
            self.nodes.append(helper.make_node("Split", [taken], parts, axis=1))
            return
        sizes = self._whole(self.model.head.split)
        self.nodes.append(helper.make_node("Split", [taken, sizes], parts, axis=1))
        self._add("Sigmoid", [parts[0]], parts[0] + "p")
        self.outputs += [parts[0] + "p", parts[1]]

    def _aligned_scores(self) -> None:
        made = {
            o.weights.get("weight"): self.names[Source(i)] for i, o in enumerate(self.operators)
        }
        for level in range(len(STRIDES)):
            out = f"level{level}"
            classes = made[f"head.predictors.classes{level}.weight"]
            self._add("Sigmoid", [classes], out + "p")
            self._add("Sigmoid", [made[f"head.alignment.{level}.bn2.weight"]], out + "q")
            self._add("Mul", [out + "p", out + "q"], out + "m")
            product = out + "m"
            if self.epsilon is not None:
                product = out + "e"
                self._add("Add", [out + "m", self._number(self.epsilon)], product)
            self._add("Sqrt", [product], out)
            self.outputs += [out, made[f"head.predictors.reg{level}.weight"]]

    def _slope(self) -> float:
        """The slope of a hard-sigmoid."""
        mobile = isinstance(self.model.config.backbone, MobileNetV3Config)
        return mobilenet_v3.HARD_SIGMOID_SLOPE if mobile else HARD_SIGMOID_SLOPE

    def _add(self, kind: str, taken: list[str], out: str, **attributes: object) -> None:
        self.nodes.append(helper.make_node(kind, taken, [out], **attributes))

    def _layer(self, operator: Operator) -> nn.Module:
        return self.model.get_submodule(operator.weights["weight"].removesuffix(".weight"))

    def _constant(self, tensor: torch.Tensor, name: str) -> str:
        self.constants.append(numpy_helper.from_array(tensor.detach().numpy(), name))
        return name

    def _number(self, value: float) -> str:
        return self._constant(torch.tensor(float(value)), f"n{len(self.constants)}")

    def _whole(self, values: list[int]) -> str:
        array = np.array(values, np.int64)
        self.constants.append(numpy_helper.from_array(array, f"n{len(self.constants)}"))
        return self.constants[-1].name
