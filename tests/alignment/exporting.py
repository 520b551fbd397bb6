"""Writes a model of ours as the ONNX files of the wild are: in other words for the same network."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from picodet.graphs.operators import Operator, Source
from picodet.graphs.tracing import trace
from picodet.models.picodet import PicoDet


def export_onnx(model: PicoDet, path: Path, folded: bool = False) -> None:
    """Raw heads, scores after the sigmoid. `folded`: BN in convolutions, hard-swish in pieces."""
    path.write_bytes(_Export(model, folded).finished().SerializeToString())


class _Export:
    def __init__(self, model: PicoDet, folded: bool) -> None:
        self.model, self.folded = model, folded
        self.operators = trace(model.config).operators
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.outputs: list[str] = []
        self.names: dict[Source, str] = {Source(-1): "picture"}

    def finished(self) -> onnx.ModelProto:
        for i, operator in enumerate(self.operators):
            self._write(i, operator)
        height, width = self.model.config.input_size
        picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, height, width])
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, list("nchw"))
            for name in self.outputs
        ]
        graph = helper.make_graph(self.nodes, "picodet", [picture], outputs, self.constants)
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
            case "hardsigmoid":
                self._add("HardSigmoid", taken, out, alpha=0.16666670143604279, beta=0.5)
            case "shuffle":
                self._shuffle(taken[0], out)
            case "split":
                self._split(i, operator, taken[0])
            case "concat":
                self._add("Concat", taken, out, axis=1)
            case "max_pool":
                pads = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
                self._add("MaxPool", taken, out, **pads)
            case "upsample":
                scales = self._constant(torch.tensor([1.0, 1.0, 2.0, 2.0]), out + "scales")
                how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                self._add("Resize", [*taken, "", scales], out, mode="nearest", **how)
            case kind:
                names = {"avg_pool": "GlobalAveragePool", "hardswish": "HardSwish"}
                self._add(names.get(kind, kind.capitalize()), taken, out)

    def _conv(self, i: int, operator: Operator, taken: list[str], out: str) -> None:
        layer = self._layer(operator)
        following = self.operators[i + 1]
        if self.folded and following.kind == "batch_norm":
            layer = fuse_conv_bn_eval(layer, self._layer(following))
        given = [*taken, self._constant(layer.weight, out + "w")]
        if layer.bias is not None:
            given.append(self._constant(layer.bias, out + "b"))
        pads = [*layer.padding, *layer.padding]
        self._add("Conv", given, out, group=layer.groups, strides=list(layer.stride), pads=pads)

    def _shuffle(self, taken: str, out: str) -> None:
        """Shapes are computed from shapes, as paddle2onnx does it."""
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
