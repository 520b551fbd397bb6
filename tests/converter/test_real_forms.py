"""Real exports, of Paddle and of paddle2onnx, hold the weights they were made of: bit for bit."""

import shutil
from functools import cache

import numpy as np
import pytest

from picodet.config import Preprocessing
from picodet.converter.configure import ConvertOptions
from picodet.converter.convert import convert_file, convert_model
from picodet.errors import CheckpointError, GraphError
from picodet.zoo.official import CONFIGS

S, XS = "picodet_s_416_coco", "picodet_xs_320_coco_lcnet"
PEDESTRIAN = "picodet_s_192_pedestrian"


@cache
def weights_of(path):
    return convert_model(path, ConvertOptions())[1].weights


def differing(found, path):
    expected = weights_of(path)
    assert list(found) == list(expected)
    return [name for name in found if found[name].tobytes() != expected[name].tobytes()]


@pytest.mark.slow
@pytest.mark.parametrize("name", [S, XS])
@pytest.mark.parametrize(
    ("export", "form", "skipped"),
    [
        ("export_raw_pdmodel/{}", "Paddle inference folder (.pdmodel)", 0),
        ("export_nms/{}", "Paddle inference folder (.json)", 2),
        ("export_raw.onnx", "ONNX", 0),
        ("export_nms.onnx", "ONNX", 2),
    ],
)
def test_exports_are_the_checkpoint_that_they_were_made_of(shared, name, export, form, skipped):
    folder = shared / "reference" / name
    origin, found = convert_model(folder / export.format(name), ConvertOptions(config=name))
    assert origin.form == form
    assert found.config == CONFIGS[name]
    assert not differing(found.weights, folder / f"{name}.pdparams")
    assert len(found.skipped) == skipped
    assert found.mapped == found.tensors - skipped


def test_an_official_folder_is_its_checkpoint_and_lists_the_wrong_labels(shared):
    origin, found = convert_model(shared / "weights" / PEDESTRIAN, ConvertOptions())
    assert origin.path.name == "model.pdiparams"
    assert found.config == CONFIGS[PEDESTRIAN]
    assert not differing(found.weights, shared / "weights" / f"{PEDESTRIAN}.pdparams")
    assert found.notes == (
        "picodet_s_192_pedestrian lists 80 classes, its tensors have 1: the list was ignored",
    )


def test_a_folder_with_paddlex_settings(shared, tmp_path):
    folder = tmp_path / "PicoDet-S_infer"
    shutil.copytree(shared / "weights" / PEDESTRIAN, folder)
    (folder / "infer_cfg.yml").unlink()
    settings = shared / "cases" / "folder_settings" / "paddlex_pedestrian.inference.yml"
    shutil.copyfile(settings, folder / "inference.yml")
    _, found = convert_model(folder, ConvertOptions())
    assert (found.config.input_size, found.config.classes) == ((192, 192), ("pedestrian",))
    (note,) = found.notes
    assert note.startswith(
        "its settings name PicoDet-S, but its tensors are those of picodet_s with"
    )


def test_pp_doclayout_s(shared):
    """PaddleX's published program and settings: 480 x 480 and 23 names, without an option."""
    _, found = convert_model(shared / "cases" / "pp_doclayout_s", ConvertOptions())
    assert (found.config.name, found.config.input_size) == ("PP-DocLayout-S", (480, 480))
    assert (len(found.config.classes), found.config.classes[0]) == (23, "paragraph_title")
    assert found.config.preprocessing == Preprocessing()
    # all its constants are seeded, these too
    (note,) = found.notes
    assert "eager_tmp_0_deepcopy_280, eager_tmp_1_deepcopy_281: not the anchor points and" in note


def test_without_the_names_beside_it_too(shared, tmp_path):
    """A .pdiparams.info is of use where it is there, and nothing depends on it."""
    folder = tmp_path / PEDESTRIAN
    shutil.copytree(shared / "weights" / PEDESTRIAN, folder)
    (folder / "model.pdiparams.info").unlink()
    _, found = convert_model(folder, ConvertOptions())
    assert not differing(found.weights, shared / "weights" / f"{PEDESTRIAN}.pdparams")
    (folder / "model.pdiparams").write_bytes((folder / "model.pdiparams").read_bytes()[:-1000])
    with pytest.raises((CheckpointError, GraphError)):
        convert_file(folder, tmp_path / "out.pth", ConvertOptions())
    assert [path.name for path in tmp_path.iterdir()] == [PEDESTRIAN]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norms"), [(S, 103), (XS, 82)])
def test_official_onnx_files_are_their_checkpoints_with_norms_folded(shared, name, norms):
    """The published checkpoints were folded before they were saved."""
    _, found = convert_model(shared / "weights" / f"{name}.onnx", ConvertOptions())
    assert found.config == CONFIGS[name]
    assert not differing(found.weights, shared / "weights" / f"{name}.pdparams")
    assert found.notes[-1].startswith(f"{norms} batch norms were folded")
    assert {one.name for one in found.initialized if "num_batches" not in one.name} == {
        "head.integral.project"
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", [S, XS, PEDESTRIAN])
def test_official_checkpoints_go_there_and_back(shared, tmp_path, name):
    """Through a file of each kind, and as mmdet has them where it can."""
    source = shared / "weights" / f"{name}.pdparams"
    steps = [tmp_path / name, tmp_path / f"{name}.safetensors", tmp_path / f"{name}.pdparams"]
    if name != XS:
        convert_file(source, tmp_path / f"{name}.pth", ConvertOptions(), output_format="mmdet")
        source = tmp_path / f"{name}.pth"
    for step in steps:
        convert_file(source, step, ConvertOptions())
        source = step
    _, found = convert_model(source, ConvertOptions())
    assert not differing(found.weights, shared / "weights" / f"{name}.pdparams")
    assert found.config == CONFIGS[name]


def test_the_bins_of_an_average_are_kept(shared):
    """ppdet averages constants too; what it computed with is what arrives."""
    found = weights_of(shared / "weights" / f"{S}.pdparams")["head.integral.project"]
    assert np.abs(found - np.arange(8)).max() < 0.001
