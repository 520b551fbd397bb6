"""PicoDet-S-416's export beside Paddle's own ONNX of the same weights, and its layout."""

import numpy as np
import pytest

from picodet.converter.configure import ConvertOptions as WantedConversion
from picodet.converter.convert import convert_file
from picodet.exporter import ort
from picodet.exporter.export import export
from picodet.exporter.options import ExportOptions
from picodet.exporter.verify_inputs import trials
from picodet.models import checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model_file(shared, tmp_path_factory):
    path = tmp_path_factory.mktemp("real") / "picodet_s_416_coco.pth"
    source = shared / "weights" / "picodet_s_416_coco.pdparams"
    convert_file(source, path, WantedConversion())
    return path


def test_heads_are_paddles_outputs_in_paddles_order(shared, model_file, tmp_path):
    wanted = ExportOptions("heads", 11)
    pictures = sorted((shared / "coco" / "val2017").iterdir())[:2]
    report = export(model_file, tmp_path / "ours.onnx", wanted, pictures)
    ours = ort.open_file(tmp_path / "ours.onnx")
    paddles = ort.open_file(shared / "weights" / "picodet_s_416_coco.onnx")
    for trial in trials(checkpoint.load(model_file).config, wanted, pictures):
        feed = {"image": trial.images}
        made, expected = ort.run(ours, feed), ort.run(paddles, feed)
        for (name, array), theirs in zip(made.items(), expected.values(), strict=True):
            assert array.shape == theirs.shape
            allowed = report.verification.gaps[name].allowed
            assert np.abs(array - theirs).max() <= 2 * allowed  # both are off from float64


def test_all_kept_boxes_are_torchs(shared, model_file, tmp_path):
    pictures = sorted((shared / "coco" / "val2017").iterdir())[:4]
    report = export(model_file, tmp_path / "ours.onnx", ExportOptions(), pictures)
    shared_rows, theirs = report.verification.kept
    assert shared_rows == theirs > 100
