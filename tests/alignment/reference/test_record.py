"""Weights are converted to a .pdparams for ppdet; test_paddle.py tests running it."""

from dataclasses import replace

import numpy as np
import own_recording
import paddle_files
import pytest
import torch
from tracing import filled_model, seeded_checkpoint

from picodet.alignment.recording.index import PreprocessingSettings
from picodet.alignment.reference import record as reference
from picodet.alignment.session import InputOptions
from picodet.errors import Note
from picodet.formats import pdparams

CONFIG = replace(
    own_recording.CONFIG,
    preprocessing=replace(own_recording.CONFIG.preprocessing, interp=1),
)


@pytest.fixture
def orders(monkeypatch):
    """The requests to Paddle's process, with the arrays of their reference."""
    orders = []

    def keep(request, python, progress):
        arrays = pdparams.read(request.reference) if request.reference.is_file() else {}
        orders.append((request, arrays))

    monkeypatch.setattr(reference, "record_in_paddle", keep)
    return orders


def record(path, size=None, float64=False):
    request = InputOptions(None, None, float64).request(
        path, path.with_name("out.safetensors"), size, 0
    )
    reference.record(request, None, lambda *_: None)
    return request


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
@pytest.mark.parametrize("float64", [False, True])
def test_a_file_of_picodet_becomes_a_checkpoint_with_its_settings(
    orders, tmp_path, suffix, float64
):
    model = filled_model(CONFIG, seeded_checkpoint(CONFIG))
    path = own_recording.save(model, tmp_path / f"model{suffix}")
    asked = record(path, (416, 416), float64)
    ((request, arrays),) = orders
    assert request.reference.name == f"model{suffix}.pdparams"
    assert not request.reference.exists()  # any more
    mean, std = CONFIG.preprocessing.mean, CONFIG.preprocessing.std
    assert request.settings == PreprocessingSettings((64, 64), 1, mean, std)
    assert request.classes == CONFIG.classes
    assert replace(request, reference=path, settings=None, classes=None) == asked
    assert set(arrays) == set(seeded_checkpoint(CONFIG))
    stem = model.backbone.stem.conv.weight.detach().numpy()
    assert np.array_equal(arrays["backbone._conv1._conv.weight"], stem)


def test_weights_without_a_size_take_the_models(pristine, orders, tmp_path):
    torch.save(pristine.state_dict(), tmp_path / "weights.pth")
    record(tmp_path / "weights.pth", (96, 96))
    ((request, _),) = orders
    assert request.settings.size == (96, 96)


@pytest.mark.parametrize("name", ["x.pdparams", "x.pdema", "training"])
def test_checkpoints_of_ppdet_are_not_converted(orders, tmp_path, name):
    (tmp_path / "training").mkdir()
    for file in ("x.pdparams", "x.pdema", "training/model_final.pdparams"):
        (tmp_path / file).write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pdparams, "read", lambda path: {})
        asked = record(tmp_path / name, (320, 320))
    assert [request for request, _ in orders] == [asked]


@pytest.fixture
def folder(tmp_path):
    """An inference folder whose program takes images of 8 x 8."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "inference.json").write_bytes(paddle_files.small_pir())
    (folder / "inference.pdiparams").write_bytes(paddle_files.pdiparams(paddle_files.WEIGHTS))
    return folder


def test_a_folder_without_settings_has_its_programs_size(orders, folder):
    record(folder)
    ((request, _),) = orders
    assert (request.input_size, request.settings, request.classes) == ((8, 8), None, None)


def test_settings_that_contradict_the_program_are_noted(orders, folder):
    (folder / "inference.yml").write_text(paddle_files.SETTINGS)
    with pytest.warns(Note, match=r"folder: inference\.yml states an input of 320x416, .+ 8x8"):
        record(folder)
    ((request, _),) = orders
    expected = PreprocessingSettings((8, 8), 1, (0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
    assert (request.settings, request.classes) == (expected, ("cat", "dog"))
