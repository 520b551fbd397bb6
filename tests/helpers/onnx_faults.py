"""Faults of exporters, planted in the files that exporting.py writes."""

import numpy as np
import onnx
import own_recording
from onnx import helper, numpy_helper

from picodet.graphs.tracing import trace

OPERATORS = trace(own_recording.CONFIG).operators


def changed(file, path, change):
    model = onnx.load(file)
    change(model)
    onnx.save(model, path)
    return path


def number(layer):
    """Index of the operator of a layer; the export names its output t and that number."""
    return next(i for i, o in enumerate(OPERATORS) if o.weights.get("weight") == f"{layer}.weight")


def next_number(layer, kind):
    first = number(layer)
    return next(i for i, o in enumerate(OPERATORS) if i > first and o.kind == kind)


def node(model, name):
    return next(node for node in model.graph.node if name in node.output)


def first(model, kind):
    return next(node for node in model.graph.node if node.op_type == kind)


def set_attribute(operator, name, value):
    kept = [attribute for attribute in operator.attribute if attribute.name != name]
    del operator.attribute[:]
    operator.attribute.extend([*kept, helper.make_attribute(name, value)])


def rewire(model, name, other):
    for operator in model.graph.node:
        operator.input[:] = [other if given == name else given for given in operator.input]


def set_weight(model):
    name = f"t{number('backbone.stage3.block2.conv_dw.conv')}w"
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    array = numpy_helper.to_array(tensor).copy()
    array[np.unravel_index(np.abs(array).argmax(), array.shape)] *= 1.01
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def drop_relu(model):
    relu = node(model, f"t{next_number('backbone.stage3.block2.se.reduce', 'relu')}")
    rewire(model, relu.output[0], relu.input[0])


def drop_hardswish(model):
    hardswish = node(model, f"t{next_number('backbone.stage3.block3.conv_pw.bn', 'hardswish')}")
    norm = number("backbone.stage3.block3.conv_pw.bn")
    # folded, it is a division in the end, and the convolution is the operator before the batch norm
    before = hardswish.input[0] if hardswish.op_type == "HardSwish" else f"t{norm - 1}"
    rewire(model, hardswish.output[0], before)


def shift_pads(model):
    set_attribute(node(model, f"t{number('neck.downsamples.0.dwconv')}"), "pads", [1, 1, 3, 3])


def lose_pads(model):
    set_attribute(node(model, f"t{number('neck.downsamples.0.dwconv')}"), "pads", [1, 1, 1, 1])


def exchange_branches(model):
    concat = node(model, f"t{next_number('neck.top_down_blocks.1.main_conv.conv', 'concat')}")
    concat.input[:] = concat.input[::-1]


def set_epsilon(model):
    set_attribute(node(model, f"t{number('neck.conv_t.convs.1.bn')}"), "epsilon", 1e-3)


def steeper_gate(model):
    gate = next_number("backbone.stage3.block2.se.expand", "hardsigmoid")
    set_attribute(node(model, f"t{gate}"), "alpha", 0.2)


def resize_linearly(model):
    set_attribute(first(model, "Resize"), "mode", "linear")


def average_pool(model):
    first(model, "MaxPool").op_type = "AveragePool"


def drop_shuffle(model):
    shuffle = next_number("backbone.stage3.block3.conv_linear.bn", "shuffle")
    set_attribute(node(model, f"t{shuffle}t"), "perm", [0, 1, 2, 3, 4])


def take_the_other_half(model):
    conv = node(model, f"t{number('backbone.stage3.block3.conv_pw.conv')}")
    conv.input[0] = conv.input[0].removesuffix("_1") + "_0"


def multiply_levels(model):
    addition = next(i for i, operator in enumerate(OPERATORS) if operator.kind == "add")
    node(model, f"t{addition}").op_type = "Mul"


def take_the_level_before(model):
    """Use t4 instead of a later output of the same shape."""
    fused = next_number("neck.downsamples.0.pwconv", "concat")
    level = next_number("neck.conv_t.convs.1.conv", "hardswish")
    node(model, f"t{fused}").input[1] = f"t{level}"


# planted fault, guilty layer, place, and expected diagnosis
FAULTS = {
    set_weight: ("backbone.stage3.block2.conv_dw.conv", "output", "by a factor of 1.01"),
    drop_relu: ("backbone.stage3.block2.se", "input of expand", "has ReLU after reduce"),
    drop_hardswish: ("backbone.stage3.block3.conv_pw", "output", "has hard-swish after bn"),
    shift_pads: ("neck.downsamples.0.dwconv", "output", "pads of Conv is [1, 1, 3, 3]"),
    lose_pads: ("neck.downsamples.0.dwconv", "output", "pads of Conv is [1, 1, 1, 1]"),
    exchange_branches: ("neck.top_down_blocks.1", "input of final_conv", "two halves"),
    set_epsilon: ("neck.conv_t.convs.1.bn", "output", "epsilon of BatchNormalization is 0.001"),
    steeper_gate: ("backbone.stage3.block2.se", "output", "a hard-sigmoid of slope 0.2 of expand"),
    resize_linearly: ("neck.upsample", "output", "mode of Resize is linear"),
    average_pool: ("backbone.max_pool", "output", "AveragePool; the reference has MaxPool"),
    drop_shuffle: ("backbone.stage3.block3", "output", "channels are in another order"),
    take_the_other_half: ("backbone.stage3.block3", "input of conv_pw", ""),
    multiply_levels: ("neck", "output", "the reference has first_top_conv plus"),
    take_the_level_before: ("neck", "input of bottom_up_blocks.0", ""),
}
FOLDED = (set_weight, drop_hardswish, shift_pads, take_the_other_half)
