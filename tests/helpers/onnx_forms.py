"""Writes a model as an ONNX without picodet's metadata, in the forms of other exporters."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from picodet.graphs.operators import Source
from picodet.graphs.tracing import trace
from picodet.models.mobilenet_v3 import MobileNetV3

NAMES = {
    **{"hardswish": "HardSwish", "relu": "Relu", "leaky_relu": "LeakyRelu", "sigmoid": "Sigmoid"},
    **{"add": "Add", "mul": "Mul", "concat": "Concat", "max_pool": "MaxPool"},
    **{"avg_pool": "GlobalAveragePool"},
}
PAIR = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}
SETTINGS = {
    "concat": {"axis": 1},
    "max_pool": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    "upsample": {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
}
ROLES = ("weight", "bias", "running_mean", "running_var")


def onnx_model_of(model):
    """Its ModelProto, an operator each for ours, the scores behind; folded if the model is."""
    return _OnnxModel(model).finished()


class _OnnxModel:
    def __init__(self, model):
        traced = trace(model.config)
        self.model, self.operators = model, traced.operators
        (self.head,) = (call for call in traced.calls if call.path == "head")
        self.nodes, self.constants, self.names = [], [], {Source(-1): "picture"}

    def finished(self):
        for i, operator in enumerate(self.operators):
            inputs = [self.names[source] for source in operator.sources]
            self.names[Source(i)] = self.written(i, operator, inputs)
        outputs = [helper.make_tensor_value_info(n, 1, list("nchw")) for n in self.head_outputs()]
        image = helper.make_tensor_value_info("picture", 1, [1, 3, *self.model.config.input_size])
        graph = helper.make_graph(self.nodes, "net", [image], outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)

    def written(self, i, operator, inputs):
        """Add an operator; returns the name of its output."""
        layer = None
        if "weight" in operator.weights:
            layer = self.model.get_submodule(operator.weights["weight"].rsplit(".", 1)[0])
        match operator.kind:
            case "conv":
                out = self.conv(inputs, layer)
            case "batch_norm" if not hasattr(layer, "eps"):  # folded into the convolution
                (out,) = inputs
            case "batch_norm":
                values = [self.constant(getattr(layer, role)) for role in ROLES]
                out = self.add("BatchNormalization", [*inputs, *values], epsilon=layer.eps)
            case "hardsigmoid":
                out = self.add("HardSigmoid", inputs, alpha=self.slope(), beta=0.5)
            case "relu6":
                out = self.add("Clip", [*inputs, *(self.number(np.float32(n)) for n in (0, 6))])
            case "other_avg_pool":
                out = self.add("AveragePool", inputs, **PAIR)
            case "shuffle":
                out = self.shuffle(*inputs)
            case "split":
                out = self.split(i, operator, inputs)
            case "upsample":
                scales = self.number(np.float32([1, 1, 2, 2]))
                out = self.add("Resize", [*inputs, "", scales], **SETTINGS["upsample"])
            case kind:
                out = self.add(NAMES[kind], inputs, **SETTINGS.get(kind, {}))
        return out

    def slope(self):
        """Hard-sigmoid, with the slope of Paddle or of MobileNetV3."""
        return 0.2 if isinstance(self.model.backbone, MobileNetV3) else 0.16666670143604279

    def conv(self, inputs, layer):
        parameters = [self.constant(x) for x in (layer.weight, layer.bias) if x is not None]
        pads, strides = [*layer.padding, *layer.padding], list(layer.stride)
        return self.add("Conv", inputs + parameters, group=layer.groups, strides=strides, pads=pads)

    def shuffle(self, inputs):
        shape = self.add("Shape", [inputs])
        cut = self.add("Reshape", [inputs, self.number(np.array([0, 2, -1, 1, 1]))])
        return self.add("Reshape", [self.add("Transpose", [cut], perm=[0, 2, 1, 3, 4]), shape])

    def split(self, i, operator, inputs):
        before = self.operators[operator.sources[0].operator].weights.get("weight", "")
        sizes = self.model.head.split if before.startswith("head.predictors") else None
        parts = [f"t{len(self.nodes)}a", f"t{len(self.nodes)}b"]
        split_inputs = inputs if sizes is None else [*inputs, self.number(np.array(sizes))]
        self.nodes.append(helper.make_node("Split", split_inputs, parts, axis=1))
        self.names |= {Source(i, k): part for k, part in enumerate(parts)}
        return parts[0]

    def head_outputs(self):
        """The scores of each level, and then the regression."""
        names = [self.names[source] for source in self.head.outputs]
        logits, reg, alignment = names[:4], names[-4:], names[4:-4]
        scores = [self.add("Sigmoid", [name]) for name in logits]
        for k, name in enumerate(alignment):
            product = self.add("Mul", [scores[k], self.add("Sigmoid", [name])])
            scores[k] = self.add("Sqrt", [product])
        return scores + reg

    def add(self, kind, inputs, **attributes):
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def constant(self, tensor):
        return self.number(tensor.detach().numpy())

    def number(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name


def with_constants(proto):
    """Parameters as Constant operators."""
    for tensor in proto.graph.initializer:
        proto.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
    del proto.graph.initializer[:]


def with_inputs(proto):
    """Parameters among the inputs too, as before ONNX's IR 4, and before the image."""
    for tensor in proto.graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        proto.graph.input.insert(0, value)


def with_pieces(proto):
    """Hard-swish as x * clip(x + 3, 0, 6) / 6."""
    for name, value in (("three", 3.0), ("zero", 0.0), ("six", 6.0)):
        tensor = numpy_helper.from_array(np.float32(value), name)
        proto.graph.initializer.append(tensor)
    nodes = [piece for node in proto.graph.node for piece in _pieces(node)]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _pieces(node):
    if node.op_type != "HardSwish":
        return [node]
    (x,), (out,) = node.input, node.output
    return [
        helper.make_node("Add", [x, "three"], [out + "a"]),
        helper.make_node("Clip", [out + "a", "zero", "six"], [out + "b"]),
        helper.make_node("Mul", [x, out + "b"], [out + "c"]),
        helper.make_node("Div", [out + "c", "six"], [out]),
    ]


def nodes_of(proto, kind):
    return [node for node in proto.graph.node if node.op_type == kind]


def set_attribute(node, name, value):
    """Set an attribute of an operator."""
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def write(proto, path):
    onnx.save(proto, path)
    return path
