"""A small model, and recordings made before a test changes it."""

import copy

import own_recording
import pytest
import torch


@pytest.fixture(scope="session")
def pristine():
    """The model that all tests share; tests that change a model take `model`."""
    return own_recording.pristine()


@pytest.fixture
def model(pristine):
    return copy.deepcopy(pristine)


@pytest.fixture(scope="session")
def reference(pristine, tmp_path_factory):
    """A full recording in float32."""
    return own_recording.record(pristine, tmp_path_factory.mktemp("own") / "full.safetensors")


@pytest.fixture(scope="session")
def summary(pristine, tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "summary.safetensors"
    return own_recording.record(pristine, path, samples=16)


@pytest.fixture(params=[1, 2])
def threads(request):
    """Sets torch's number of threads, 1 and 2, for tests of the order of additions."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
