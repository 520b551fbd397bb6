"""ONNX files compared with recordings: right ones, and ones with planted faults."""

import json
import sys
from dataclasses import replace

import numpy as np
import own_recording
import pytest
from exporting import export_onnx
from onnx import TensorProto, helper, numpy_helper
from onnx_faults import FAULTS, FOLDED, changed, first, lose_pads, node, number, rewire, set_weight

from picodet.alignment import session
from picodet.alignment.onnx import model as onnx_model
from picodet.alignment.onnx import runs
from picodet.alignment.session import InputOptions
from picodet.errors import AlignmentError, CheckpointError, GraphError
from picodet.formats.meta import make_meta


@pytest.fixture(scope="module")
def exports(pristine, tmp_path_factory):
    """The same model with batch norms (False) and with these folded (True)."""
    folder = tmp_path_factory.mktemp("exports")
    files = {False: folder / "model.onnx", True: folder / "folded.onnx"}
    for folded, file in files.items():
        export_onnx(pristine, file, folded)
    return files


def compare(reference, file):
    inputs = InputOptions(None, None, False)
    return session.compare(reference, file, inputs, None, None, lambda *_: None)


def verdicts(comparison):
    return {stage.name: stage.verdict for stage in comparison.stages}


def differing(comparison):
    return [name for name, verdict in verdicts(comparison).items() if verdict != "aligned"]


def summary_of(comparison, name):
    return next(stage.summary for stage in comparison.stages if stage.name == name)


# right files


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folded", "calls", "weights"),
    [
        (False, 394, "575 of 575 tensors equal bit for bit"),
        (True, 291, "60 of 60 tensors equal bit for bit; 103 batch norms folded in the ONNX file"),
    ],
)
def test_an_export_is_aligned_with_the_model(reference, exports, folded, calls, weights):
    comparison = compare(reference, exports[folded])
    assert not differing(comparison)
    assert comparison.unpaired == ()
    assert len(comparison.layers) == calls
    assert all(layer.local for layer in comparison.layers)
    assert any(layer.local.error for layer in comparison.layers)  # onnxruntime is not torch
    assert summary_of(comparison, "weights").startswith(weights)
    assert "defaults: the ONNX file does not state them" in summary_of(comparison, "preprocessing")


@pytest.mark.slow
@pytest.mark.parametrize("folded_reference", [False, True])
@pytest.mark.parametrize("folded_model", [False, True])
def test_folded_or_not_on_either_side(exports, folded_reference, folded_model):
    images = exports[False].with_name("input.npy")
    np.save(images, own_recording.random_image())
    inputs = InputOptions(None, images, False)
    comparison = session.compare(
        exports[folded_reference], exports[folded_model], inputs, None, None, lambda *_: None
    )
    assert not differing(comparison)
    pairs = [layer for layer in comparison.layers if " + " in layer.path]
    assert len(pairs) == (103 if folded_reference or folded_model else 0)
    if folded_reference == folded_model:
        assert {layer.local.error for layer in comparison.layers} == {0}


@pytest.mark.slow
def test_a_summary(summary, exports):
    comparison = compare(summary, exports[False])
    assert not differing(comparison)
    assert {layer.local for layer in comparison.layers} == {None}
    with pytest.raises(AlignmentError, match="folded batch norms needs all values"):
        compare(summary, exports[True])


@pytest.mark.slow
def test_what_a_file_states(exports, tmp_path):
    classes, interp = ("x", "y", "z"), 4
    preprocessing = replace(own_recording.CONFIG.preprocessing, interp=interp)
    config = replace(own_recording.CONFIG, classes=classes, preprocessing=preprocessing)
    meta = json.dumps(make_meta(config, "detector", "own", "0" * 64))

    def say(model):
        model.metadata_props.add(key="picodet", value=meta)

    model = onnx_model.load(changed(exports[False], tmp_path / "says.onnx", say))
    assert (model.model.config, model.notes) == (config, ())
    silent = onnx_model.load(exports[False]).model.config
    assert (len(silent.classes), silent.input_size, silent.head_convs, silent.reg_max) == (
        *(3, (64, 64)),
        *(config.head_convs, config.reg_max),
    )


@pytest.mark.slow
def test_any_input_size(reference, exports, tmp_path):
    def free(model):
        for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
            side.dim_param = "any"

    file = changed(exports[False], tmp_path / "free.onnx", free)
    assert onnx_model.load(file).model.config.input_size == (416, 416)
    assert not differing(compare(reference, file))


