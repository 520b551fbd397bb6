"""A model gives the same outputs in torch and, exported, in every runtime."""

import ctypes
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import color_network
import numpy as np
import onnx
import pytest
import skimage
import torch
from tracing import SMALL, filled_model, seeded_checkpoint

from picodet.config import Preprocessing
from picodet.data.preprocess import preprocess, read_image
from picodet.errors import CheckpointError, PicoDetError
from picodet.exporter.model_proto import build_model
from picodet.exporter.options import ExportOptions
from picodet.inference import torch_backend
from picodet.inference.backend import ModelInputs
from picodet.inference.onnxruntime_backend import OnnxRuntimeBackend
from picodet.inference.openvino_backend import OpenVinoBackend
from picodet.inference.predict import detect_image
from picodet.inference.torch_backend import TorchBackend, move_to_device
from picodet.ops.postprocess import apply_nms

IMAGES = [
    read_image(Path(skimage.__file__).parent / "data" / name)
    for name in ("chelsea.png", "rocket.jpg")
]
RUNTIMES = {"onnxruntime": OnnxRuntimeBackend, "openvino": OpenVinoBackend}
runtimes = pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
# Pixels and probabilities; ten times what was measured: 4.3e-4 and 3.8e-6 with these weights.
BOXES, SCORES = 5e-3, 4e-5
CONFIG = replace(SMALL, preprocessing=Preprocessing(interp=1), input_size=(96, 128))


@pytest.fixture(scope="module")
def model():
    """With bins other than 0 to 7, as ppdet's EMA stores them."""
    model = filled_model(CONFIG, seeded_checkpoint(CONFIG))
    model.head.integral.project.mul_(1.25)
    return model


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """Path of the model exported to ONNX at this level."""
    folder = tmp_path_factory.mktemp("exported")

    def exported(**wanted):
        path = folder / f"{abs(hash(str(wanted)))}.onnx"
        if not path.is_file():
            wanted = {"batch": "dynamic", **wanted}
            onnx.save(
                build_model(model, ExportOptions(**wanted), {"source": "x", "sha256": "0" * 64}),
                path,
            )
        return path

    return exported


@pytest.fixture(scope="module")
def inputs():
    both = [preprocess(image, CONFIG.input_size, CONFIG.preprocessing) for image in IMAGES]
    return ModelInputs(*(np.stack(each) for each in zip(*both, strict=True)))


@pytest.fixture(scope="module")
def expected(model, inputs):
    return TorchBackend(model)(inputs)


@pytest.mark.slow
@runtimes
@pytest.mark.parametrize("level", ["heads", "boxes"])
def test_candidates_are_those_of_torch(exported, inputs, expected, runtime, level):
    found = runtime(exported(level=level))(inputs)
    assert len(found) == 2
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one.boxes - other.boxes).max() < BOXES
        assert np.abs(one.scores - other.scores).max() < SCORES
        assert one.scores.max() - one.scores.min() > 0.1  # worth comparing


@pytest.mark.slow
@runtimes
@pytest.mark.parametrize("single_input", [False, True])
def test_detections_are_those_of_torch(exported, inputs, expected, runtime, single_input):
    """With a single input the boxes are in its pixels, and scaled by the backend."""
    network = runtime(exported(level="detections", single_input=single_input))
    for found, candidates, factor in zip(
        network(inputs), expected, inputs.scale_factors, strict=True
    ):
        other = apply_nms(candidates, factor)
        assert np.array_equal(found.classes, other.classes)
        assert np.abs(found.scores - other.scores).max() < SCORES
        assert np.abs(found.boxes - other.boxes).max() < BOXES / factor.min()


@pytest.mark.slow
@runtimes
def test_the_specs_of_files_equal_torchs(model, exported, runtime):
    own = TorchBackend(model).spec
    assert own.output_format == "boxes"
    for level in ("heads", "boxes", "detections"):
        assert runtime(exported(level=level)).spec == replace(own, output_format=level)


