"""PaddleDetection itself, run for each of these tests, and exports made with it."""

import json

import numpy as np
import own_recording
import pytest
from click.testing import CliRunner

from picodet.alignment.recording.reader import Recording
from picodet.cli import align, convert
from picodet.models import checkpoint
from picodet.zoo.official import CONFIGS
from scripts.fixtures import seeded

pytestmark = pytest.mark.paddle
STAGES = ["weights", "preprocessing", "layers", "heads", "decoding", "NMS"]
SMALL = "picodet_s_192_pedestrian"  # the smallest official one
LCNET = "picodet_xs_320_coco_lcnet"
OTHERS = (
    *("picodet_xs_320_coco_lcnet", "picodet_s_416_coco_npu", "picodet_lcnet_1_0x_416_coco"),
    *("picodet_mobilenetv3_large_1x_416_coco", "picodet_r18_640_coco"),
    "picodet_shufflenetv2_1x_416_coco",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint of seeded weights, converted."""
    folder = tmp_path_factory.mktemp("paddle")
    arrays = seeded.checkpoint(seeded.shapes(CONFIGS[SMALL]))
    seeded.write(arrays, folder / f"{SMALL}.pdparams")
    convert_file(folder / f"{SMALL}.pdparams", folder / "model.pth")
    return folder


def convert_file(source, target, *options):
    result = CliRunner().invoke(convert, [str(source), str(target), *options])
    assert result.exit_code == 0, result.output
    return target


@pytest.fixture
def run(folder, paddle_python):
    def run(*arguments):
        options = ["--paddle-python", paddle_python]
        result = CliRunner().invoke(align, [str(a) for a in (*arguments, *options)])
        assert "Traceback" not in result.output
        return result

    return run


def assert_aligned(run, folder, *arguments):
    """Check that all stages are aligned and nothing is unpaired; return the outcome."""
    result = run(*arguments, "--json", folder / "outcome.json")
    assert result.exit_code == 0, result.output
    content = json.loads((folder / "outcome.json").read_text())
    assert [stage["name"] for stage in content["stages"]] == STAGES
    assert {stage["verdict"] for stage in content["stages"]} == {"aligned"}
    assert content["unpaired"] == content["guilty"] == []
    assert {layer["status"] for layer in content["layers"]} == {"aligned"}
    return content


@pytest.mark.slow
def test_live_ppdet_in_float32(run, folder):
    content = assert_aligned(run, folder, folder / f"{SMALL}.pdparams", folder / "model.pth")
    assert len(content["layers"]) == 394
    local = [layer["local"] for layer in content["layers"] if layer["local"]]
    assert len(local) > 390
    evidence = [stage["summary"] for stage in content["stages"] if "probe" in stage["summary"]]
    assert len(evidence) == 3
    assert all("the reference's own answer" in summary for summary in evidence)


@pytest.mark.slow
def test_live_ppdet_in_float64_with_an_array(run, folder):
    np.save(folder / "input.npy", seeded.images(192, 192))
    arguments = [folder / f"{SMALL}.pdparams", folder / "model.pth", "--float64"]
    content = assert_aligned(run, folder, *arguments, "--input", folder / "input.npy")
    worst = max(
        layer["accumulated"]["error"] / layer["accumulated"]["scale"]
        for layer in content["layers"]
        if layer["accumulated"]
    )
    assert worst < 1e-12


@pytest.mark.slow
def test_a_wrong_model_against_live_ppdet(run, folder):
    model = checkpoint.load(folder / "model.pth")
    model.backbone.stage3.block4.se.reduce.bias.data[1] += 1
    own_recording.save(model, folder / "wrong.pth")
    result = run(folder / f"{SMALL}.pdparams", folder / "wrong.pth", "--json", folder / "w.json")
    assert result.exit_code == 1
    (guilty,) = json.loads((folder / "w.json").read_text())["guilty"]
    assert guilty["path"] == "backbone.stage3.block4.se.reduce"
    assert guilty["reference"] == "backbone.3_4._se.conv1"


@pytest.mark.slow
def test_another_size_than_the_models_shows(run, folder):
    other = folder / "picodet_s_320_pedestrian.pdparams"
    other.write_bytes((folder / f"{SMALL}.pdparams").read_bytes())
    result = run(other, folder / "model.pth")
    assert result.exit_code in (1, 2)
    assert "192" in result.output
    assert "320" in result.output


@pytest.fixture(scope="module")
def recorded(folder, paddle_python):
    """A full recording and a summary of it."""
    options = ["--paddle-python", str(paddle_python)]
    for name, more in (("full", []), ("summary", ["--summary"])):
        arguments = [f"{folder}/{SMALL}.pdparams", f"{folder}/{name}.safetensors", *more]
        result = CliRunner().invoke(align, ["record", *arguments, *options])
        assert result.exit_code == 0, result.output
    return folder


@pytest.mark.slow
def test_recordings_of_ppdet(run, recorded):
    assert_aligned(run, recorded, recorded / "full.safetensors", recorded / "model.pth")
    assert_aligned(run, recorded, recorded / "summary.safetensors", recorded / "model.pth")


@pytest.mark.slow
def test_a_summary_is_small(recorded):
    path = recorded / "summary.safetensors"
    with Recording(path) as recording:
        index = recording.index
        images = {index.input, *(step.key for step in index.steps), *index.probes.values()}
        # a resize that depends on the machine is stored whole
        of_kernels = sum(recording.tensor(key).nbytes for key in images if recording.has(key))
        assert len(index.calls) > 390
        assert index.kind == "ppdet"
    small = path.stat().st_size - of_kernels
    assert small < 600_000 < (recorded / "full.safetensors").stat().st_size


@pytest.mark.slow
def test_two_recordings_hold_the_same_bits(run, recorded):
    again = recorded / "again.safetensors"
    assert run("record", recorded / f"{SMALL}.pdparams", again, "--summary").exit_code == 0
    with Recording(again) as second, Recording(recorded / "summary.safetensors") as first:
        assert first.index == second.index


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "program"),
    [
        (
            "weights/picodet_s_192_pedestrian.pdparams",
            "weights/picodet_s_192_pedestrian",
        ),
        (
            "reference/picodet_s_416_coco/picodet_s_416_coco.pdparams",
            "reference/picodet_s_416_coco/export_nms/picodet_s_416_coco",
        ),
        (
            "reference/picodet_s_416_coco/picodet_s_416_coco.pdparams",
            "reference/picodet_s_416_coco/export_raw_pdmodel/picodet_s_416_coco",
        ),
        (
            f"reference/{LCNET}/{LCNET}.pdparams",
            f"reference/{LCNET}/export_nms/{LCNET}",
        ),
        (
            f"reference/{LCNET}/{LCNET}.pdparams",
            f"reference/{LCNET}/export_raw_pdmodel/{LCNET}",
        ),
    ],
    ids=[
        *("pedestrian, old form", "S-416, new form with NMS", "S-416, raw"),
        *("XS of 2022, new form with NMS", "XS of 2022, raw"),
    ],
)
def test_inference_folders(run, shared, tmp_path, weights, program):
    model = convert_file(shared / weights, tmp_path / "model.pth")
    assert_aligned(run, tmp_path, shared / program, model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "options"),
    [
        ("weights/picodet_s_416_coco.pdparams", []),
        ("weights/picodet_s_416_coco.pdparams", ["--float64"]),
        ("reference/picodet_m_416_coco/picodet_m_416_coco.pdparams", []),
        (f"weights/{LCNET}.pdparams", []),
        (f"weights/{LCNET}.pdparams", ["--float64"]),
    ],
    ids=["S-416", "S-416 in float64", "M-416", "XS of 2022", "XS of 2022 in float64"],
)
def test_real_weights_in_live_ppdet(run, shared, tmp_path, weights, options):
    model = convert_file(shared / weights, tmp_path / "model.pth")
    image = shared / "reference" / "images" / "000000014439.jpg"
    assert_aligned(run, tmp_path, shared / weights, model, "--image", image, *options)


def test_a_checkpoint_of_another_model(run, shared, folder):
    result = run(shared / "weights" / "ppyolo_tiny_not_picodet.pdparams", folder / "model.pth")
    assert result.exit_code == 2
    assert "not a PicoDet that this version knows" in result.output


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures(run, tmp_path, name):
    """Seeded weights, on a small image that is not square."""
    seeded.main(name, str(tmp_path / "seeded.pdparams"))
    options = ["--input-size", "128x160"]
    model = convert_file(tmp_path / "seeded.pdparams", tmp_path / "model.pth", *options)
    content = assert_aligned(run, tmp_path, tmp_path / "seeded.pdparams", model)
    assert "[1, 3, 128, 160]" in content["environment"]["input"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reference", "candidate"),
    [("own.safetensors", "hub"), ("hub", "training"), ("training", "own.safetensors")],
)
def test_references_in_other_formats(run, folder, tmp_path, reference, candidate):
    source = folder / f"{SMALL}.pdparams"
    for name in (reference, candidate):
        if name == "training":
            (tmp_path / name).mkdir()
            (tmp_path / name / "model_final.pdparams").write_bytes(source.read_bytes())
        else:
            convert_file(source, tmp_path / name)
    assert_aligned(run, tmp_path, tmp_path / reference, tmp_path / candidate)


def test_a_folder_without_a_program(run, folder, tmp_path):
    result = run(tmp_path, folder / "model.pth")
    assert result.exit_code == 2
    assert str(tmp_path) in "".join(result.output.split())


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"x", b"\x80\x04N."])
def test_a_damaged_checkpoint(run, folder, tmp_path, damage):
    path = tmp_path / f"{SMALL}.pdparams"
    path.write_bytes(damage)
    result = run(path, folder / "model.pth")
    assert result.exit_code == 2
    assert result.output.count("\n") == 1


@pytest.mark.slow
def test_an_image_that_ppdet_cannot_decode(run, folder, tmp_path):
    (tmp_path / "p.jpg").write_text("no image")
    arguments = [folder / f"{SMALL}.pdparams", folder / "model.pth"]
    result = run(*arguments, "--image", tmp_path / "p.jpg")
    assert result.exit_code == 2
    assert "that OpenCV can decode" in result.output
