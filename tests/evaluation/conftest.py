"""Small networks, synthetic images, and what the former detect in the latter."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_coco import annotation_file, write_dataset
from evaluating import NUM_IMAGES, detect
from tracing import SMALL, filled_model, seeded_checkpoint

from picodet.evaluation.evaluator import EvalRequest
from picodet.formats.meta import make_meta
from picodet.inference.open_backend import RuntimeOptions
from picodet.models.checkpoint import save


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Files of networks."""
    import color_network  # needs onnx

    folder = tmp_path_factory.mktemp("models")
    for form in ("heads", "boxes"):
        color_network.write_color_network(folder / f"{form}.onnx", color_network.meta(), form)
    rows = np.array([[0, 0.9, 1, 2, 30, 40], [2, 0.1, 5, 5, 50, 50]], np.float32)
    color_network.write_constants(
        folder / "detections.onnx",
        {"image": [1, 3, 64, 64], "scale_factor": [1, 2]},
        {"rows": rows, "numbers": np.array([2], np.int32)},
        color_network.meta(),
    )
    config = replace(SMALL, classes=color_network.CLASSES)
    model = filled_model(config, seeded_checkpoint(config))
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    save(folder / "torch.pth", weights, make_meta(config, "detector", "x", "0" * 64))
    return folder


@pytest.fixture(scope="session")
def shared_dataset(tmp_path_factory):
    """A dataset that no test changes."""
    return write_dataset(tmp_path_factory.mktemp("drawn"), NUM_IMAGES)


@pytest.fixture
def own_dataset(tmp_path):
    """A dataset to be changed."""
    return write_dataset(tmp_path / "own", NUM_IMAGES)


@pytest.fixture
def make_request(models, shared_dataset, tmp_path):
    def make_request(model="heads.onnx", dataset=shared_dataset, **more):
        return EvalRequest(
            model=models / model,
            images=dataset / "val2017",
            annotations=annotation_file(dataset),
            runtime_options=more.pop("runtime_options", RuntimeOptions(threads=1)),
            progress_path=tmp_path / "x.partial.npz",
            **more,
        )

    return make_request


@pytest.fixture(scope="session")
def baseline(models, shared_dataset):
    """What is found with the defaults."""
    request = EvalRequest(
        models / "heads.onnx",
        shared_dataset / "val2017",
        annotation_file(shared_dataset),
        RuntimeOptions(threads=1),
    )
    return detect(request)
