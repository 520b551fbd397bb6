"""PicoDet-S-416's export compared with paddle2onnx's of the same weights, and its layout."""

import numpy as np
import pytest

from picodet.converter.configure import ConvertOptions as WantedConversion
from picodet.converter.convert import convert_file
from picodet.exporter import ort
from picodet.exporter.export import export
from picodet.exporter.options import ExportOptions
from picodet.exporter.verify_inputs import make_verify_inputs
from picodet.models import checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model_file(shared, tmp_path_factory):
    path = tmp_path_factory.mktemp("real") / "picodet_s_416_coco.pth"
    source = shared / "weights" / "picodet_s_416_coco.pdparams"
    convert_file(source, path, WantedConversion())
    return path


def test_heads_are_paddles_outputs_in_paddles_order(shared, model_file, tmp_path):
    options = ExportOptions("heads", 11)
    image_paths = sorted((shared / "coco" / "val2017").iterdir())[:2]
    report = export(model_file, tmp_path / "ours.onnx", options, image_paths)
    ours = ort.create_session(tmp_path / "ours.onnx")
    paddles = ort.create_session(shared / "weights" / "picodet_s_416_coco.onnx")
    for inputs in make_verify_inputs(checkpoint.load(model_file).config, options, image_paths):
        feed = {"image": inputs.images}
        outputs, expected = ort.run(ours, feed), ort.run(paddles, feed)
        for (name, array), theirs in zip(outputs.items(), expected.values(), strict=True):
            assert array.shape == theirs.shape
            allowed = report.verification.differences[name].allowed
            assert np.abs(array - theirs).max() <= 2 * allowed  # both are off from float64


def test_all_kept_boxes_are_torchs(shared, model_file, tmp_path):
    image_paths = sorted((shared / "coco" / "val2017").iterdir())[:4]
    report = export(model_file, tmp_path / "ours.onnx", ExportOptions(), image_paths)
    shared_rows, theirs = report.verification.kept
    assert shared_rows == theirs > 100
