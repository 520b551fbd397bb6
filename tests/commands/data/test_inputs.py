"""`--data` of picodet-eval and picodet-train."""

import json

import pytest
from click.testing import CliRunner
from color_network import meta, write_color_network
from drawn_forms import FORMS, write, write_form

from picodet.cli import evaluate, train
from picodet.data.forms.dataset import read_split
from picodet.models.checkpoint import load_with_meta

RECIPE = """
recipe: picodet_s_320_coco
epochs: 1
batches: {per_gpu: 2, gpus: 1}
input_size: 96
augmentation: {sizes: [96]}
snapshot_epochs: 1
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for form in FORMS:
        write_form(folder / form, form)
    write_color_network(folder / "colors.onnx", meta=meta())
    write(folder / "recipe.yml", RECIPE)
    return folder


def run(command, *arguments):
    return CliRunner().invoke(command, list(map(str, arguments)))


def test_the_same_ap_in_all_forms(files, tmp_path):
    reports = {}
    for form in (*FORMS, "--coco"):
        data = ("--coco", files / "coco") if form == "--coco" else ("--data", files / form)
        report = tmp_path / f"{form}.json"
        done = run(evaluate, files / "colors.onnx", *data, "--json", report)
        assert done.exit_code == 0, done.output
        reports[form] = json.loads(report.read_text())["stats"]
    assert reports["coco"] == reports["voc"] == reports["yolo"] == reports["--coco"]
    assert reports["coco"][0] > 0.1


def test_a_predictions_file_and_a_data_yaml(files, tmp_path):
    out = tmp_path / "d.json"
    done = run(evaluate, files / "colors.onnx", "--data", files / "yolo", "--out", out)
    assert done.exit_code == 0, done.output
    done = run(evaluate, "--predictions", out, "--data", files / "yolo" / "data.yaml")
    assert done.exit_code == 0, done.output
    assert "YOLO, val: 4 images (1 without boxes)" in " ".join(done.output.split())


def test_one_dataset_is_expected(files):
    twice = ("--data", files / "voc", "--coco", files / "coco")
    for command, first in ((evaluate, "colors.onnx"), (train, "recipe.yml")):
        done = run(command, files / first, *twice)
        assert done.exit_code == 2
        assert "--coco DIR, --data PATH" in done.stderr


@pytest.mark.slow
def test_it_trains_the_same_in_all_forms(files, tmp_path):
    weights = {}
    for form in FORMS:
        out = tmp_path / form
        options = ("--data", files / form, "--out", out, "--workers", 0)
        done = run(train, files / "recipe.yml", *options)
        assert done.exit_code == 0, done.output
        assert "its own 3 classes are trained" in done.stderr
        assert done.stderr.count("train: 6 images (1 without boxes)") == 1
        assert done.stderr.count("val: 4 images (1 without boxes)") == 1
        model, _ = load_with_meta(out / "last_ema.pth")
        assert model.config.classes == ("blue", "green", "red")
        weights[form] = model.state_dict()
    for form in FORMS:
        assert all(weights[form][name].equal(t) for name, t in weights["coco"].items())
    done = run(train, files / "recipe.yml", *options, "--resume")
    assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_without_a_split_to_evaluate_on(files, tmp_path):
    folder = write_form(tmp_path / "yolo", "yolo")
    write(folder / "data.yaml", "train: images/train\nnames: [blue, green, red]\n")
    options = ("--out", tmp_path / "out", "--workers", 0)
    done = run(train, files / "recipe.yml", "--data", folder, *options)
    assert done.exit_code == 0, done.output
    assert "has no split to evaluate on" in done.stderr
    assert read_split(folder, "val") is None


def test_problems_end_it_before_anything_is_written(files, tmp_path):
    folder = write_form(tmp_path / "voc", "voc")
    write(folder / "Annotations" / "train_0.xml", "<annotation>")
    out = tmp_path / "out"
    done = run(train, files / "recipe.yml", "--data", folder, "--out", out)
    assert done.exit_code == 1
    assert "1 problem: (1) Annotations/train_0.xml: not XML" in done.stderr
    assert not (out / "checkpoints").exists()
