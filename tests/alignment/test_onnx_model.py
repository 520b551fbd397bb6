"""ONNX files held against recordings: right ones, and ones that something was planted in."""

import json
import sys
from dataclasses import replace

import numpy as np
import onnx
import own_recording
import pytest
from exporting import export_onnx
from onnx import TensorProto, helper, numpy_helper

from picodet.alignment import onnx_model, session
from picodet.alignment.session import Fed
from picodet.alignment.tracing import trace
from picodet.errors import AlignmentError, RecordingError
from picodet.models import checkpoint

OPERATORS = trace(own_recording.CONFIG).operators


@pytest.fixture(scope="module")
def exports(pristine, tmp_path_factory):
    """The same model with batch norms (False) and with these folded (True)."""
    folder = tmp_path_factory.mktemp("exports")
    files = {False: folder / "model.onnx", True: folder / "folded.onnx"}
    for folded, file in files.items():
        export_onnx(pristine, file, folded)
    return files


def compare(reference, file):
    fed = Fed(None, None, False)
    return session.compare(reference, file, fed, None, None, lambda *_: None)


def verdicts(comparison):
    return {rung.name: rung.verdict for rung in comparison.rungs}


def differing(comparison):
    return [name for name, verdict in verdicts(comparison).items() if verdict != "aligned"]


def said(comparison, name):
    return next(rung.summary for rung in comparison.rungs if rung.name == name)


def changed(file, path, change):
    model = onnx.load(file)
    change(model)
    onnx.save(model, path)
    return path


# right ones


@pytest.mark.parametrize(
    ("folded", "calls", "weights"),
    [
        (False, 394, "575 of 575 tensors equal bit for bit"),
        (True, 291, "60 of 60 tensors equal bit for bit; 103 batch norms that the ONNX has folded"),
    ],
)
def test_an_export_is_aligned_with_the_model(reference, exports, folded, calls, weights):
    comparison = compare(reference, exports[folded])
    assert not differing(comparison)
    assert comparison.unpaired == ()
    assert len(comparison.layers) == calls
    assert all(layer.local for layer in comparison.layers)
    assert any(layer.local.error for layer in comparison.layers)  # onnxruntime is not torch
    assert said(comparison, "weights").startswith(weights)
    assert "defaults: the ONNX does not say them" in said(comparison, "preprocessing")


@pytest.mark.parametrize("theirs", [False, True])
@pytest.mark.parametrize("ours", [False, True])
def test_folded_or_not_on_either_side(exports, theirs, ours):
    images = exports[False].with_name("input.npy")
    np.save(images, own_recording.noise())
    fed = Fed(None, images, False)
    comparison = session.compare(exports[theirs], exports[ours], fed, None, None, lambda *_: None)
    assert not differing(comparison)
    pairs = [layer for layer in comparison.layers if " + " in layer.path]
    assert len(pairs) == (103 if theirs or ours else 0)
    if theirs == ours:
        assert {layer.local.error for layer in comparison.layers} == {0}


def test_a_summary(summary, exports):
    comparison = compare(summary, exports[False])
    assert not differing(comparison)
    assert {layer.local for layer in comparison.layers} == {None}
    with pytest.raises(AlignmentError, match="folded is compared with all of them"):
        compare(summary, exports[True])


def test_what_a_file_says_of_itself(exports, tmp_path):
    classes, interp = ("x", "y", "z"), 4
    preprocessing = replace(own_recording.CONFIG.preprocessing, interp=interp)
    config = replace(own_recording.CONFIG, classes=classes, preprocessing=preprocessing)
    meta = json.dumps(checkpoint.describe(config, "detector", "own", "0" * 64))

    def say(model):
        model.metadata_props.add(key="picodet", value=meta)

    model = onnx_model.load(changed(exports[False], tmp_path / "says.onnx", say))
    assert (model.model.config, model.notes) == (config, ())
    silent = onnx_model.load(exports[False]).model.config
    assert (len(silent.classes), silent.input_size, silent.head_convs, silent.reg_max) == (
        *(3, (64, 64)),
        *(config.head_convs, config.reg_max),
    )


def test_any_input_size(reference, exports, tmp_path):
    def free(model):
        for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
            side.dim_param = "any"

    file = changed(exports[False], tmp_path / "free.onnx", free)
    assert onnx_model.load(file).model.config.input_size == (416, 416)
    assert not differing(compare(reference, file))


# what is planted


