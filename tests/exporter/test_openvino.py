"""OpenVINO computes the same with the exported file, from the oldest opset to the newest."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from tracing import filled_model, seeded_checkpoint

from picodet.exporter import ort
from picodet.exporter.model_proto import build
from picodet.exporter.options import ExportOptions
from picodet.exporter.verify import SQUARED, verify
from picodet.exporter.verify_inputs import trials
from picodet.formats.meta import make_meta
from picodet.inference.openvino_backend import openvino
from picodet.zoo.architectures import MOBILENET, RESNET, S_NPU, SHUFFLENET, XS_LCNET

pytestmark = pytest.mark.slow

NEWEST = ort.newest_opset()


def in_openvino(path):
    """In float32; by itself it takes bfloat16 where the processor has it."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(path, "CPU", settings)

    def run(feed):
        given = {value.any_name: feed[value.any_name] for value in compiled.inputs}
        made = compiled(given)
        return {value.any_name: made[value] for value in compiled.outputs}

    return run


@pytest.mark.parametrize(
    ("level", "opset"),
    [("heads", 11), ("boxes", 14), ("detections", 11), ("detections", NEWEST)],
)
def test_computes_the_same(model, meta, tmp_path, level, opset):
    wanted = ExportOptions(level, opset, "dynamic", "dynamic" if opset == 11 else None)
    path = tmp_path / "export.onnx"
    onnx.save(build(model, wanted, meta), path)
    asked = list(trials(model.config, wanted, ()))
    allowed = {name: gap.allowed for name, gap in verify(path, model, wanted, asked).gaps.items()}
    session, run = ort.open_file(path), in_openvino(path)
    for trial in asked:
        feed = {"image": trial.images, "scale_factor": trial.scale_factors}
        expected, made = ort.run(session, feed), run(feed)
        if level == "detections":  # in the same order
            np.testing.assert_array_equal(made["nums"], expected["nums"])
            np.testing.assert_array_equal(made["rows"][:, 0], expected["rows"][:, 0])
            sides = allowed["boxes"] / trial.scale_factors.min()
            assert np.abs(made["rows"][:, 1] - expected["rows"][:, 1]).max() <= allowed["scores"]
            assert np.abs(made["rows"][:, 2:] - expected["rows"][:, 2:]).max() <= sides
        else:
            for name, array in expected.items():
                assert np.abs(made[name] - array).max() <= allowed[name], name


@pytest.mark.parametrize(
    "variant", [XS_LCNET, S_NPU, RESNET, MOBILENET, SHUFFLENET], ids=lambda variant: variant.name
)
def test_computes_the_same_of_other_architectures(variant, tmp_path):
    config = replace(variant, classes=("a", "b", "c"), input_size=(96, 64))
    model, wanted = filled_model(config, seeded_checkpoint(config)), ExportOptions("boxes")
    path = tmp_path / "export.onnx"
    onnx.save(build(model, wanted, make_meta(config, "detector", "seeded", "ab" * 32)), path)
    (trial, *_) = asked = list(trials(config, wanted, ()))
    gaps = verify(path, model, wanted, asked).gaps
    feed = {"image": trial.images}
    expected, made = ort.run(ort.open_file(path), feed), in_openvino(path)(feed)
    assert np.abs(made["boxes"] - expected["boxes"]).max() <= gaps["boxes"].allowed
    if "scores" in gaps:
        assert np.abs(made["scores"] - expected["scores"]).max() <= gaps["scores"].allowed
    else:
        squares = made["scores"] ** 2 - expected["scores"] ** 2
        assert np.abs(squares).max() <= gaps["scores" + SQUARED].allowed
