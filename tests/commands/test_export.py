"""picodet-export as a user runs it: what it prints and writes, and its exit code."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from tracing import SMALL, filled_model, seeded_checkpoint

from picodet.commands.export import export
from picodet.exporter import graph, ort
from picodet.files import sha256
from picodet.formats import pdparams_writer
from picodet.formats.meta import make_meta
from picodet.inference.onnxruntime_backend import OnnxRuntimeBackend
from picodet.models import checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A seeded model as a file, and one with a NaN."""
    folder = tmp_path_factory.mktemp("export")
    model = filled_model(SMALL, seeded_checkpoint(SMALL))
    meta = make_meta(SMALL, "detector", "seeded.pdparams", "ab" * 32)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    checkpoint.save(folder / "model.safetensors", weights, meta)
    broken = weights["neck.conv_t.convs.1.bn.bias"].copy()
    broken[0] = np.nan
    checkpoint.save(folder / "nan.pth", {**weights, "neck.conv_t.convs.1.bn.bias": broken}, meta)
    return folder


@pytest.fixture
def run(folder, tmp_path, monkeypatch, one_thread):
    def run(*arguments):
        result = CliRunner().invoke(export, [str(argument) for argument in arguments])
        assert "Traceback" not in result.output
        return result

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return run


def written(folder):
    return sorted(path.name for path in folder.iterdir() if not path.is_symlink())


@pytest.mark.slow
def test_the_resize_kernels_are_stored_in_the_file(run, tmp_path):
    found = []
    for wishes in ([], ["--resize", "portable"]):
        options = ("--level", "heads", "--no-verify", "--overwrite", *wishes)
        result = run("model.safetensors", "out.onnx", *options)
        assert result.exit_code == 0, result.output
        found.append(OnnxRuntimeBackend(tmp_path / "out.onnx").spec.preprocessing.resize)
    assert found == ["native", "portable"]


@pytest.mark.slow
def test_writes_a_verified_file_and_prints_its_report(run, tmp_path):
    result = run("model.safetensors", "out.onnx", "--level", "heads", "--json", "report.json")
    assert result.exit_code == 0, result.output
    assert written(tmp_path) == ["out.onnx", "report.json"]
    for line in (
        "level      heads, opset 14",
        "input      image [1, 3, 128, 128]",
        "output     reg_64 [1, 4, 32]",
        "VERIFIED: 2 runs beside torch",
    ):
        assert line in result.output
    onnx.checker.check_model("out.onnx", full_check=True)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["bytes"] == (tmp_path / "out.onnx").stat().st_size
    assert report["outputs"]["scores_8"] == [1, 256, 3]
    assert report["verification"]["ok"] is True
    found = report["verification"]["outputs"]["scores_8"]
    assert 0 < found["error"] <= found["allowed"]
    assert {"torch", "onnx", "onnxruntime"} <= report["versions"].keys()


@pytest.mark.slow
def test_detections_are_the_default_as_in_ppdets_own_export(run):
    result = run("model.safetensors", "out.onnx")
    assert result.exit_code == 0, result.output
    assert "scale_factor [1, 2]" in result.output
    assert "of torch's" in result.output


@pytest.mark.slow
def test_a_checkpoint_of_ppdet_is_converted_first(run, folder, tmp_path):
    source = tmp_path / "theirs.pdparams"
    pdparams_writer.write(source, seeded_checkpoint(SMALL))
    wishes = ("--level", "heads", "--input-size", "64", "--json", "report.json")
    result = run("theirs.pdparams", "out.onnx", *wishes)
    assert result.exit_code == 0, result.output
    assert "the classes are numbered" in result.output
    (note,) = json.loads((tmp_path / "report.json").read_text())["notes"]
    assert "--classes FILE" in note
    entries = {entry.key: entry.value for entry in onnx.load("out.onnx").metadata_props}
    meta = json.loads(entries["picodet"])
    assert (meta["source"], meta["sha256"]) == ("theirs.pdparams", sha256(source))
    assert meta["input_size"] == [64, 64]