def number(layer):
    """Of the operator that a layer of ours is; the export calls its output t and that."""
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
    """t4 instead of what was made of it, which has the same shape."""
    fused = next_number("neck.downsamples.0.pwconv", "concat")
    level = next_number("neck.conv_t.convs.1.conv", "hardswish")
    node(model, f"t{fused}").input[1] = f"t{level}"


# what is planted, who is guilty of it, where, and what is said
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


@pytest.mark.parametrize(
    ("fault", "folded"),
    [*((fault, False) for fault in FAULTS), *((fault, True) for fault in FOLDED)],
    ids=lambda value: getattr(value, "__name__", "folded" if value else ""),
)
def test_only_the_layer_that_is_wrong_is_guilty(fault, folded, reference, exports, tmp_path):
    comparison = compare(reference, changed(exports[folded], tmp_path / "wrong.onnx", fault))
    path, where, diagnosis = FAULTS[fault]
    assert {layer.path.split(" + ")[0] for layer in comparison.guilty} == {path}
    assert {layer.where for layer in comparison.guilty} == {where}
    assert diagnosis in comparison.guilty[0].diagnosis
    assert comparison.unpaired == ()
    assert "layers" in differing(comparison)
    assert ("weights" in differing(comparison)) == (fault is set_weight)


def test_a_graph_that_breaks_off(reference, exports, tmp_path):
    comparison = compare(reference, changed(exports[False], tmp_path / "w.onnx", lose_pads))
    assert verdicts(comparison)["heads"] == "not compared"
    (layers,) = (rung for rung in comparison.rungs if rung.name == "layers")
    assert "bottom_up_blocks.0" in layers.findings[0].found
    reached = [layer for layer in comparison.layers if layer.accumulated]
    assert 0 < len(reached) < len(comparison.layers)


# what is refused


def later_opset(model):
    model.opset_import[0].version = 99


def strange_operator(model):
    model.opset_import.append(helper.make_opsetid("our.own", 1))
    relu = first(model, "Relu")
    relu.op_type, relu.domain = "Ours", "our.own"


def half(model):
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def odd_size(model):
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 65


def other_size(model):
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 96


def no_sigmoid(model):
    first(model, "Sigmoid").op_type = "Tanh"


def one_convolution_less(model):
    conv = node(model, f"t{number('neck.first_top_conv.pwconv')}")
    rewire(model, conv.output[0], conv.input[0])


def no_meta(model):
    model.metadata_props.add(key="picodet", value="[1]")


def another_config(model):
    config = replace(own_recording.CONFIG, head_convs=3)
    meta = json.dumps(checkpoint.describe(config, "detector", "own", "0" * 64))
    model.metadata_props.add(key="picodet", value=meta)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (later_opset, r"needs the operators of ONNX 99 .*pip install --upgrade onnx onnxruntime"),
        (strange_operator, "has the operator Ours of our.own"),
        (half, "its input, is float16 of 4 dimensions; an export in float32"),
        (odd_size, "both sides must be multiples of 32"),
        (other_size, r"exported for an input of \[1, 3, 96, 64\]; the reference was fed"),
        (no_sigmoid, "wrong.onnx: behind .* one sigmoid is expected"),
        (one_convolution_less, "wrong.onnx is another network: first without a partner"),
        (no_meta, "its metadata picodet is not ours: TypeError"),
        (another_config, "wrong.onnx is another network"),
    ],
)
def test_what_cannot_be_compared(change, message, reference, exports, tmp_path):
    with pytest.raises(AlignmentError, match=message):
        compare(reference, changed(exports[False], tmp_path / "wrong.onnx", change))


def test_what_is_no_onnx(reference, tmp_path):
    (tmp_path / "text.onnx").write_text("text")
    for name in ("text.onnx", "absent.onnx"):
        with pytest.raises(RecordingError, match="not a readable ONNX file"):
            compare(reference, tmp_path / name)


def test_a_recording_in_double(pristine, exports, tmp_path):
    path = tmp_path / "double.safetensors"
    own_recording.record(own_recording.pristine().double(), path)
    with pytest.raises(AlignmentError, match="an ONNX computes in float32"):
        compare(path, exports[False])


def test_without_onnxruntime(reference, exports, monkeypatch):
    for name in [*sys.modules]:
        if name.startswith("picodet.alignment.onnx"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("picodet.alignment.onnx_model")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(AlignmentError, match="needs onnxruntime: pip install onnx onnxruntime"):
        compare(reference, exports[False])
