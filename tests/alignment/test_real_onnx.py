"""The official export, and those made with paddle2onnx for this project; no Paddle is needed."""

import json

import pytest
from click.testing import CliRunner

from picodet.cli import align, convert

SEEDED = "reference/picodet_s_416_coco/picodet_s_416_coco.pdparams"


@pytest.mark.parametrize(
    ("weights", "file"),
    [
        ("weights/picodet_s_416_coco.pdparams", "weights/picodet_s_416_coco.onnx"),
        (SEEDED, "reference/picodet_s_416_coco/export_raw.onnx"),
        (SEEDED, "reference/picodet_s_416_coco/export_nms.onnx"),
    ],
    ids=["official", "raw", "nms"],
)
def test_they_are_aligned_on_every_rung(shared, tmp_path, weights, file):
    model, outcome = tmp_path / "model.pth", tmp_path / "outcome.json"
    CliRunner().invoke(convert, [str(shared / weights), str(model)], catch_exceptions=False)
    result = CliRunner().invoke(align, [f"{shared}/{file}", str(model), "--json", str(outcome)])
    assert result.exit_code == 0, result.output
    content = json.loads(outcome.read_text())
    assert {rung["verdict"] for rung in content["rungs"]} == {"aligned"}
    assert content["unpaired"] == []
    assert len(content["layers"]) > 280