@pytest.mark.slow
def test_newest_and_dynamic_instead_of_numbers(run, tmp_path):
    wishes = ("--opset", "newest", "--batch", "dynamic", "--input-size", "dynamic")
    result = run("model.safetensors", "out.onnx", "--level", "heads", *wishes)
    assert result.exit_code == 0, result.output
    assert f"opset {ort.newest_opset()}" in result.output
    assert "image [batch, 3, height, width]" in result.output


@pytest.mark.slow
def test_a_file_that_differs_from_the_model_is_not_written(run, tmp_path, monkeypatch):
    right = graph.fold_batch_norm
    monkeypatch.setattr(
        graph, "fold_batch_norm", lambda weight, norm, epsilon: right(weight, norm, 1e-3)
    )
    (tmp_path / "out.onnx").write_text("what was there")
    wishes = ("--level", "heads", "--overwrite", "--json", "report.json")
    result = run("model.safetensors", "out.onnx", *wishes)
    assert result.exit_code == 1
    assert "the export differs from the model" in result.output
    assert (tmp_path / "out.onnx").read_text() == "what was there"
    assert written(tmp_path) == ["out.onnx", "report.json"]
    report = json.loads((tmp_path / "report.json").read_text())
    worst = [name for name in report["verification"]["outputs"] if f" {name} " in report["error"]]
    assert worst
    assert report["verification"]["ok"] is False


def test_no_verify_is_reported(run, tmp_path):
    result = run("model.safetensors", "out.onnx", "--no-verify", "--json", "report.json")
    assert result.exit_code == 0, result.output
    assert "NOT VERIFIED, as asked for" in result.output
    assert json.loads((tmp_path / "report.json").read_text())["verification"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("model.safetensors", "out.pb"), "suffix must be .onnx"),
        (("model.safetensors", "no/out.onnx"), "there is no folder"),
        (("model.safetensors", "out.onnx", "--opset", "10"), "11 or newer is expected"),
        (("model.safetensors", "out.onnx", "--opset", "99"), "pip install --upgrade"),
        (("model.safetensors", "out.onnx", "--batch", "0"), "1 to 256 is expected, or dynamic"),
        (("model.safetensors", "out.onnx", "--batch", "100000"), "1 to 256 is expected, or"),
        (("model.safetensors", "out.onnx", "--input-size", "100"), "multiples of 32"),
        (
            ("model.safetensors", "out.onnx", "--level", "boxes", "--single-input"),
            "has a single input anyway",
        ),
        (("model.safetensors", "out.onnx", "--image", "no.jpg"), "no.jpg: cannot be read"),
        (("nan.pth", "out.onnx"), "neck.conv_t.convs.1.bn.bias has NaN"),
        (("no.pth", "out.onnx"), "there is no such file"),
        (("picodet_s_320_voc", "out.onnx"), "publishes no weights of this config"),
        (("out.onnx", "out.onnx"), "also an input"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_written(
    run, tmp_path, arguments, expected
):
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert expected in " ".join(result.output.split())
    assert written(tmp_path) == []


@pytest.mark.slow
def test_an_existing_file_is_replaced_only_with_overwrite(run, tmp_path):
    (tmp_path / "out.onnx").write_text("what was there")
    result = run("model.safetensors", "out.onnx")
    assert result.exit_code == 1
    assert "--overwrite replaces it" in result.output
    assert run("model.safetensors", "out.onnx", "--overwrite").exit_code == 0
    onnx.checker.check_model("out.onnx")


@pytest.mark.parametrize("wish", [("--opset", "new"), ("--batch", "-1"), ("--input-size", "4x")])
def test_a_malformed_number_is_wrong_usage(run, wish):
    assert run("model.safetensors", "out.onnx", *wish).exit_code == 2
