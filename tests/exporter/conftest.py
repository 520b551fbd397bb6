"""A small seeded model, in memory and as a file."""

import copy
from dataclasses import replace

import pytest
from tracing import SMALL, filled_model, seeded_checkpoint

from picodet.formats.meta import make_meta
from picodet.models import checkpoint

CONFIG = replace(SMALL, input_size=(96, 64))


@pytest.fixture(scope="session")
def seeded_model():
    """Shared by all tests; those that change it use `model`."""
    return filled_model(CONFIG, seeded_checkpoint(CONFIG))


@pytest.fixture
def model(seeded_model):
    return copy.deepcopy(seeded_model)


@pytest.fixture(scope="session")
def meta():
    return make_meta(CONFIG, "detector", "seeded.pdparams", "ab" * 32)


@pytest.fixture(scope="session")
def checkpoint_file(seeded_model, meta, tmp_path_factory):
    """The model as a file of picodet-convert."""
    path = tmp_path_factory.mktemp("model") / "small.pth"
    weights = {name: tensor.numpy() for name, tensor in seeded_model.state_dict().items()}
    checkpoint.save(path, weights, meta)
    return path


@pytest.fixture(autouse=True)
def small(one_thread):
    """One thread: on a busy machine threads would wait for each other."""
