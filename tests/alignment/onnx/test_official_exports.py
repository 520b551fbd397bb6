"""The official export, and those made with paddle2onnx for this project; no Paddle is needed."""

import json

import pytest
from click.testing import CliRunner

from picodet.cli import align, convert

pytestmark = pytest.mark.slow

NAMES = ("picodet_s_416_coco", "picodet_xs_320_coco_lcnet")
FILES = {
    **{f"weights/{name}.onnx": f"weights/{name}.pdparams" for name in NAMES},
    **{
        f"reference/{name}/export_{kind}.onnx": f"reference/{name}/{name}.pdparams"
        for name in NAMES
        for kind in ("raw", "nms")
    },
}


@pytest.mark.parametrize("file", FILES)
def test_they_are_aligned_at_every_stage(shared, tmp_path, file):
    weights = FILES[file]
    model, outcome = tmp_path / "model.pth", tmp_path / "outcome.json"
    CliRunner().invoke(convert, [str(shared / weights), str(model)], catch_exceptions=False)
    result = CliRunner().invoke(align, [f"{shared}/{file}", str(model), "--json", str(outcome)])
    assert result.exit_code == 0, result.output
    content = json.loads(outcome.read_text())
    assert {stage["verdict"] for stage in content["stages"]} == {"aligned"}
    assert content["unpaired"] == []
    assert len(content["layers"]) > 260
    # paddle2onnx drops it
    lacking = any(
        "the reference lacks the 1e-09" in stage["summary"] for stage in content["stages"]
    )
    assert lacking == ("lcnet" in file)


@pytest.mark.parametrize("image", ["align_black.png", "align_1x1_grey77.png"])
def test_one_color_raises_no_alarm(shared, tmp_path, threads, image):
    """All values of a layer have the same error; it was 10 to 13 times the noise here."""
    weights, model = shared / "weights/picodet_xs_320_coco_lcnet", tmp_path / "model.pth"
    outcome = tmp_path / "outcome.json"
    CliRunner().invoke(convert, [f"{weights}.pdparams", str(model)], catch_exceptions=False)
    options = ["--image", f"{shared}/cases/{image}", "--json", str(outcome)]
    result = CliRunner().invoke(align, [f"{weights}.onnx", str(model), *options])
    assert result.exit_code == 0, result.output
    layers = json.loads(outcome.read_text())["layers"]
    for measure in ("local", "accumulated"):
        differences = [layer[measure] for layer in layers if layer[measure]]
        assert all(difference["error"] <= 5 * difference["floor"] for difference in differences)