@pytest.mark.slow
@runtimes
@pytest.mark.parametrize("level", ["heads", "boxes", "detections"])
def test_threads_at_once_and_images_at_once_change_nothing(exported, inputs, runtime, level):
    """Calls from several threads do not get each other's results."""
    network = runtime(exported(level=level), threads=1)
    alone = [ModelInputs(inputs.images[i : i + 1], inputs.scale_factors[i : i + 1]) for i in (0, 1)]
    once = [network(one)[0] for one in alone]
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda i: network(alone[i % 2])[0], range(24)))
    for i, found in enumerate(again):
        assert np.array_equal(found.boxes, once[i % 2].boxes)
        assert np.array_equal(found.scores, once[i % 2].scores)
    for both, single in zip(network(inputs), once, strict=True):
        assert np.abs(both.scores - single.scores).max() < SCORES


@pytest.mark.slow
@runtimes
def test_a_requested_size(model, exported, runtime):
    """An input size can be given only where the file is dynamic."""
    network = runtime(exported(level="boxes", input_size="dynamic"), (64, 160))
    assert network.spec.input_size == (64, 160)
    array, factor = preprocess(IMAGES[0], (64, 160), CONFIG.preprocessing)
    inputs = ModelInputs(array[None], factor[None])
    (found,), (other,) = network(inputs), TorchBackend(model)(inputs)
    assert np.abs(found.boxes - other.boxes).max() < BOXES
    with pytest.raises(CheckpointError, match="takes 96x128 only"):
        runtime(exported(level="boxes"), (64, 160))


@pytest.mark.slow
@runtimes
def test_detect_uses_the_preprocessing_of_the_file(model, exported, runtime):
    """All formats give torch's detections, with the model's own interp, 1."""
    image = IMAGES[0]
    expected = detect_image(TorchBackend(model), image, score_thr=0.04)
    assert len(expected) > 5
    cubic = detect_image(TorchBackend(model), image, interp=2, score_thr=0.04)
    assert not np.array_equal(expected.scores, cubic.scores)
    for level in ("heads", "boxes", "detections"):
        network = runtime(exported(level=level))
        found = detect_image(network, image, score_thr=0.04)
        assert np.array_equal(found.classes, expected.classes)
        assert np.abs(found.scores - expected.scores).max() < SCORES
        found = detect_image(network, image, interp=2, score_thr=0.04)
        assert np.abs(found.scores - cubic.scores).max() < SCORES
        network.close()


@runtimes
@pytest.mark.parametrize("form", ["heads", "boxes"])
def test_a_nan_score_is_an_error(tmp_path, runtime, form):
    color_network.write_color_network(tmp_path / "x.onnx", form=form, nan=True)
    network = runtime(tmp_path / "x.onnx")
    inputs = ModelInputs(np.zeros((1, 3, 64, 64), np.float32), np.ones((1, 2), np.float32))
    with pytest.raises(PicoDetError, match="not finite"):
        network(inputs)


def test_a_nan_score_in_torch_is_an_error(model):
    broken = filled_model(CONFIG, seeded_checkpoint(CONFIG))
    with torch.no_grad():
        broken.head.predictors[2].bias[1] = torch.nan
    inputs = ModelInputs(np.zeros((1, 3, 96, 128), np.float32), np.ones((1, 2), np.float32))
    with pytest.raises(PicoDetError, match="not finite"):
        TorchBackend(broken)(inputs)


@runtimes
def test_files_that_cannot_be_loaded_are_named(tmp_path, runtime):
    path = tmp_path / "x.onnx"
    with pytest.raises(CheckpointError, match=r"x\.onnx: "):
        runtime(path)
    for content in (b"", b"no protobuf", b"\x00" * 100):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"x\.onnx: "):
            runtime(path)
    color_network.write_color_network(path)
    whole = path.read_bytes()
    for end in (10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError, match=r"x\.onnx: "):
            runtime(path)


