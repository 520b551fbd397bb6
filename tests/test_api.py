"""The public functions give what the commands write, and print nothing."""

import inspect
import json
import subprocess
import sys

import numpy as np
import own_recording
import pytest
import skimage
import torch
from click.testing import CliRunner
from drawn_coco import annotation_file
from eval_runs import prepare

import picodet
from picodet.cli import main
from picodet.errors import PicoDetError
from picodet.training.callbacks import TrainCallbacks

FUNCTIONS = ("align", "convert", "detect", "evaluate", "export", "load", "train")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights of a small model, an ONNX that detects colors, and a dataset of three colors."""
    folder = prepare(tmp_path_factory.mktemp("api"))
    own_recording.save(own_recording.pristine(), folder / "model.pth")
    return folder


def test_the_names():
    assert sorted(picodet.__all__) == sorted(
        [*FUNCTIONS, "Detections", "LayoutOptions", "__version__"]
    )
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = picodet.other


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_is_typed_and_documented(name):
    function = getattr(picodet, name)
    signature = inspect.signature(function)
    assert all(p.annotation is not p.empty for p in signature.parameters.values())
    assert signature.return_annotation is not signature.empty
    assert "Raises" in inspect.getdoc(function)


def test_importing_needs_nothing_heavy():
    code = "import picodet, sys; assert not {'torch', 'numpy', 'cv2', 'click'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_convert_and_load(files, capsys):
    report = picodet.convert(files / "model.pth", files / "back.pdparams")
    again = picodet.convert(files / "back.pdparams", files / "again.pth", input_size=(64, 96))
    assert report.kind == again.kind == "detector"
    model = picodet.load(files / "again.pth")
    expected = picodet.load(files / "model.pth").state_dict()
    assert all(np.array_equal(expected[name], value) for name, value in model.state_dict().items())
    with pytest.raises(PicoDetError, match=r"again\.pth exists"):
        picodet.convert(files / "back.pdparams", files / "again.pth")
    assert capsys.readouterr() == ("", "")


def test_export_is_verified_and_stays_a_function(files, capsys):
    for name in ("one.onnx", "two.onnx"):
        report = picodet.export(files / "model.pth", files / name, level="heads")
        assert report.verification.ok
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_align(files):
    picodet.export(files / "model.pth", files / "heads.onnx", level="heads", overwrite=True)
    result = picodet.align(files / "heads.onnx", files / "model.pth")
    assert result.aligned
    assert [stage.name for stage in result.stages][:3] == ["weights", "preprocessing", "layers"]


def test_evaluate_gives_the_commands_numbers(files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    before = sorted(files.iterdir())
    annotations = annotation_file(files / "coco")
    report = picodet.evaluate("x.onnx", "coco/val2017", annotations, threads=1)
    assert sorted(files.iterdir()) == before
    picodet.evaluate("x.onnx", "coco/val2017", annotations, out="api.json")
    assert capsys.readouterr() == ("", "")
    outputs = ["--json", "x.json", "--out", "command.json"]
    done = CliRunner().invoke(main, ["eval", "x.onnx", "--coco", "coco", *outputs])
    assert done.exit_code == 0, done.output
    assert list(report.stats) == json.loads((files / "x.json").read_text())["stats"]
    assert (files / "api.json").read_bytes() == (files / "command.json").read_bytes()


def test_evaluate_restores_torchs_threads(files):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        annotations = annotation_file(files / "coco")
        picodet.evaluate(
            files / "model.pth", files / "coco/val2017", annotations, match_classes="order"
        )
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_train(files, tmp_path):
    recipe = tmp_path / "short.yml"
    recipe.write_text(
        "recipe: picodet_s_320_coco\ninput_size: 64\nepochs: 1\nschedule: {warmup_steps: 1}\n"
        "augmentation: {sizes: [64]}\nsnapshot_epochs: 1\n"
    )
    steps, notes = [], []
    result = picodet.train(
        recipe,
        files / "coco/val2017",
        annotation_file(files / "coco"),
        classes=("red", "green", "blue"),
        batch=4,
        workers=0,
        out=tmp_path / "out",
        callbacks=TrainCallbacks(note=notes.append, step=steps.append),
    )
    assert result.epochs == 1
    assert [log.progress.step for log in steps] == list(range(1, result.iterations + 1))
    assert any("steps per epoch" in note for note in notes)
    assert {path.name for path in result.files} >= {"last_ema.pth", "last_raw.pth"}
    assert picodet.load(tmp_path / "out/last_ema.pth").config.classes == ("red", "green", "blue")


def test_detect(files):
    model = picodet.load(files / "model.pth")
    image = skimage.data.chelsea()[..., ::-1]
    found = picodet.detect(model, image, score_thr=0.0)
    assert found.boxes.shape == (len(found.scores), 4)
