"""Inputs that are rejected before anything runs, and what runs for each kind of input."""

import numpy as np
import own_recording
import pytest
from exporting import export_onnx

from picodet.alignment import open_candidate, session
from picodet.alignment.recording import probes
from picodet.alignment.recording.reader import Recording, is_recording
from picodet.alignment.session import InputOptions
from picodet.converter.configure import ConvertOptions
from picodet.converter.convert import convert_file
from picodet.errors import (
    AlignmentError,
    CheckpointError,
    ConversionError,
    OutputError,
    RecordingError,
)
from picodet.models import checkpoint

DEFAULT_INPUTS = InputOptions(None, None, False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model, a recording of it, and other files."""
    folder = tmp_path_factory.mktemp("session")
    model = own_recording.pristine()
    own_recording.save(model, folder / "model.pth")
    own_recording.save(model, folder / "model.safetensors")
    own_recording.save_backbone(model, folder / "backbone.pth")
    own_recording.record(model, folder / "recording.safetensors")
    export_onnx(model, folder / "model.onnx")
    (folder / "text.txt").write_text("text")
    (folder / "text.onnx").write_text("text")
    (folder / "text.pth").write_text("text")
    (folder / "empty").mkdir()
    np.save(folder / "input.npy", own_recording.random_image())
    np.save(folder / "small.npy", own_recording.random_image()[..., :32, :32])
    return folder


def compare(folder, reference, model="model.pth", inputs=DEFAULT_INPUTS, tolerance=None):
    path = folder / reference
    return session.compare(path, folder / model, inputs, tolerance, None, lambda *_: None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reference", "model", "kind", "message"),
    [
        ("absent", "model.pth", RecordingError, "no such file or folder; expected a recording"),
        ("absent.safetensors", "model.pth", RecordingError, "no such file or folder"),
        ("text.txt", "model.pth", RecordingError, "not a reference; expected a recording of"),
        ("text.pth", "model.pth", CheckpointError, "expected a .pth or a .safetensors"),
        ("text.onnx", "model.pth", CheckpointError, "not a readable ONNX file"),
        ("recording.safetensors", "absent.pth", CheckpointError, "there is no such file"),
        ("recording.safetensors", "text.pth", CheckpointError, "expected a .pth or a .safetensors"),
        ("recording.safetensors", "text.txt", CheckpointError, "not a .pdparams, but text"),
        ("recording.safetensors", "recording.safetensors", ConversionError, "not a PicoDet that"),
        ("recording.safetensors", "backbone.pth", ConversionError, "backbone only"),
        ("model.onnx", "absent.pth", CheckpointError, "there is no such file"),
    ],
)
def test_files_that_cannot_be_compared(folder, reference, model, kind, message):
    with pytest.raises(kind, match=message):
        compare(folder, reference, model)


@pytest.mark.parametrize("tolerance", [0, -1e-6, float("nan"), float("inf")])
def test_a_tolerance_is_a_positive_number(folder, tolerance):
    with pytest.raises(AlignmentError, match="expected a positive finite number"):
        compare(folder, "recording.safetensors", tolerance=tolerance)


def test_a_recording_has_its_own_input(folder):
    for inputs in (
        InputOptions(probes.IMAGE, None, False),
        InputOptions(None, folder / "input.npy", False),
    ):
        with pytest.raises(AlignmentError, match="a recording has its own input"):
            compare(folder, "recording.safetensors", inputs=inputs)


def test_a_recording_has_its_own_precision(folder):
    with pytest.raises(
        AlignmentError, match="recorded in float32; --float64 needs a recording made"
    ):
        compare(folder, "recording.safetensors", inputs=InputOptions(None, None, True))


def test_an_export_computes_in_float32(folder):
    with pytest.raises(RecordingError, match="with --float64 the reference has to be weights"):
        compare(folder, "model.onnx", inputs=InputOptions(None, None, True))


def test_exactly_one_existing_input_is_expected(folder):
    with pytest.raises(AlignmentError, match="give either --image or --input, not both"):
        compare(
            folder, "model.onnx", inputs=InputOptions(probes.IMAGE, folder / "input.npy", False)
        )
    with pytest.raises(AlignmentError, match=r"absent\.png: there is no such file"):
        compare(folder, "model.onnx", inputs=InputOptions(folder / "absent.png", None, False))
    with pytest.raises(RecordingError, match=r"exported for \[1, 3, 64, 64\]"):
        compare(folder, "model.onnx", inputs=InputOptions(None, folder / "small.npy", False))


@pytest.mark.slow
def test_the_input_has_the_models_size(folder):
    """The reference does not state it, and 416 would not fit."""
    assert compare(folder, "model.onnx").aligned


def record(folder, reference, out, overwrite=False, size=None, inputs=DEFAULT_INPUTS):
    return session.record(
        folder / reference, out, inputs, False, size, overwrite, None, lambda *_: None
    )


def test_recording_returns_a_summary(folder, tmp_path):
    out = tmp_path / "r.safetensors"
    report = record(folder, "model.onnx", out, size=(64, 64))
    assert report["kind"] == "onnx"
    assert report["precision"] == "float32"
    assert report["bytes"] == out.stat().st_size
    with Recording(out) as recording:
        assert report["calls"] == len(recording.index.operators) > 300
        assert report["tensors"] == len(recording.index.tensors)
        assert recording.tensor(recording.index.image).tobytes() == probes.IMAGE.read_bytes()


def test_recordings_are_not_recorded_again(folder, tmp_path):
    with pytest.raises(RecordingError, match="already a recording"):
        record(folder, "recording.safetensors", tmp_path / "r.safetensors")


def test_outputs_that_must_not_be_written(folder, tmp_path):
    with pytest.raises(RecordingError, match=r"a recording is a \.safetensors file"):
        record(folder, "model.onnx", tmp_path / "r.npz")
    with pytest.raises(OutputError, match="there is no folder"):
        record(folder, "model.onnx", tmp_path / "no" / "r.safetensors")
    out = tmp_path / "r.safetensors"
    out.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite replaces it"):
        record(folder, "model.onnx", out, size=(64, 64))
    assert out.read_text() == "mine"
    record(folder, "model.onnx", out, overwrite=True, size=(64, 64))
    assert out.stat().st_size > 1000


def test_a_failed_recording_leaves_nothing(folder, tmp_path):
    with pytest.raises(CheckpointError, match="not a readable ONNX"):
        record(folder, "text.onnx", tmp_path / "r.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_recognized_by_its_header(folder, tmp_path):
    assert is_recording(folder / "recording.safetensors")
    assert not is_recording(folder / "absent.safetensors")
    assert not is_recording(folder / "model.safetensors")
    assert not is_recording(folder / "model.onnx")
    (tmp_path / "text.safetensors").write_text("text")
    assert not is_recording(tmp_path / "text.safetensors")


@pytest.mark.slow
def test_the_same_model_in_both_formats(folder):
    for name in ("model.pth", "model.safetensors"):
        assert compare(folder, "recording.safetensors", name).aligned
    assert checkpoint.load(folder / "model.pth").config.input_size == (64, 64)


def test_float64_and_an_export_are_rejected_before_anything_runs(folder, monkeypatch):
    def record(*_):
        raise AssertionError("the reference was run")

    monkeypatch.setattr(session, "make_recording", record)
    with pytest.raises(
        AlignmentError, match=r"model\.onnx: an ONNX file computes in float32; with --f"
    ):
        compare(folder, "model.pth", "model.onnx", inputs=InputOptions(None, None, True))


@pytest.mark.slow
def test_a_model_is_opened_once(folder, monkeypatch):
    opened = []
    right = open_candidate.convert_model
    monkeypatch.setattr(
        open_candidate, "convert_model", lambda *args: opened.append(args) or right(*args)
    )
    assert compare(folder, "model.onnx").aligned
    assert len(opened) == 1


@pytest.fixture(scope="module")
def two_sets(folder, tmp_path_factory):
    """A folder as ppdet saves it: EMA weights with raw ones beside them, and no input size."""
    saved = tmp_path_factory.mktemp("two") / "last.pdparams"
    convert_file(folder / "model.pth", saved, ConvertOptions())
    model = own_recording.pristine()
    model.head.predictors[0].bias.data[0] += 1
    own_recording.save(model, saved.with_name("raw.pth"))
    convert_file(saved.with_name("raw.pth"), saved.with_name("raw.pdparams"), ConvertOptions())
    saved.with_name("raw.pdparams").rename(saved.with_suffix(".pdema"))
    return saved


@pytest.mark.slow
def test_assumptions_about_a_model_are_noted(folder, two_sets):
    comparison = compare(folder, "recording.safetensors", two_sets)
    assert comparison.aligned
    (summary,) = (stage.summary for stage in comparison.stages if stage.name == "preprocessing")
    assert "the EMA weights were used; the raw ones are in last.pdema" in summary
    assert "the input size 64x64 is the reference's: last.pdparams does not state one" in summary


@pytest.mark.slow
def test_the_set_of_weights_can_be_chosen(folder, two_sets):
    reference = folder / "recording.safetensors"
    arguments = reference, two_sets, DEFAULT_INPUTS, None, None, lambda *_: None
    weights, *_ = session.compare(*arguments, weight_set="raw").stages
    assert [finding.name for finding in weights.findings] == ["head.predictors.0.bias"]
    with pytest.raises(CheckpointError, match="--weight-set raw is for training checkpoints"):
        session.compare(
            *(reference, folder / "model.onnx", DEFAULT_INPUTS, None, None, lambda *_: None),
            weight_set="raw",
        )