@runtimes
def test_other_inputs_or_outputs_are_refused(tmp_path, runtime):
    path = tmp_path / "x.onnx"
    for inputs, outputs, message in (
        ({"x": [1, 3, 64, 64]}, {"y": np.zeros((1, 1000), np.float32)}, "its outputs are"),
        ({"x": [1, 64]}, {"y": np.zeros((9, 6), np.float32)}, "one image"),
    ):
        color_network.write_constants(path, inputs, outputs)
        with pytest.raises(CheckpointError, match=message):
            runtime(path)


@runtimes
def test_a_failed_call_names_the_file(tmp_path, runtime):
    color_network.write_color_network(tmp_path / "x.onnx", color_network.meta(), batch=1)
    inputs = ModelInputs(np.zeros((2, 3, 64, 64), np.float32), np.ones((2, 2), np.float32))
    with pytest.raises(PicoDetError, match=r"x\.onnx: \w+ cannot run it: "):
        runtime(tmp_path / "x.onnx")(inputs)


@runtimes
def test_rows_without_detections(tmp_path, runtime):
    """As Paddle's NMS returns it for an image without objects."""
    outputs = {
        "rows": np.array([[-1, 0, 0, 0, 0, 0]], np.float32),
        "numbers": np.array([1], np.int32),
    }
    inputs = {"image": [1, 3, 64, 64], "scale_factor": [1, 2]}
    color_network.write_constants(tmp_path / "x.onnx", inputs, outputs)
    inputs = ModelInputs(np.zeros((1, 3, 64, 64), np.float32), np.ones((1, 2), np.float32))
    (found,) = runtime(tmp_path / "x.onnx")(inputs)
    assert len(found) == 0


def test_a_missing_device_is_an_error():
    with pytest.raises(PicoDetError, match="device cuda:9: torch cannot use it here"):
        move_to_device(filled_model(CONFIG, seeded_checkpoint(CONFIG)), "cuda:9")
    with pytest.raises(PicoDetError, match="device nowhere: torch cannot use it here"):
        move_to_device(filled_model(CONFIG, seeded_checkpoint(CONFIG)), "nowhere")


def test_flags_of_cudnn_are_set_for_a_gpu_only(monkeypatch):
    flags = {"allow_tf32": True, "deterministic": False}
    for name, value in flags.items():
        monkeypatch.setattr(torch.backends.cudnn, name, value)
    model = filled_model(CONFIG, seeded_checkpoint(CONFIG))
    move_to_device(model, "cpu")
    assert {name: getattr(torch.backends.cudnn, name) for name in flags} == flags
    monkeypatch.setattr(torch_backend, "check_device", lambda device: None)
    monkeypatch.setattr(model, "to", lambda device: model)
    assert move_to_device(model, "cuda:0") is model
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == (False, True)


def test_a_model_in_training_mode_is_refused(model):
    model.train()
    try:
        with pytest.raises(PicoDetError, match=r"model\.eval\(\)"):
            TorchBackend(model)
    finally:
        model.eval()


def test_openvino_sends_no_telemetry():
    """Importing it starts a thread that reports to Google Analytics, if its package is found."""
    code = (
        "import sys, threading, picodet.inference.openvino_backend; "
        "print(threading.active_count(), sys.modules['openvino_telemetry'])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["1", "None"]


class SignalStack(ctypes.Structure):
    """C's stack_t: the stack on which signal handlers run."""

    _fields_ = (("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="stack_t as Linux has it")
@runtimes
def test_the_signal_stack_is_unchanged(runtime, exported):
    """OpenVINO sets another signal stack in the compiling thread, and frees it later."""

    def where():
        stack = SignalStack()
        ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
        return stack.place, stack.flags, stack.size

    before = where()
    network = runtime(exported())
    assert where() == before
    network.close()
