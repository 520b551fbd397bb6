"""Folders of PaddleX as they are, and settings that PaddleDetection never wrote."""

import json
import shutil

import pytest
from click.testing import CliRunner
from drawn_coco import write_dataset
from skimage import data as skimage_data

import picodet
from picodet.cli import main
from picodet.config import Preprocessing

PHOTO = f"{skimage_data.__path__[0]}/chelsea.png"


def run(*arguments, exit_code=0):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == exit_code, done.output
    return " ".join(done.output.split())  # however wide the terminal is


@pytest.fixture(scope="module")
def doclayout(shared):
    """PaddleX's published program and settings of PP-DocLayout-S, with seeded weights."""
    return shared / "cases" / "pp_doclayout_s"


@pytest.fixture(scope="module")
def doclayout_pth(doclayout, tmp_path_factory):
    output = tmp_path_factory.mktemp("doclayout") / "out.pth"
    assert "480 x 480" in run("convert", doclayout, output)
    return output


def test_the_size_and_the_names_of_doclayout(doclayout_pth):
    config = picodet.load(doclayout_pth).config
    assert (config.name, config.input_size) == ("PP-DocLayout-S", (480, 480))
    assert len(config.classes) == 23
    assert config.classes[:3] == ("paragraph_title", "image", "text")


@pytest.mark.slow
@pytest.mark.paddle
def test_doclayout_detects_in_paddle_and_in_torch(
    doclayout, doclayout_pth, paddle_python, tmp_path
):
    """The same scores; boxes differ, as the anchor points of this program are seeded weights."""
    found = []
    for model in (doclayout, doclayout_pth):
        output = tmp_path / f"{model.stem}.json"
        options = ["--score-thr", 0.3, "--out", tmp_path / "drawn", "--json", output]
        run("detect", model, PHOTO, *options, "--paddle-python", paddle_python)
        found.append(json.loads(output.read_text())[0])
    paddle, torch = found
    assert paddle["names"][0] == torch["names"][0] == "image"
    assert paddle["scores"][0] == pytest.approx(torch["scores"][0], abs=1e-4)


@pytest.mark.slow
@pytest.mark.paddle
def test_doclayout_is_evaluated(doclayout, paddle_python, tmp_path):
    dataset = write_dataset(tmp_path / "coco", 4)
    report = tmp_path / "report.json"
    options = ["--match-classes", "order", "--json", report, "--paddle-python", paddle_python]
    annotations = dataset / "annotations" / "instances_val2017.json"
    content = json.loads(annotations.read_text())
    names = picodet_names(doclayout)
    content["categories"] = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    annotations.write_text(json.dumps(content))
    run("eval", doclayout, "--coco", dataset, *options)
    assert 0 <= json.loads(report.read_text())["stats"][0] <= 1


def picodet_names(folder):
    from picodet.formats.settings.infer_cfg import read_infer_cfg

    return read_infer_cfg(folder).labels


@pytest.mark.slow
def test_doclayout_is_exported(doclayout, tmp_path):
    text = run("export", doclayout, tmp_path / "out.onnx", "--level", "boxes")
    assert "480" in text
    detected = run("detect", tmp_path / "out.onnx", PHOTO, "--out", tmp_path / "drawn")
    assert "1 of 1 images" in detected


@pytest.mark.slow
@pytest.mark.paddle
def test_doclayout_is_aligned_with_live_paddle_and_a_recording(
    doclayout, doclayout_pth, paddle_python, tmp_path
):
    """All stages but the decoding: the anchor points of this program are seeded weights too."""
    recording = tmp_path / "recording.safetensors"
    run("align", "record", doclayout, recording, "--paddle-python", paddle_python)
    for reference in (doclayout, recording):
        report = tmp_path / "report.json"
        options = ["--json", report, "--paddle-python", paddle_python]
        run("align", reference, doclayout_pth, *options, exit_code=1)
        stages = {s["name"]: s["verdict"] for s in json.loads(report.read_text())["stages"]}
        assert stages.pop("decoding") == "differs"
        assert set(stages.values()) <= {"aligned", "not compared"}, stages


@pytest.fixture
def pedestrian(shared, tmp_path):
    """The pedestrian folder with other settings."""

    def folder(settings):
        source = shared / "cases" / "folder_settings" / settings
        folder = tmp_path / settings.partition(".")[0]
        shutil.copytree(shared / "weights" / "picodet_s_192_pedestrian", folder)
        (folder / "infer_cfg.yml").unlink()
        shutil.copy(source, folder / settings.partition(".")[2])
        return folder

    return folder


def test_paddlexs_name_and_keys(pedestrian, tmp_path):
    text = run("convert", pedestrian("paddlex_pedestrian.inference.yml"), tmp_path / "out.pth")
    config = picodet.load(tmp_path / "out.pth").config
    assert (config.classes, config.input_size) == (("pedestrian",), (192, 192))
    assert config.preprocessing == Preprocessing(interp=2)
    assert "assumed" not in text


def test_a_normalization_that_nobody_does(pedestrian, tmp_path):
    text = run("convert", pedestrian("fuse_normalize.infer_cfg.yml"), tmp_path / "out.pth")
    assert "the model gets values from 0 to 255" in text
    numbers = picodet.load(tmp_path / "out.pth").config.preprocessing
    assert numbers == Preprocessing((0, 0, 0), (1, 1, 1), 2, is_scale=False)


def test_a_step_that_paddledetection_does_not_have(pedestrian, tmp_path):
    output, dataset = tmp_path / "out.pth", write_dataset(tmp_path / "coco", 2)
    text = run("convert", pedestrian("letterbox.infer_cfg.yml"), output)
    assert "its preprocessing has the step LetterboxResize" in text
    for command in (
        ["detect", output, PHOTO, "--out", tmp_path / "drawn"],
        ["eval", output, "--coco", dataset, "--match-classes", "order"],
    ):
        refused = run(*command, exit_code=1)
        assert "LetterboxResize" in refused, refused
    assert not (tmp_path / "drawn" / "chelsea.png").exists()


@pytest.mark.slow
def test_a_model_that_cannot_preprocess_is_exported(pedestrian, tmp_path):
    output = tmp_path / "out.onnx"
    run("export", pedestrian("letterbox.infer_cfg.yml"), output)
    assert "LetterboxResize" in run("detect", output, PHOTO, "--out", tmp_path / "x", exit_code=1)
