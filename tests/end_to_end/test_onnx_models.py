"""`picodet-detect` with an ONNX as MODEL."""

import json

import color_network
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from drawn_coco import write_dataset

from picodet.cli import detect
from picodet.data.preprocess import read_image
from picodet.inference.open_backend import RuntimeOptions, open_backend
from picodet.inference.predict import detect_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of networks, and an image."""
    folder = tmp_path_factory.mktemp("onnx")
    write_dataset(folder / "coco", 1)
    (folder / "coco" / "val2017" / "0.png").rename(folder / "0.png")
    for form in ("heads", "boxes"):
        color_network.write_color_network(folder / f"{form}.onnx", color_network.meta(), form)
    color_network.write_color_network(folder / "silent.onnx")
    color_network.write_color_network(folder / "any.onnx", input_side=None)
    (folder / "broken.onnx").write_bytes((folder / "heads.onnx").read_bytes()[:-100])
    return folder


def run(folder, model, *options):
    arguments = [folder / model, folder / "0.png", "--out", folder / "drawn", *options]
    return CliRunner().invoke(detect, [str(argument) for argument in arguments])


@pytest.mark.parametrize("form", ["heads", "boxes"])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_objects_are_found_and_named(folder, form, backend):
    options = ["--backend", backend, "--score-thr", 0.5, "--json", folder / "found.json"]
    done = run(folder, f"{form}.onnx", *options)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert (folder / "drawn" / "0.png").is_file()
    (found,) = json.loads((folder / "found.json").read_text())
    network = open_backend(folder / f"{form}.onnx", RuntimeOptions())
    expected = detect_image(network, read_image(folder / "0.png"), score_thr=0.5)
    assert len(expected) > 0
    assert found["names"] == [network.spec.class_name(c) for c in expected.classes]
    assert set(found["names"]) <= set(color_network.CLASSES)
    assert np.allclose(found["boxes"], expected.boxes, atol=1e-3)
    assert np.allclose(found["scores"], expected.scores, atol=1e-5)


def test_what_is_assumed_is_reported(folder):
    done = run(folder, "silent.onnx", "--json", folder / "found.json", "--score-thr", 0.5)
    assert done.exit_code == 0
    assert "Note: its classes have no names" in done.stderr
    assert "Note: mean, std and interp are ppdet's defaults" in done.stderr
    (found,) = json.loads((folder / "found.json").read_text())
    assert set(found["names"]) <= {"class 0", "class 1", "class 2"}


def test_names_of_classes_may_be_listed_as_others_do(folder):
    proto = onnx.load(folder / "silent.onnx")
    onnx.helper.set_model_props(proto, {"character": "rot\ngruen\nblau\n"})
    onnx.save(proto, folder / "listed.onnx")
    done = run(folder, "listed.onnx", "--json", folder / "found.json", "--score-thr", 0.5)
    assert done.exit_code == 0
    assert "no names" not in done.stderr
    (found,) = json.loads((folder / "found.json").read_text())
    assert found["names"]
    assert set(found["names"]) <= {"rot", "gruen", "blau"}


def test_an_official_name_without_published_weights(folder, monkeypatch):
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(detect, ["picodet_s_320_voc", "0.png"])
    assert done.exit_code == 1
    assert "publishes no weights of this config" in done.output


def test_a_file_that_takes_any_size_wants_one(folder):
    done = run(folder, "any.onnx")
    assert done.exit_code == 1
    assert "any.onnx: takes images of any size; give one with --input-size" in done.output
    assert run(folder, "any.onnx", "--input-size", "128x64").exit_code == 0


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_broken_file_is_named(folder, backend):
    done = run(folder, "broken.onnx", "--backend", backend)
    assert done.exit_code == 1
    assert "broken.onnx: " in done.output
    assert "Traceback" not in done.output


def test_interp_is_the_models_own_or_what_is_asked_for(folder):
    meta = color_network.meta()
    meta["preprocessing"] = meta["preprocessing"] | {"interp": 1}
    color_network.write_color_network(folder / "linear.onnx", meta)

    def scores(model, *options):
        run(folder, model, "--json", folder / "found.json", "--score-thr", 0.1, *options)
        return json.loads((folder / "found.json").read_text())[0]["scores"]

    assert scores("linear.onnx") == scores("heads.onnx", "--interp", 1) != scores("heads.onnx")