@pytest.mark.slow
def test_the_last_run_of_the_whole_graph_may_be_empty(reference, exports, monkeypatch):
    model = onnx_model.load(exports[False])
    outputs = {
        model.node_mapping.tensor_names[s] for call in model.traced.calls for s in call.outputs
    }
    monkeypatch.setattr(runs, "MAX_OUTPUTS", len(outputs))
    assert not differing(compare(reference, exports[False]))


# planted faults


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_graph_that_cannot_be_run(reference, exports, tmp_path):
    comparison = compare(reference, changed(exports[False], tmp_path / "w.onnx", lose_pads))
    assert verdicts(comparison)["heads"] == "not compared"
    (layers,) = (stage for stage in comparison.stages if stage.name == "layers")
    assert "bottom_up_blocks.0" in layers.findings[0].found
    reached = [layer for layer in comparison.layers if layer.accumulated]
    assert 0 < len(reached) < len(comparison.layers)


# post-processing in exports of seeded weights by paddle2onnx


def keep_all(model):
    pass


def set_score_threshold(model):
    name = first(model, "NonMaxSuppression").input[4]
    threshold = node(model, name).attribute[0].t
    threshold.CopyFrom(numpy_helper.from_array(np.array([0.05], np.float32)))


def set_bin(model):
    for constant in (o for o in model.graph.node if o.op_type == "Constant"):
        array = numpy_helper.to_array(constant.attribute[0].t).copy()
        if array.dtype == np.float32 and array.size == 8:
            array[3] += 0.1
            constant.attribute[0].t.CopyFrom(numpy_helper.from_array(array))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "against", "differs"),
    [
        (keep_all, "export_nms.onnx", []),
        (set_score_threshold, "export_raw.onnx", ["NMS"]),  # only the probe boxes show it
        (set_bin, "export_nms.onnx", ["weights", "decoding"]),
    ],
)
def test_an_export_with_nms(change, against, differs, shared, tmp_path):
    folder = shared / "reference" / "picodet_s_416_coco"
    file = changed(folder / "export_nms.onnx", tmp_path / "nms.onnx", change)
    comparison = compare(folder / against, file)
    assert differing(comparison) == differs
    assert not comparison.guilty
    assert "boxes by the export from the reference's heads" in summary_of(comparison, "decoding")
    findings = {finding.diagnosis for stage in comparison.stages for finding in stage.findings}
    if change is set_score_threshold:
        assert findings == {"score threshold 0.05; the reference's is 0.025"}


# rejected files


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
    meta = json.dumps(make_meta(config, "detector", "own", "0" * 64))
    model.metadata_props.add(key="picodet", value=meta)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (later_opset, r"needs the operators of ONNX 99 .*pip install --upgrade onnx onnxruntime"),
        (strange_operator, "the operator Ours of our.own"),
        (half, "is float16 with 4 dimensions; expected a float32 export"),
        (odd_size, "both sides must be multiples of 32"),
        (other_size, r"takes an input of \[1, 3, 96, 64\]; the reference was fed"),
        (no_sigmoid, "wrong.onnx: after .* expected one sigmoid"),
        (one_convolution_less, "wrong.onnx is another network: first without a partner"),
        (no_meta, "invalid metadata picodet: TypeError"),
        (another_config, "wrong.onnx is another network"),
    ],
)
def test_what_cannot_be_compared(change, message, reference, exports, tmp_path):
    with pytest.raises((AlignmentError, CheckpointError, GraphError), match=message):
        compare(reference, changed(exports[False], tmp_path / "wrong.onnx", change))


def test_a_file_that_is_not_onnx(reference, tmp_path):
    (tmp_path / "text.onnx").write_text("text")
    for name in ("text.onnx", "absent.onnx"):
        with pytest.raises(CheckpointError, match=r"not a readable ONNX file|cannot be read"):
            compare(reference, tmp_path / name)


@pytest.mark.slow
def test_a_recording_in_float64(pristine, exports, tmp_path):
    path = tmp_path / "double.safetensors"
    own_recording.record(own_recording.pristine().double(), path)
    with pytest.raises(AlignmentError, match="an ONNX file computes in float32"):
        compare(path, exports[False])


def test_without_onnxruntime(reference, exports, monkeypatch):
    for name in [*sys.modules]:
        if name.startswith("picodet.alignment.onnx") or name == "picodet.system.ort":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("picodet.alignment.onnx.model")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        AlignmentError, match=r"onnxruntime is not installed: pip install onnxruntime$"
    ):
        compare(reference, exports[False])
