"""Every file that the converter reads runs in torch, with the outputs of picodet's own file."""

import numpy as np
import pytest
import torch
from fake_paddle_folders import heads, make_folder
from tracing import SMALL, filled_model, seeded_checkpoint

from picodet.converter.configure import ConvertOptions
from picodet.converter.convert import convert_file
from picodet.errors import CheckpointError, PicoDetError
from picodet.formats import pdparams_writer
from picodet.formats.meta import make_meta
from picodet.inference.backend import ModelInputs
from picodet.inference.open_backend import CONVERTED_NOTE, RuntimeOptions, open_backend
from picodet.models import checkpoint

SIZE = SMALL.input_size


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A seeded model in all formats that picodet writes."""
    folder = tmp_path_factory.mktemp("forms")
    model = filled_model(SMALL, seeded_checkpoint(SMALL))
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    checkpoint.save(folder / "own.pth", weights, make_meta(SMALL, "detector", "x", "0" * 64))
    (folder / "training").mkdir()
    for output in ("hub", "ppdet.pdparams", "training/model_final.pdparams"):
        convert_file(folder / "own.pth", folder / output, ConvertOptions())
    convert_file(folder / "own.pth", folder / "mmdet.pth", ConvertOptions(), output_format="mmdet")
    torch.save(model.state_dict(), folder / "bare.pth")
    return folder


def found(path, **more):
    network = open_backend(path, RuntimeOptions(**more))
    images = np.random.default_rng(0).normal(size=(1, 3, *SIZE)).astype(np.float32)
    (candidates,) = network(ModelInputs(images, np.ones((1, 2), np.float32)))
    return network, candidates


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "numbered"),
    [
        ("hub", False),
        ("ppdet.pdparams", True),
        ("training", True),
        ("mmdet.pth", False),
        ("bare.pth", True),
    ],
)
def test_every_format_has_the_same_outputs(folder, form, numbered):
    _, expected = found(folder / "own.pth", size=SIZE)
    network, candidates = found(folder / form, size=SIZE)
    assert network.runtime == "torch"
    assert network.spec.input_size == SIZE
    assert np.array_equal(candidates.scores, expected.scores)
    assert np.array_equal(candidates.boxes, expected.boxes)
    assert any("classes are numbered" in note for note in network.spec.notes) == numbered


@pytest.mark.slow
def test_assumptions_are_reported_unless_given_as_options(folder):
    def assumed(**more):
        notes = open_backend(folder / "ppdet.pdparams", RuntimeOptions(**more)).spec.notes
        return [note for note in notes if "input size 416 is assumed" in note]

    assert len(assumed()) == 1
    assert assumed(size=SIZE) == []


def test_an_incomplete_checkpoint_is_an_error_that_names_missing_tensors(folder, tmp_path):
    state_dict = torch.load(folder / "bare.pth", weights_only=True)
    for name in ("head.predictors.1.bias", "head.predictors.2.bias"):
        del state_dict[name]
    torch.save(state_dict, tmp_path / "less.pth")
    with pytest.raises(CheckpointError, match=r"missing head\.predictors\.\d\.bias, and 1 more"):
        open_backend(tmp_path / "less.pth", RuntimeOptions())


@pytest.mark.parametrize("suffix", [".pth", ".pdparams"])
def test_a_backbone_is_not_a_detector(folder, tmp_path, suffix):
    arrays = {k: v for k, v in seeded_checkpoint(SMALL).items() if k.startswith("backbone.")}
    if suffix == ".pth":
        meta = make_meta(SMALL, "backbone", "x", "0" * 64)
        weights = {"backbone.stem.conv.weight": arrays["backbone._conv1._conv.weight"]}
        checkpoint.save(tmp_path / "x.pth", weights, meta)
    else:
        pdparams_writer.write(tmp_path / "x.pdparams", arrays)
    with pytest.raises(
        CheckpointError, match=r"holds (a|only a) backbone.*expected (is )?a detector"
    ):
        open_backend(tmp_path / f"x{suffix}", RuntimeOptions())


@pytest.mark.slow
def test_without_paddle_a_folder_is_converted_with_a_note(shared):
    folder = shared / "weights" / "picodet_s_192_pedestrian"
    network = open_backend(folder, RuntimeOptions())
    assert network.runtime == "torch"
    assert network.spec.notes[0] == CONVERTED_NOTE
    assert network.spec.input_size == (192, 192)
    again = open_backend(folder / "model.pdmodel", RuntimeOptions())  # one file stands for both
    assert again.spec == network.spec


def test_a_folder_that_cannot_be_converted_needs_paddle(tmp_path):
    fake_folder = make_folder(tmp_path / "folder", heads())
    with pytest.raises(PicoDetError, match=r"It can run in Paddle only: .* needs paddle, which"):
        open_backend(fake_folder, RuntimeOptions())


def test_a_folder_computes_in_float32(tmp_path):
    with pytest.raises(PicoDetError, match="convert it first"):
        open_backend(make_folder(tmp_path / "folder", heads()), RuntimeOptions(float64=True))
