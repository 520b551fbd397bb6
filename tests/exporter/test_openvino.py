"""OpenVINO gives the same outputs as torch for all opsets of an export."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from tracing import filled_model, seeded_checkpoint

from picodet.exporter import ort
from picodet.exporter.model_proto import build_model
from picodet.exporter.options import ExportOptions
from picodet.exporter.verify import SQUARED_SUFFIX, verify
from picodet.exporter.verify_inputs import make_verify_inputs
from picodet.formats.meta import make_meta
from picodet.inference.openvino_backend import openvino
from picodet.zoo.architectures import MOBILENET, RESNET, S_NPU, SHUFFLENET, XS_LCNET

pytestmark = pytest.mark.slow

NEWEST = ort.newest_opset()


def in_openvino(path):
    """In float32; by default it uses bfloat16 where the CPU has it."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(path, "CPU", settings)

    def run(feed):
        model_inputs = {value.any_name: feed[value.any_name] for value in compiled.inputs}
        outputs = compiled(model_inputs)
        return {value.any_name: outputs[value] for value in compiled.outputs}

    return run


@pytest.mark.parametrize(
    ("level", "opset"),
    [("heads", 11), ("boxes", 14), ("detections", 11), ("detections", NEWEST)],
)
def test_computes_the_same(model, meta, tmp_path, level, opset):
    options = ExportOptions(level, opset, "dynamic", "dynamic" if opset == 11 else None)
    path = tmp_path / "export.onnx"
    onnx.save(build_model(model, options, meta), path)
    all_inputs = list(make_verify_inputs(model.config, options, ()))
    allowed = {
        name: difference.allowed
        for name, difference in verify(path, model, options, all_inputs).differences.items()
    }
    session, run = ort.create_session(path), in_openvino(path)
    for inputs in all_inputs:
        feed = {"image": inputs.images, "scale_factor": inputs.scale_factors}
        expected, outputs = ort.run(session, feed), run(feed)
        if level == "detections":  # in the same order
            np.testing.assert_array_equal(outputs["nums"], expected["nums"])
            np.testing.assert_array_equal(outputs["rows"][:, 0], expected["rows"][:, 0])
            box_tolerance = allowed["boxes"] / inputs.scale_factors.min()
            assert np.abs(outputs["rows"][:, 1] - expected["rows"][:, 1]).max() <= allowed["scores"]
            assert np.abs(outputs["rows"][:, 2:] - expected["rows"][:, 2:]).max() <= box_tolerance
        else:
            for name, array in expected.items():
                assert np.abs(outputs[name] - array).max() <= allowed[name], name


@pytest.mark.parametrize(
    "variant", [XS_LCNET, S_NPU, RESNET, MOBILENET, SHUFFLENET], ids=lambda variant: variant.name
)
def test_computes_the_same_of_other_architectures(variant, tmp_path):
    config = replace(variant, classes=("a", "b", "c"), input_size=(96, 64))
    model, options = filled_model(config, seeded_checkpoint(config)), ExportOptions("boxes")
    path = tmp_path / "export.onnx"
    onnx.save(build_model(model, options, make_meta(config, "detector", "seeded", "ab" * 32)), path)
    (inputs, *_) = all_inputs = list(make_verify_inputs(config, options, ()))
    differences = verify(path, model, options, all_inputs).differences
    feed = {"image": inputs.images}
    expected, outputs = ort.run(ort.create_session(path), feed), in_openvino(path)(feed)
    assert np.abs(outputs["boxes"] - expected["boxes"]).max() <= differences["boxes"].allowed
    if "scores" in differences:
        assert np.abs(outputs["scores"] - expected["scores"]).max() <= differences["scores"].allowed
    else:
        squares = outputs["scores"] ** 2 - expected["scores"] ** 2
        assert np.abs(squares).max() <= differences["scores" + SQUARED_SUFFIX].allowed
