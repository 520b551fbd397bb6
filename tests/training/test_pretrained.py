from dataclasses import replace

import numpy as np
import pytest
import torch

from picodet.errors import TrainingError
from picodet.formats.meta import make_meta
from picodet.models.checkpoint import save
from picodet.models.picodet import PicoDet
from picodet.training.pretrained import init_model
from picodet.zoo.architectures import XS_LCNET, M, S

OLD = {
    "pico_head": replace(S, classes=("cat", "dog", "cow")),
    "pico_head_v2": replace(XS_LCNET, classes=("cat", "dog", "cow")),
}
NEW = ("zebra", "dog", "cat", "owl")
PREDICTOR = {"pico_head": "head.predictors.0.", "pico_head_v2": "head.predictors.classes0."}


@pytest.fixture(scope="module", params=OLD)
def trained(request, tmp_path_factory):
    """A detector of three classes in a file, and its weights."""
    config = OLD[request.param]
    torch.manual_seed(1)
    weights = {name: tensor.numpy() for name, tensor in PicoDet(config).state_dict().items()}
    path = tmp_path_factory.mktemp("trained") / "x.pth"
    save(path, weights, make_meta(config, "detector", "x", "0" * 64))
    return path, config, weights


def numpy_of(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def test_the_seed_decides_what_is_drawn():
    first, second, other = (numpy_of(init_model(S, seed).model) for seed in (7, 7, 8))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(
        first["backbone.stem.conv.weight"], other["backbone.stem.conv.weight"]
    )


def test_of_the_same_classes_everything_is_taken(trained):
    path, config, weights = trained
    initialized = init_model(config, 0, path)
    assert all(np.array_equal(x, weights[name]) for name, x in numpy_of(initialized.model).items())
    assert initialized.notes == (f"all weights from {path}",)


def test_classes_of_the_same_name_are_kept(trained):
    path, config, weights = trained
    initialized = init_model(replace(config, classes=NEW), 0, path)
    found = numpy_of(initialized.model)
    fresh = numpy_of(init_model(replace(config, classes=NEW), 0).model)
    for role in ("weight", "bias"):
        name = PREDICTOR[config.head] + role
        old, new = weights[name], found[name]
        assert np.array_equal(new[[2, 1]], old[[0, 1]])  # cat, dog
        assert np.array_equal(new[[0, 3]], fresh[name][[0, 3]])  # zebra, owl
        assert np.array_equal(new[4:], old[3:])  # sides, where one convolution says both
    assert initialized.notes[1] == "classes kept: dog, cat; re-initialized: zebra, owl"
    others = [name for name in found if not name.startswith(PREDICTOR[config.head][:-2])]
    assert all(np.array_equal(found[name], weights[name]) for name in others)


def test_renewed_as_ppdet_does(trained):
    path, config, weights = trained
    found = numpy_of(init_model(replace(config, classes=NEW), 0, path, "reset").model)
    fresh = numpy_of(init_model(replace(config, classes=NEW), 0).model)
    for name, array in found.items():
        expected = weights if weights[name].shape == array.shape else fresh
        assert np.array_equal(array, expected[name]), name
    assert (found[PREDICTOR[config.head] + "bias"] == np.float32(-np.log(99))).all()


def test_a_backbone_goes_into_its_place(tmp_path):
    torch.manual_seed(1)
    weights = {k: v.numpy() for k, v in PicoDet(S).backbone.state_dict().items()}
    path = tmp_path / "backbone.pth"
    save(path, weights, make_meta(S, "backbone", "x", "0" * 64))
    initialized = init_model(S, 0, path)
    found = {k: v.numpy() for k, v in initialized.model.backbone.state_dict().items()}
    assert all(np.array_equal(found[name], weights[name]) for name in weights)
    assert initialized.notes == (
        f"backbone from {path}; neck and head are initialized as in ppdet",
    )


@pytest.mark.slow
def test_another_network_is_refused(tmp_path):
    weights = {name: tensor.numpy() for name, tensor in PicoDet(M).state_dict().items()}
    path = tmp_path / "m.pth"
    save(path, weights, make_meta(M, "detector", "x", "0" * 64))
    with pytest.raises(TrainingError, match=r"m\.pth: not the network of the recipe: backbone is"):
        init_model(S, 0, path)
    with pytest.raises(TrainingError, match="head_convs is 4; expected 2"):
        init_model(replace(M, head_convs=2), 0, path)
