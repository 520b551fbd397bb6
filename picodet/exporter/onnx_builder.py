"""Writes an ONNX graph node by node. Only this module depends on the opset."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class OnnxBuilder:
    """Nodes and constants in the order in which they are written.

    A node with one output has the output's name. Every method returns the names of its outputs.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def add(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add an operator with one output."""
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(self, value: Any, name: str, dtype: str = "f4") -> str:
        """Add a constant; a second call with the same name reuses the first one."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(value, dtype), name)
        return name

    def scalar(self, value: float) -> str:
        return self.constant(value, f"number_{value!r}")

    def integers(self, values: Sequence[int]) -> str:
        """Add a vector of integers, such as a shape."""
        return self.constant(list(values), "integers_" + "_".join(map(str, values)), "i8")

    def split(self, x: str, sizes: Sequence[int], axis: int, names: Sequence[str]) -> None:
        """Add a Split: sizes are an attribute before opset 13, and required from 18 on."""
        inputs, attributes = [x], {"axis": axis, "split": list(sizes)}
        if self.opset >= 13:
            inputs, attributes = [x, self.integers(sizes)], {"axis": axis}
        node = helper.make_node("Split", inputs, names, names[0] + "_split")
        node.attribute.extend(helper.make_attribute(*item) for item in attributes.items())
        self.nodes.append(node)

    def reshape(self, x: str, shape: Sequence[int], name: str) -> str:
        """Add a Reshape: 0 keeps a dimension, -1 is inferred."""
        return self.add("Reshape", [x, self.integers(shape)], name)

    def hardswish(self, x: str, name: str) -> str:
        """x * min(max(x + 3, 0), 6) / 6; one operator from opset 14 on.

        Before, HardSigmoid and Mul, which is what HardSwish is defined as: onnxruntime 1.32 joins
        both with the convolution, and PicoDet-S-416 takes 14.1 ms (1 thread) either way. With Add,
        Clip, Mul and Div, as Paddle writes it, the same graph takes 21.8 ms.
        """
        if self.opset >= 14:
            return self.add("HardSwish", [x], name)
        gate = self.add("HardSigmoid", [x], name + ".gate", alpha=1 / 6, beta=0.5)
        return self.add("Mul", [x, gate], name)

    def upsample(self, x: str, name: str) -> str:
        """[B, C, H, W] -> [B, C, 2H, 2W], nearest neighbor."""
        scales = self.constant([1, 1, 2, 2], "scales")
        # before opset 13 the second input is required, though unused
        roi = self.constant([], "no_region") if self.opset < 13 else ""
        modes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.add("Resize", [x, roi, scales], name, mode="nearest", **modes)

    def squeeze(self, x: str, axis: int, name: str) -> str:
        return self._along("Squeeze", x, axis, name, since=13)

    def unsqueeze(self, x: str, axis: int, name: str) -> str:
        return self._along("Unsqueeze", x, axis, name, since=13)

    def reduce_sum(self, x: str, axis: int, name: str) -> str:
        """Sum over an axis and remove it."""
        return self._along("ReduceSum", x, axis, name, since=13, keepdims=0)

    def slice(self, x: str, start: int, stop: int, axis: int, name: str) -> str:
        return self.add("Slice", [x, *(self.integers([n]) for n in (start, stop, axis))], name)

    def cast(self, x: str, dtype: int, name: str) -> str:
        return self.add("Cast", [x], name, to=dtype)

    def _along(
        self, operator: str, x: str, axis: int, name: str, since: int, **attributes: Any
    ) -> str:
        """Add an operator whose axis is an attribute before opset `since`, and then an input."""
        if self.opset < since:
            return self.add(operator, [x], name, axes=[axis], **attributes)
        return self.add(operator, [x, self.integers([axis])], name, **attributes)

    def full(self, shape: str, value: float, name: str) -> str:
        """Add a float tensor filled with `value`, of a shape computed at run time."""
        tensor = numpy_helper.from_array(np.array([value], np.float32))
        return self.add("ConstantOfShape", [shape], name, value=tensor)

    def add_multi(
        self, operator: str, inputs: Sequence[str], names: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Add an operator with several outputs; the node has the name of the first."""
        self.nodes.append(helper.make_node(operator, inputs, names, names[0], **attributes))
        return list(names)

    def subgraph(self) -> "OnnxBuilder":
        """A builder for a branch of an If, which can use the outer tensors and constants."""
        builder = OnnxBuilder(self.opset)
        builder.constants = self.constants
        return builder

    def build_branch(self, output: str) -> onnx.GraphProto:
        """The branch of an If that this inner builder has written."""
        return helper.make_graph(self.nodes, output, [], [onnx.ValueInfoProto(name=output)])
